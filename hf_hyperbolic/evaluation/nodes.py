"""Which nodes of a hierarchy take part in a protocol, and what a scorer of nodes looks like."""

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy

Direction = Literal["children", "parents"]

# cells of a (queries, gallery) tile: 67 MB of float32 scores. Enough queries at once that the work done once a tile,
# such as normalising the gallery, is small beside the scores themselves.
TILE_CELLS = 1 << 24


class NodeScorer(Protocol):
    """Scores gallery nodes for query nodes; larger is better.

    `direction="children"`: the query is the parent and gallery nodes are candidate children; `"parents"`: the query is
    the child. Returns a (Q, G) float tensor; `-inf` keeps an item out of the ranking.
    """

    def __call__(self, queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor: ...


def active_boxes(hierarchy: Hierarchy) -> np.ndarray:
    """(B,) int64 nodes that are boxes and take part."""
    return np.flatnonzero(hierarchy.active() & (np.arange(len(hierarchy.node_image)) >= hierarchy.num_images))


def scenes(hierarchy: Hierarchy) -> np.ndarray:
    """(I,) int64 nodes that are full scenes."""
    return np.arange(hierarchy.num_images)


def parents(hierarchy: Hierarchy) -> np.ndarray:
    """(M,) int64 nodes that have a descendant."""
    has_descendant = np.zeros(len(hierarchy.node_image), dtype=bool)
    has_descendant[active_ancestry(hierarchy)[:, 0]] = True
    return np.flatnonzero(has_descendant)


def active_ancestry(hierarchy: Hierarchy) -> np.ndarray:
    """(P, 2) int64 ancestor-descendant pairs of which both nodes take part."""
    ancestry = np.asarray(hierarchy.ancestry, dtype=np.int64).reshape(-1, 2)
    active = hierarchy.active()
    return ancestry[active[ancestry[:, 0]] & active[ancestry[:, 1]]]


def tiles(queries: int, gallery: int, cells: int | None = None) -> Iterator[slice]:
    """Slices of the queries such that a (queries, gallery) tile has at most `cells` cells (and at least one row)."""
    rows = max(1, (TILE_CELLS if cells is None else cells) // max(1, gallery))
    for start in range(0, queries, rows):
        yield slice(start, min(start + rows, queries))
