"""Runs of training/train.py that train a part of the backbone, or an average of the weights."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from blocked_package import BLOCK_THE_PACKAGE
from run_here import equal, logged, weights
from safetensors.torch import load_file
from transformers import AutoModel

from hf_hyperbolic import HyperbolicCLIPModel, HyperbolicCLIPVisionModel, ImageEncoder

pytestmark = pytest.mark.slow

SETTINGS = [
    "--image_size", "32", "--projection_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4", "--max_steps",
    "4", "--eval_steps", "2", "--logging_steps", "1", "--warmup_steps", "2", "--cpu", "true", "--mixed_precision", "no",
    "--flip", "false", "--learning_rate", "0.01",
]  # fmt: skip


@pytest.fixture
def run(train_here, data, backbones):
    def run(output, *arguments, backbone="clip"):
        given = ["--data", data, "--backbone", backbones / backbone, "--output_dir", output, *SETTINGS, *arguments]
        train_here(*given)
        return output

    return run


def cut_off(run, tmp_path):
    """The run as it was after its checkpoint at step 2."""
    stopped = tmp_path / "stopped"
    shutil.copytree(run, stopped)
    for name in ("final", "best", "checkpoints/step-00000004"):
        shutil.rmtree(stopped / name)
    return stopped


def load_in_a_clean_process(folder, tmp_path):
    """Where neither this package nor peft can be imported; gives the embedding of black pixels."""
    script = (
        BLOCK_THE_PACKAGE
        + f"""
sys.modules["peft"] = None
import torch
from transformers import AutoModel
model = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True).eval()
with torch.no_grad():
    print(model(torch.zeros(1, 3, 32, 32)).embeds[0].tolist())
"""
    )
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": ""}
    found = subprocess.run(
        [sys.executable, "-I", "-c", script], env=environment, capture_output=True, text=True, timeout=500
    )
    assert found.returncode == 0, found.stderr
    return torch.tensor(json.loads(found.stdout.splitlines()[-1]))


@torch.no_grad()
def black(folder):
    return HyperbolicCLIPVisionModel.from_pretrained(folder).eval()(torch.zeros(1, 3, 32, 32)).embeds[0]


@pytest.mark.parametrize("backbone", ["clip", "resnet"])
def test_the_head_learns_from_cached_features_what_it_learns_from_crops(run, backbones, tmp_path, capsys, backbone):
    plain = run(tmp_path / "plain", "--freeze_backbone", "true", backbone=backbone)
    features = ["--cache_features", "true", "--features_dir", tmp_path / "features"]
    cached = run(tmp_path / "cached", *features, backbone=backbone)
    printed = capsys.readouterr().out
    assert "features of train: written to" in printed
    assert "features of val: written to" in printed
    expected, found = weights(plain), weights(cached)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name].float(), tensor.float(), atol=2e-5), name
    start = load_file(backbones / backbone / "model.safetensors")
    assert all(torch.equal(found[f"backbone.{name}"], tensor) for name, tensor in start.items())
    assert logged(cached, "loss") == pytest.approx(logged(plain, "loss"), rel=1e-4)
    assert logged(cached, "val_score") == pytest.approx(logged(plain, "val_score"), abs=1e-3)
    assert len(logged(cached, "loss")) == 4
    # it has learnt: this is not the head that it started with
    assert abs(logged(cached, "temperature")[-1] - 0.2) > 1e-3
    if backbone == "clip":
        for folder in (plain / "best", cached / "final"):
            assert torch.allclose(load_in_a_clean_process(folder, tmp_path), black(folder), atol=1e-6)

    # the same features serve a run that goes on where it stopped, to the same weights
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").iterdir()}
    resumed = cut_off(cached, tmp_path)
    run(resumed, *features, "--resume", "true", backbone=backbone)
    assert "features of train: as they are in" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "features").iterdir()} == before
    assert equal(weights(resumed), weights(cached))


def test_images_that_cannot_be_read_are_left_out_of_cached_features(run, data, tmp_path, capsys, monkeypatch):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    broken = [*sorted((copy / "train").glob("*.jpg"))[:2], sorted((copy / "val").glob("*.jpg"))[0]]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    # as where a disk does not answer while features are computed: the check before found nothing
    monkeypatch.setattr("hf_hyperbolic.training.sources.drop_broken", lambda table, *_: table)
    features = ["--data", copy, "--cache_features", "true", "--features_dir", tmp_path / "features"]
    said = []
    for name in ("first", "second"):
        run(tmp_path / name, *features)
        said.append(re.findall(r"^\d+ of the .*", capsys.readouterr().out, re.MULTILINE))
        assert len(logged(tmp_path / name, "val_score")) == 2
    assert said[0] == said[1]
    of_train, of_val = said[0]
    assert of_train.startswith("2 of the 24 images of train could not be read when features were computed")
    assert of_val.startswith("1 of the 8 images of val could not be read")
    assert all(str(path) in of_train for path in broken[:2])
    assert str(broken[2]) in of_val
    assert equal(weights(tmp_path / "first"), weights(tmp_path / "second"))


@pytest.mark.parametrize(
    "more", [(), ("--freeze_backbone", "true"), ("--cache_features", "true"), ("--lora_rank", "2")]
)
def test_it_goes_on_from_a_model_of_this_library(run, tmp_path, capsys, more):
    if "--lora_rank" in more:
        pytest.importorskip("peft")
    start = run(tmp_path / "start", "--max_steps", "2") / "best"
    at_a_standstill = ["--max_steps", "1", "--learning_rate", "1e-12", "--features_dir", tmp_path / "features"]
    again = run(tmp_path / "again", *at_a_standstill, *more, backbone=start)
    taken = "backbone, projection, curvature, temperature, 158 of 158 class proxies; new: nothing"
    assert f"taken from {start}: {taken}" in capsys.readouterr().out
    found, expected = weights(again), load_file(start / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, atol=1e-6), name
    # and it learns: this is what standing still leaves out
    learnt = weights(run(tmp_path / "learnt", *at_a_standstill, "--learning_rate", "0.01", *more, backbone=start))
    assert not torch.allclose(learnt["projection.0.weight"], expected["projection.0.weight"], atol=1e-4)


def test_an_average_is_saved_evaluated_and_goes_on_bit_for_bit(run, backbones, tmp_path):
    settings = ["--layer_decay", "0.75", "--freeze_layers", "1"]
    averaged = [*settings, "--ema_decay", "0.9"]
    whole = run(tmp_path / "whole", *averaged)
    resumed = cut_off(whole, tmp_path)
    run(resumed, *averaged, "--resume", "true")
    for name in ("best", "final"):
        assert equal(weights(resumed, name), weights(whole, name))
    assert logged(resumed, "val_score") == logged(whole, "val_score")
    checkpoint = whole / "checkpoints" / "step-00000004"
    average, last = (load_file(checkpoint / f"{name}.safetensors") for name in ("average", "model"))
    assert equal(average, weights(whole))
    frozen, trained = (f"encoder.layers.{block}.mlp.fc1.weight" for block in (0, 1))
    start = load_file(backbones / "clip" / "model.safetensors")
    assert torch.equal(average[f"backbone.{frozen}"], start[frozen])
    for name in (f"backbone.{trained}", "projection.0.weight"):
        assert not torch.equal(average[name], last[name])
    # it trains the weights that a run without an average trains, and evaluates others
    without = run(tmp_path / "without", *settings)
    assert equal(weights(without), last)
    assert not (without / "checkpoints" / "step-00000004" / "average.safetensors").exists()


def test_adapters_are_merged_and_go_on_bit_for_bit(run, backbones, tmp_path):
    peft = pytest.importorskip("peft")
    settings = ["--lora_rank", "2", "--freeze_layers", "1", "--ema_decay", "0.5"]
    whole = run(tmp_path / "whole", *settings)
    resumed = cut_off(whole, tmp_path)
    run(resumed, *settings, "--resume", "true")
    for name in ("best", "final"):
        assert equal(weights(resumed, name), weights(whole, name))
        found, expected = (load_file(of / name / "adapter" / "adapter_model.safetensors") for of in (resumed, whole))
        assert equal(found, expected)
    folder = whole / "final"
    start = load_file(backbones / "clip" / "model.safetensors")
    moved = {name for name, tensor in start.items() if not torch.equal(tensor, weights(whole)[f"backbone.{name}"])}
    assert moved
    assert all(name.startswith(("encoder.layers.1.", "encoder.layers.2.")) for name in moved)
    assert all(name.endswith(("proj.weight", "fc1.weight", "fc2.weight")) for name in moved)
    assert torch.allclose(load_in_a_clean_process(folder, tmp_path), black(folder), atol=1e-6)
    base = AutoModel.from_pretrained(backbones / "clip").eval()
    adapted = peft.PeftModel.from_pretrained(base, folder / "adapter")
    loaded = HyperbolicCLIPVisionModel.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(adapted(pixels).pooler_output, loaded(pixels).pooler_output, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--freeze_layers", "4"), "CLIPVisionModel has 3"),
        (("--cache_features", "true", "--flip", "true"), "it needs --flip false"),
        (("--cache_features", "true", "--lora_rank", "4"), "--cache_features trains nothing of the backbone"),
        (("--cache_features", "true", "--stream", "true"), "not with --stream"),
        (("--freeze_backbone", "true", "--layer_decay", "0.5"), "--freeze_backbone trains nothing of the backbone"),
        (("--freeze_backbone", "true", "--gradient_checkpointing", "true"), "where all of the backbone is frozen"),
        (("--cache_features", "true", "--gradient_checkpointing", "true"), "where all of the backbone is frozen"),
        (("--cache_features", "true", "--torch_compile", "true"), "--torch_compile compiles the backbone, which"),
        (("--layer_decay", "0"), r"--layer_decay must lie in \(0, 1\]"),
        (("--ema_decay", "1"), r"--ema_decay must lie in \[0, 1\)"),
        (("--cache_features", "true", "--text_weight", "1"), "without --text_weight"),
        (("--lora_alpha", "3"), "need --lora_rank"),
        (("--lora_rank", "2", "--lora_alpha", "0"), "--lora_alpha must be positive"),
        (("--freeze_layers", "-1"), "--freeze_layers cannot be negative"),
    ],
)
def test_what_cannot_be_is_refused(run, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run(tmp_path / "run", *arguments)


def test_an_average_is_not_begun_in_the_middle(run, tmp_path):
    run(tmp_path / "run", "--max_steps", "2")
    with pytest.raises(SystemExit, match=r"ema_decay was 0.0, now 0.9"):
        run(tmp_path / "run", "--resume", "true", "--ema_decay", "0.9")


def test_two_processes_share_the_features_and_give_the_losses_of_one(run, data, backbones, tmp_path, train):
    features = ["--cache_features", "true", "--features_dir"]
    one = run(tmp_path / "one", *features, tmp_path / "features-of-one")
    given = ["--data", data, "--backbone", backbones / "clip", "--output_dir", tmp_path / "two", *SETTINGS]
    printed = train(*given, *features, tmp_path / "features-of-two", processes=2)
    assert "2 process(es)" in printed
    assert printed.count("written to") == 2
    assert logged(tmp_path / "two", "loss") == pytest.approx(logged(one, "loss"), rel=2e-3)
    assert logged(tmp_path / "two", "loss")[0] == pytest.approx(logged(one, "loss")[0], rel=1e-5)
    both = [sorted((tmp_path / f"features-of-{name}").iterdir()) for name in ("one", "two")]
    assert [path.name for path in both[0]] == [path.name for path in both[1]]
    for first, second in zip(*both, strict=True):
        assert torch.allclose(load_file(first)["features"], load_file(second)["features"], atol=1e-5)


def test_adapters_go_with_names_from_the_start(run, tmp_path):
    """The image backbone learns by adapters, the text tower whole; both folders load as any other."""
    pytest.importorskip("peft")
    settings = ["--lora_rank", "2", "--text_weight", "0.5"]
    whole = run(tmp_path / "whole", *settings)
    resumed = cut_off(whole, tmp_path)
    run(resumed, *settings, "--resume", "true")
    for which in ("best", "final"):
        assert equal(weights(resumed, which), weights(whole, which))
        assert not [name for name in weights(whole, which) if "lora" in name or "base_layer" in name]
    folder = whole / "final"
    loaded, info = HyperbolicCLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    found = load_in_a_clean_process(folder, tmp_path)
    assert torch.allclose(found, black(folder), atol=1e-6)
    before = run(
        tmp_path / "start", *settings, "--max_steps", "1", "--learning_rate", "0", "--backbone_learning_rate", "0"
    )
    start, end = weights(before), weights(whole)
    # q, k, v and out of each layer's attention and its perceptron have adapters, the norms have none
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert any(name.startswith("text_backbone.") and "layer_norm" in name for name in moved)
    of_images = [name for name in moved if name.startswith("backbone.")]
    assert of_images
    assert not [name for name in of_images if not name.endswith(("proj.weight", "fc1.weight", "fc2.weight"))]
    phrases = ImageEncoder.from_pretrained(folder, "cpu").encode_text(["a wheel", "the house"])
    tokens = ImageEncoder.from_pretrained(folder, "cpu").tokenizer(
        ["a wheel", "the house"], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        again = loaded.eval().get_text_embeds(tokens["input_ids"], tokens["attention_mask"])
    assert torch.allclose(torch.from_numpy(phrases), again, atol=1e-6)
    assert (whole / "final" / "adapter" / "adapter_model.safetensors").is_file()
