"""Distance between label distributions: how far the labels retrieved are from the labels wanted.

The ground (what it costs to turn one class into another) is a parameter, because no order of classes is natural:
`"index"` puts class c at c on a line (unit spacing, as the 1-D Wasserstein of arXiv 2411.17490 appears to), a
`ClassTree` costs the path between two classes, and a (C, C) matrix costs whatever it says.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import ot


@dataclass(frozen=True)
class ClassTree:
    """A tree over classes; classes may be leaves or inner nodes.

    Attributes:
        parent: (T,) int, parent of each tree node, -1 at the root. The first C nodes are the C classes; nodes after
            them are inner nodes without a class of their own.
        weight: (T,) float, length of the edge to the parent, at least 0; 1 everywhere when None. The root's is unused.
    """

    parent: np.ndarray
    weight: np.ndarray | None = None

    def subtrees(self) -> np.ndarray:
        """(T, T) bool: row t marks the nodes of t's subtree, t included.

        Raises:
            ValueError: there is not exactly one root, a parent is out of range, or the parents go round in a circle.
        """
        parent = np.asarray(self.parent)
        nodes = len(parent)
        if (parent == -1).sum() != 1 or not ((parent >= -1) & (parent < nodes)).all():
            raise ValueError(f"ClassTree.parent must hold one -1 (the root) and else nodes in [0, {nodes})")
        inside = np.eye(nodes, dtype=bool)
        current = parent.copy()
        for _ in range(nodes):
            live = np.flatnonzero(current >= 0)
            if not len(live):
                return inside
            inside[current[live], live] = True
            current[live] = parent[current[live]]
        raise ValueError("ClassTree.parent goes round in a circle")


Ground = Literal["index"] | ClassTree | np.ndarray


def wasserstein_index(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """1-D Wasserstein distance with class c at position c: the sum of |cumulative differences|.

    Args:
        p: (..., C) distribution, sums to 1.
        q: (..., C) distribution, sums to 1.

    Returns:
        (...) float64 in [0, C - 1], in classes.
    """
    # the last cumulative difference is 0 but for rounding
    return np.abs(np.cumsum(p - q, axis=-1)[..., :-1]).sum(-1)


def wasserstein_tree(p: np.ndarray, q: np.ndarray, tree: ClassTree) -> np.ndarray:
    """Wasserstein distance on a tree: over edges, length times |difference of the mass below| (Evans & Matsen 2012).

    Args:
        p: (..., C) distribution over the first C nodes of the tree.
        q: (..., C) likewise.
        tree: at least C nodes.

    Returns:
        (...) float64.
    """
    classes = p.shape[-1]
    inside = tree.subtrees()
    if len(inside) < classes:
        raise ValueError(f"ClassTree has {len(inside)} nodes for {classes} classes: its first nodes are the classes")
    weight = np.ones(len(inside)) if tree.weight is None else np.array(tree.weight, dtype=np.float64)
    weight[np.asarray(tree.parent) == -1] = 0
    return np.abs((p - q) @ inside[:, :classes].T) @ weight


def wasserstein_cost(p: np.ndarray, q: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Earth mover's distance for any cost matrix, one linear programme a row (POT's `emd2`).

    Args:
        p: (..., C) distribution.
        q: (..., C) distribution.
        cost: (C, C), at least 0.

    Returns:
        (...) float64.
    """
    p, q = np.broadcast_arrays(p, q)
    classes = p.shape[-1]
    cost = np.ascontiguousarray(cost, dtype=np.float64)
    if cost.shape != (classes, classes):
        raise ValueError(f"the cost matrix has shape {cost.shape}, expected {(classes, classes)}")
    rows = zip(p.reshape(-1, classes), q.reshape(-1, classes), strict=True)
    # POT asks for totals equal to the last bit
    distances = [ot.emd2(a / a.sum(), b / b.sum(), cost) for a, b in rows]
    return np.array(distances, dtype=np.float64).reshape(p.shape[:-1])


def label_distance(p: np.ndarray, q: np.ndarray, ground: Ground = "index") -> np.ndarray:
    """Wasserstein distance between label distributions (..., C) under a ground; see the module's docstring.

    Raises:
        ValueError: the ground is neither `"index"`, a `ClassTree` nor a (C, C) matrix.
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if isinstance(ground, str) and ground == "index":
        return wasserstein_index(p, q)
    if isinstance(ground, ClassTree):
        return wasserstein_tree(p, q, ground)
    if isinstance(ground, np.ndarray):
        return wasserstein_cost(p, q, ground)
    raise ValueError(f"ground must be 'index', a ClassTree or a (C, C) cost matrix, got {ground!r}")
