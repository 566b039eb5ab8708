"""The pretraining script as users start it, on a few embedded scenes, and training from what it wrote."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, Dinov2Config, Dinov2Model, ResNetConfig, ResNetModel

from hf_hyperbolic import make_image_processor
from hf_hyperbolic.training.systems import trained

pytestmark = pytest.mark.slow
SMALL = [
    "--image_size", "32", "--head_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4", "--max_steps", "6",
    "--eval_steps", "2", "--logging_steps", "1", "--warmup_steps", "2", "--cpu", "true",
]  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "backbone" / "model.safetensors")


@pytest.fixture(scope="module")
def pretrain(train):
    def run(*arguments, **kwargs):
        return train(*arguments, script="pretrain.py", **kwargs)

    return run


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory, pretrain):
    run = tmp_path_factory.mktemp("pretrained") / "run"
    printed = pretrain("--data", data, "--output_dir", run, *SMALL)
    assert f"--backbone {run / 'backbone'}" in printed.replace("\n", "")
    return run


def test_a_run_leaves_a_backbone_that_transformers_loads(data, whole):
    names = {path.name for path in (whole / "backbone").iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json", "pretrain_arguments.json"}
    backbone = AutoModel.from_pretrained(whole / "backbone")
    assert isinstance(backbone, ResNetModel)
    assert all(torch.equal(value, backbone.state_dict()[name]) for name, value in weights(whole).items())
    processor = AutoImageProcessor.from_pretrained(whole / "backbone")
    expected = make_image_processor(32)
    assert (processor.image_mean, processor.image_std) == (expected.image_mean, expected.image_std)
    assert json.loads((whole / "backbone" / "pretrain_arguments.json").read_text())["data"] == str(data)
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert {"val_alignment", "val_uniformity", "val_knn", "val_commonest"} < set(lines[-1])


def test_training_starts_from_it(data, whole, tmp_path, train, small):
    run = tmp_path / "run"
    settings = ["--data", data, *small, "--backbone", whole / "backbone"]
    # so small a step that the backbone stays what it was
    train(*settings, "--output_dir", run, "--max_steps", "1", "--learning_rate", "1e-12")
    final = load_file(run / "final" / "model.safetensors")
    started = {f"backbone.{name}": value for name, value in weights(whole).items() if value.ndim == 4}
    assert started
    for name, value in started.items():
        torch.testing.assert_close(final[name], value, rtol=0, atol=1e-9)
    saved = json.loads((run / "final" / "arguments.json").read_text())
    assert saved["backbone"] == str(whole / "backbone")
    how = (run / "final" / "pretrain_arguments.json").read_text()
    assert how == (whole / "backbone" / "pretrain_arguments.json").read_text()
    assert trained(run, which="final").processor.image_mean == make_image_processor(32).image_mean

    compare = ["--systems", "cosine contrast", "--seeds", "0", "--max_steps", "1"]
    printed = train(*settings, *compare, "--output_dir", tmp_path / "compared", script="compare.py")
    assert "untrained (1)" in printed


def test_killed_and_resumed_equals_uninterrupted(data, whole, tmp_path, pretrain, start):
    run = tmp_path / "run"
    process = start("--data", data, "--output_dir", run, *SMALL, script="pretrain.py")
    deadline = time.time() + 200
    while not (run / "checkpoints" / "step-00000002").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.time() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "backbone").exists(), "killed too late: nothing is left to resume"
    printed = pretrain("--data", data, "--output_dir", run, *SMALL, "--resume", "true")
    assert "resumed from" in printed
    expected, found = weights(whole), weights(run)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_two_processes_give_the_losses_of_one(data, tmp_path, pretrain):
    """With a backbone without batch statistics, from a configuration alone; one of its parameters gets no gradient."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(tmp_path / "vit")
    settings = ["--data", data, *SMALL, "--backbone", tmp_path / "vit", "--mixed_precision", "no"]
    settings += ["--learning_rate", "1e-4"]
    pretrain("--output_dir", tmp_path / "one", *settings)
    printed = pretrain("--output_dir", tmp_path / "two", *settings, processes=2)
    assert "2 process(es)" in printed
    assert "not trained, as the feature does not depend on them: backbone.embeddings.mask_token" in printed

    def logged(run):
        lines = [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if "loss" in line]

    assert len(logged("one")) == 6
    assert logged("two") == pytest.approx(logged("one"), rel=2e-3)
    assert logged("two")[0] == pytest.approx(logged("one")[0], rel=1e-5)


def test_a_configuration_alone_is_pretrained_from_scratch_by_either_objective(data, tmp_path, pretrain):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    config.save_pretrained(tmp_path / "config")
    few = [*SMALL, "--max_steps", "1"]
    few += ["--backbone", tmp_path / "config", "--objective", "vicreg"]
    pretrain("--data", data, "--output_dir", tmp_path / "run", *few)
    assert AutoModel.from_pretrained(tmp_path / "run" / "backbone").config.hidden_sizes == [8, 16]


def test_a_broken_image_is_skipped_and_named(data, tmp_path, pretrain):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    name = json.loads((copy / "instances_train.json").read_text())["images"][0]["file_name"].rsplit("/")[-1]
    victim = next(path for path in copy.rglob(name) if "train" in str(path))
    victim.write_bytes(victim.read_bytes()[:400])
    printed = pretrain("--data", copy, "--output_dir", tmp_path / "run", *SMALL)
    assert f"skipped {victim}" in printed.replace("\n", "")
    for image in victim.parent.glob("*.jpg"):
        image.write_bytes(b"nothing")
    printed = pretrain("--data", copy, "--output_dir", tmp_path / "none", *SMALL, succeeds=False)
    assert "step 0 has nothing to contrast" in printed.replace("\n", "")
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "/no/such/folder"), "no such"),
        (("--objective", "labels"), "--objective must be one of simclr, vicreg"),
        (("--backbone", "/no/such/backbone"), "--backbone /no/such/backbone: no such folder"),
        (("--scenes_per_batch", "500"), "lower the number of scenes per batch"),
    ],
)
def test_bad_settings_get_one_clear_message(data, tmp_path, arguments, message, pretrain):
    printed = pretrain("--data", data, "--output_dir", tmp_path / "run", *SMALL, *arguments, succeeds=False)
    assert message in printed
    assert "Traceback" not in printed


def test_runs_are_not_mixed(data, whole, tmp_path, pretrain, train, small):
    printed = pretrain("--data", data, "--output_dir", whole, *SMALL, succeeds=False)
    assert "already holds a run" in printed
    more = [*SMALL, "--resume", "true"]
    printed = pretrain("--data", data, "--output_dir", whole, *more, "--temperature", "0.5", succeeds=False)
    assert "temperature was 0.2, now 0.5" in printed.replace("\n", "")
    printed = train("--data", data, "--output_dir", whole, *small, "--resume", "true", succeeds=False)
    assert "a run of another script" in printed
