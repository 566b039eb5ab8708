"""Small random hierarchies and embeddings to check the protocols against naive loops."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy

MakeHierarchy = Callable[..., Hierarchy]


@pytest.fixture(scope="session")
def make_hierarchy() -> MakeHierarchy:
    def make(
        seed: int = 0, images: int = 8, boxes: int = 6, classes: int = 5, empty: int = 0, whole: int = 0
    ) -> Hierarchy:
        """`empty` images without a box at the end, and `whole` boxes that are their whole image at the front."""
        rng = np.random.default_rng(seed)
        size, used = 100.0, images - empty
        count = used * boxes
        sides = np.exp(rng.uniform(np.log(0.05), np.log(0.9), size=(count, 2))) * size
        corner = rng.random((count, 2)) * (size - sides)
        xyxy = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
        xyxy[np.arange(whole) * boxes] = [0, 0, size, size]
        names = np.array([f"image{i}" for i in range(images)])
        table = BoxTable(
            image_ids=names,
            image_files=names,
            image_sizes=np.full((images, 2), int(size), dtype=np.int32),
            box_image=np.repeat(np.arange(used), boxes).astype(np.int32),
            boxes=xyxy,
            labels=rng.integers(0, classes, count).astype(np.int32),
            class_names=tuple(f"class{c}" for c in range(classes)),
        )
        return build_hierarchy(table)

    return make


@pytest.fixture(scope="session")
def make_embeds() -> Callable[..., torch.Tensor]:
    def make(hierarchy: Hierarchy, seed: int = 0, dim: int = 4) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(seed).normal(size=(hierarchy.num_nodes, dim)).astype(np.float32))

    return make


@pytest.fixture(scope="session")
def make_scorer() -> Callable[..., object]:
    def make(matrix: np.ndarray) -> object:
        """Scores node pairs from an (N, N) matrix, query first."""
        tensor = torch.from_numpy(np.asarray(matrix, dtype=np.float32))
        return lambda queries, gallery, direction: tensor[torch.from_numpy(queries)][:, torch.from_numpy(gallery)]

    return make
