"""A run is pushed, and loads back from the Hub's cache, offline, where this package cannot be imported."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_hub import HTTP
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))
from blocked_package import BLOCK_THE_PACKAGE

from hf_hyperbolic import HyperbolicCLIPVisionModel, ImageEncoder
from hf_hyperbolic.hub.front_matter import CardFacts
from hf_hyperbolic.hub.push_model import push_model
from hf_hyperbolic.hub.run import TrainedModel
from hf_hyperbolic.hub.upload import Target
from hf_hyperbolic.retrieval import scores

NAME = "me/model"
FILES = {
    "README.md", "arguments.json", "config.json", "preprocessor_config.json", "model.safetensors",
    "modeling_hyperbolic_clip.py", "configuration_hyperbolic_clip.py", "lorentz.py", "euclidean.py",
    "pairwise_angle.py", "vision_backbone.py", "figures/training.png", "figures/poincare_disk.png",
}  # fmt: skip


def push(run, **target):
    return push_model(run, Target(NAME, **target), CardFacts(NAME))


def test_the_card_pins_the_commit_of_weights_and_code(hub, run, evaluate):
    evaluate()
    done = push(run)
    first, second = hub.branches["model", NAME]["main"]
    assert set(first.files) == FILES - {"README.md"}
    assert set(second.files) == FILES
    assert done.revision == first.oid
    assert first.oid in second.files["README.md"].decode()
    assert done.where.endswith(second.oid)


def test_a_push_without_news_changes_nothing(hub, run, evaluate):
    evaluate()
    first = push(run)
    second = push(run)
    assert second == first
    assert len(hub.branches["model", NAME]["main"]) == 2


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupted_push_is_repeated(step, hub, run, evaluate, monkeypatch):
    evaluate()
    upload, done = hub.upload_folder, []

    def fail(**kwargs):
        done.append(kwargs)
        if len(done) == step:
            raise HTTP.ReadTimeout("gone")
        return upload(**kwargs)

    monkeypatch.setattr(hub, "upload_folder", fail)
    with pytest.raises(ConnectionError, match="the same command again"):
        push(run)
    push(run)
    assert set(hub.files(NAME)) == FILES


def test_figures_of_an_earlier_push_do_not_stay(hub, run, evaluate):
    folder = evaluate()
    push(run)
    (folder / "poincare_disk.png").unlink()
    push(run)
    assert set(hub.files(NAME)) == FILES - {"figures/poincare_disk.png"}
    assert "poincare_disk.png" not in hub.files(NAME)["README.md"].decode()


def test_a_pull_request_is_one_commit(hub, run):
    done = push(run, create_pr=True)
    assert done.where.endswith("/discussions/1")
    assert done.revision is None
    assert len(hub.branches["model", NAME]["refs/pr/1"]) == 1
    assert hub.branches["model", NAME]["main"] == []


def test_a_model_of_another_kind_is_not_written_over(hub, run):
    hub.seed(NAME, "model", {"config.json": '{"model_type": "vit"}', "model.safetensors": "x"})
    with pytest.raises(ValueError, match=r"something else than a model of this library \(config.json\)"):
        push(run)


def test_a_dry_run_writes_the_folder_and_asks_nobody(hub, run, evaluate, tmp_path):
    evaluate()
    out = tmp_path / "out"
    for _ in range(2):  # an earlier dry run is replaced
        done = push_model(run, Target(NAME), CardFacts(NAME), dry_run=out)
    assert done.where == str(out)
    found = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert found - {".hf-hyperbolic-dry-run"} == FILES
    assert hub.calls == []
    for file in out.rglob("*"):
        if file.is_file():
            assert b"somebody" not in file.read_bytes()
    assert (out / "model.safetensors").read_bytes() == (run / "best" / "model.safetensors").read_bytes()
    for picture in ("training", "poincare_disk"):
        with Image.open(out / "figures" / f"{picture}.png") as image:
            assert image.width > 300
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def test_a_dry_run_replaces_nothing_else(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="something else than a dry run"):
        push_model(run, Target(NAME), CardFacts(NAME), dry_run=tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.slow
def test_what_the_card_shows_runs_offline_without_the_package(hub, run, evaluate, tmp_path):
    evaluate()
    done = push(run)
    # what is pushed later to main must not be what a pinned card loads
    later = dict(hub.files(NAME))
    later["modeling_hyperbolic_clip.py"] = b"raise SystemExit('not the pinned code')\n"
    later["config.json"] = b"{}"
    hub._commit(NAME, "model", "main", later, "later")
    hub.as_cache(tmp_path / "hf", NAME)
    text = hub.branches["model", NAME]["main"][1].files["README.md"].decode()
    snippets = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    assert len(snippets) == 3
    without, proxies, _ = snippets
    rng = np.random.default_rng(0)
    for name in ("street", "harbour"):
        Image.fromarray(rng.integers(0, 256, (160, 200, 3), dtype=np.uint8)).save(tmp_path / f"{name}.jpg")
    check = """
from safetensors.torch import save_file
assert type(model).__module__.startswith("transformers_modules."), type(model)
assert "hf_hyperbolic" not in sys.modules
save_file({"scenes": scenes, "parts": parts, "proxies": proxies, "fit": by_combined(scenes, parts)}, "out.safetensors")
"""
    environment = {
        **os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", BLOCK_THE_PACKAGE + without + proxies + check],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("[") == 4  # two rankings, two lists of classes
    out = load_file(tmp_path / "out.safetensors")
    model = HyperbolicCLIPVisionModel.from_pretrained(run / "best").eval()
    assert torch.equal(out["proxies"], model.proxy_embeds().detach())
    assert out["scenes"].shape == (2, 16)
    expected = scores(out["scenes"], out["parts"], "combined", "children", model.curvature.item())
    torch.testing.assert_close(out["fit"], expected, rtol=0, atol=1e-5)
    assert done.revision in without


@pytest.mark.slow
def test_the_snippet_of_the_library_runs(run, evaluate, tmp_path, monkeypatch):
    evaluate()
    push_model(run, Target(NAME), CardFacts(NAME), dry_run=tmp_path / "me" / "model")
    monkeypatch.chdir(tmp_path)
    for name in ("street", "harbour"):
        Image.new("RGB", (160, 180), "teal").save(tmp_path / f"{name}.jpg")
    text = (tmp_path / "me" / "model" / "README.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)[-1]
    names: dict = {}
    exec(compile(code, "card", "exec"), names)
    assert names["scenes"].shape == (2, 16)


def test_what_is_pushed_embeds_as_the_run_does(run, tmp_path):
    push_model(run, Target(NAME), CardFacts(NAME), dry_run=tmp_path / "out")
    there, here = (
        ImageEncoder.from_pretrained(tmp_path / "out", "cpu"),
        ImageEncoder.from_pretrained(run / "best", "cpu"),
    )
    assert there.fingerprint == here.fingerprint
    assert there.preprocessing == here.preprocessing
    assert there.measures == here.measures
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == TrainedModel.find(run).config


def test_a_backbone_is_refused_and_told_the_way_out(hub, tmp_path):
    from transformers import ResNetConfig, ResNetModel

    # as `backbone moco` writes one
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"of type 'resnet'.*train with --backbone .* and push that run.*hf upload"):
        push(tmp_path)
    assert not hub.branches
