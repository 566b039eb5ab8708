"""A small split with pictures: scenes that hold objects that hold parts, known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_embeddings

SIDE = 64
CLASSES = ("house", "<b>door</b>", "tree & co", "window", "car")


@dataclass(frozen=True)
class Split:
    hierarchy: Hierarchy
    embeds: torch.Tensor
    curvature: float
    crop_of: Callable[[int], np.ndarray]


def make_split(images: int, seed: int = 0) -> Split:
    """Each image: a house with a door or a window in it, and a tree or a car beside it."""
    rng = np.random.default_rng(seed)
    boxes, labels, owner = [], [], []
    for image in range(images):
        x, y = rng.integers(0, 8, size=2)
        part = int(rng.choice([1, 3]))
        boxes += [[x, y, x + 30, y + 30], [x + 4, y + 6, x + 14, y + 20], [40, 10 + y, 60, 40 + y]]
        labels += [0, part, int(rng.choice([2, 4]))]
        owner += [image] * 3
    table = BoxTable(
        image_ids=np.array([f"image {i}" for i in range(images)]),
        image_files=np.array([f"/nowhere/{i}.png" for i in range(images)]),
        image_sizes=np.full((images, 2), SIDE, dtype=np.int32),
        box_image=np.array(owner, dtype=np.int32),
        boxes=np.array(boxes, dtype=np.float32),
        labels=np.array(labels, dtype=np.int32),
        class_names=CLASSES,
    )
    hierarchy = build_hierarchy(table)
    embeds = torch.from_numpy(rng.normal(size=(hierarchy.num_nodes, 6)) * (0.3 + hierarchy.level[:, None])).float()
    pictures = rng.integers(0, 255, size=(images, SIDE, SIDE, 3), dtype=np.uint8)

    def crop_of(node: int) -> np.ndarray:
        x0, y0, x1, y1 = hierarchy.node_box[node].astype(int)
        return pictures[hierarchy.node_image[node], y0:y1, x0:x1]

    return Split(hierarchy, embeds, 0.7, crop_of)


@pytest.fixture(scope="session")
def make_small_split() -> Callable[[int], Split]:
    return make_split


@pytest.fixture(scope="session")
def split() -> Split:
    return make_split(12)


@pytest.fixture(scope="session")
def results(split: Split) -> dict[str, dict]:
    settings = EvaluationSettings(resamples=20)
    noise = torch.randn(split.embeds.shape, generator=torch.Generator().manual_seed(0))
    return {
        "hyperbolic angle": evaluate_embeddings(
            split.embeds, split.hierarchy, split.curvature, train_hierarchy=split.hierarchy, settings=settings
        ),
        "untrained <net>": evaluate_embeddings(noise, split.hierarchy, split.curvature, settings=settings),
    }


@pytest.fixture(scope="session")
def metrics() -> list[dict]:
    rows: list[dict] = []
    for step in range(10, 210, 10):
        rows.append(
            {
                "step": step, "loss": 5 - step / 100, "loss_parent_to_child": 4.0, "loss_child_to_parent": 6.0,
                "curvature": 1.0, "temperature": 0.07, "radius_scene": 0.5, "radius_box": 1.0, "learning_rate": 1e-3,
                "seconds": float(step),
            }
        )  # fmt: skip
    rows.insert(10, {"step": 100, "val_score": 0.5, "val_top_10": 0.25})
    rows.append({"step": 200, "val_score": 0.6, "val_top_10": 0.3})
    return rows
