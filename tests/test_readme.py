"""What the README shows is what happens."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.M | re.S)


@pytest.mark.slow
def test_python_blocks_run(tmp_path, monkeypatch):
    """On a small model in the place where `make demo` leaves one, and scenes where it draws them."""
    from transformers import ResNetConfig

    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
    from hf_hyperbolic.data.scenes import write_scenes

    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=16))
    model.save_pretrained(tmp_path / "outputs" / "demo" / "best")
    make_image_processor(64).save_pretrained(tmp_path / "outputs" / "demo" / "best")
    write_scenes(tmp_path / "outputs" / "scenes", "test", 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict = {}
    assert blocks("python")
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), names)


def test_every_path_exists():
    for path in set(re.findall(r"(?<![\w/])((?:training|docs|hf_hyperbolic|benchmarks|tests)/[\w./-]*\w)", TEXT)):
        assert (ROOT / path).exists(), path


def test_every_make_target_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", TEXT, flags=re.M)) <= targets


def test_every_option_of_the_training_script_exists():
    from dataclasses import fields

    from hf_hyperbolic.training.arguments import TrainArguments

    known = {f.name for f in fields(TrainArguments)} | {
        "run",
        "baselines",
        "split",
        "systems",
        "seeds",
        "output",
        "boxes",
    }
    shell = "\n".join(blocks("bash") + blocks("sh"))
    assert set(re.findall(r"--(\w+)", shell)) <= known
