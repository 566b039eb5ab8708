"""A small run as training and evaluation leave it, and a Hub that records what is pushed to it."""

import json

import numpy as np
import pytest
import torch
from fake_hub import FakeHub
from transformers import ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.files import sha256
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_embeddings
from hf_hyperbolic.hub import upload
from hf_hyperbolic.report.space import write_disk
from hf_hyperbolic.training.arguments import TrainArguments

CLASSES = ("house", "door", "tree")
MEASURES = {"children": "beta", "parents": "beta", "pairs": "beta"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """In place of the Hub, with somebody logged in."""
    fake = FakeHub(tmp_path / "downloads")
    monkeypatch.setattr(upload, "HfApi", lambda **_: fake)
    monkeypatch.setattr(upload, "get_token", lambda: "hf_token")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return fake


@pytest.fixture
def run(tmp_path):
    """A run without an evaluation; best and final have other weights."""
    folder = tmp_path / "home" / "somebody" / "outputs" / "demo"
    for name, seed in (("best", 0), ("final", 1)):
        torch.manual_seed(seed)
        backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        config = HyperbolicCLIPVisionConfig(backbone, projection_dim=16, num_proxies=len(CLASSES), curvature_init=1.5)
        config.id2label = dict(enumerate(CLASSES))
        HyperbolicCLIPVisionModel(config).eval().save_pretrained(folder / name)
        make_image_processor(32).save_pretrained(folder / name)
        args = TrainArguments(
            output_dir=str(folder), scenes_dir=str(tmp_path / "home" / "somebody" / "scenes"), seed=7, max_steps=120
        )
        args.save(folder / name)
    args.save(folder)
    lines = [
        {"step": step, "loss": 5 - step / 100, "curvature": 1 + step / 100, "temperature": 0.1}
        for step in range(10, 121, 10)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="session")
def figures():
    """Results of two systems on a small split, with the split and the embeddings of the first."""
    rng = np.random.default_rng(0)
    images = 12
    table = BoxTable(
        image_ids=np.array([str(n) for n in range(images)]),
        image_files=np.array([f"/nowhere/{n}.png" for n in range(images)]),
        image_sizes=np.full((images, 2), 64, dtype=np.int32),
        box_image=np.repeat(np.arange(images, dtype=np.int32), 3),
        boxes=np.tile(np.array([[0, 0, 30, 30], [4, 6, 14, 20], [40, 10, 60, 40]], dtype=np.float32), (images, 1)),
        labels=np.tile(np.array([0, 1, 2], dtype=np.int32), images),
        class_names=CLASSES,
    )
    hierarchy = build_hierarchy(table)
    embeds = (rng.normal(size=(hierarchy.num_nodes, 6)) * (0.3 + hierarchy.level[:, None])).astype(np.float32)
    noise = rng.normal(size=embeds.shape).astype(np.float32)
    settings = EvaluationSettings(resamples=20)
    results = {
        name: evaluate_embeddings(vectors, hierarchy, 0.7, train_hierarchy=hierarchy, settings=settings)
        for name, vectors in (("hyperbolic angle", embeds), ("untrained", noise))
    }
    return results, hierarchy, embeds


@pytest.fixture
def evaluate(run, figures):
    """Leaves an evaluation in the run, as training/evaluate.py does; returns its folder."""

    def write(which="best", split="test", **changed):
        folder = run / f"evaluation-{split}"
        folder.mkdir()
        results, hierarchy, embeds = figures
        content = {
            "options": {"run": str(run), "which": which, "split": split},
            "data": "scenes",
            "weights": sha256(run / which / "model.safetensors"),
            "measures": {"hyperbolic angle": MEASURES, "untrained": dict.fromkeys(MEASURES, "cosine")},
            "results": results,
        }
        (folder / "results.json").write_text(json.dumps(content | changed))
        write_disk(folder / "poincare_disk.png", hierarchy, embeds, 0.7)
        return folder

    return write
