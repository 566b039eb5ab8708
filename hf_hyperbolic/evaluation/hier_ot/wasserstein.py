"""Wasserstein distance between distributions over classes, row by row, for three kinds of ground."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from tqdm import tqdm

from .class_tree import ClassTree

Ground = Literal["index"] | ClassTree | np.ndarray

# cells of a (rows, T) block of the tree ground: 32 MB of float64
_BLOCK_CELLS = 1 << 22
# simplex steps of one problem; POT's own 100,000 is too few for some dense rows of 600 classes
_MOST_STEPS = 100_000_000
# time of a programme per cell of its cost matrix, in steps of the check for a metric (measured: 40 to 80)
_STEPS_PER_CELL = 50


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

    In depth-first order a subtree is a run, so the mass below a node is a difference of two cumulative sums: linear in
    the nodes of the tree.

    Args:
        p: (..., C) distribution over the first C nodes of the tree.
        q: (..., C) likewise.
        tree: at least C nodes.

    Returns:
        (...) float64.

    Raises:
        ValueError: the tree is none (see `ClassTree`), or has fewer nodes than there are classes.
    """
    difference = p - q
    classes = difference.shape[-1]
    start, end = tree.preorder()
    length = tree.edge_lengths()
    if len(start) < classes:
        raise ValueError(f"ClassTree has {len(start)} nodes for {classes} classes: its first nodes are the classes")
    rows = difference.reshape(-1, classes)
    distances = np.empty(len(rows))
    for block in _blocks(len(rows), len(start)):
        mass = np.zeros((len(rows[block]), len(start) + 1))
        mass[:, 1 + start[:classes]] = rows[block]
        np.cumsum(mass, axis=1, out=mass)
        distances[block] = np.abs(mass[:, end] - mass[:, start]) @ length
    return distances.reshape(difference.shape[:-1])


def wasserstein_cost(p: np.ndarray, q: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Earth mover's distance for any cost matrix, one linear programme a row (POT's `emd2`).

    A programme holds only the classes with mass. Where the cost keeps the triangle inequality and staying is free, mass
    that both sides have stays where it is in some best plan, and is left out as well. Neither changes the distance.

    Args:
        p: (..., C) distribution.
        q: (..., C) distribution.
        cost: (C, C), finite, at least 0; entry (i, j) moves mass from class i of p to class j of q.

    Returns:
        (...) float64.

    Raises:
        ImportError: POT is not installed.
        ValueError: the cost matrix is not (C, C), or holds a negative or non-finite entry.
        RuntimeError: the solver did not reach the optimum.
    """
    p, q = np.broadcast_arrays(p, q)
    classes = p.shape[-1]
    cost = check_cost(cost, classes)
    p_rows, q_rows = p.reshape(-1, classes), q.reshape(-1, classes)
    used = np.flatnonzero(p_rows.any(axis=0) | q_rows.any(axis=0))
    p_rows, q_rows, cost = p_rows[:, used], q_rows[:, used], cost[np.ix_(used, used)]
    cells = np.count_nonzero(p_rows, axis=1) @ np.count_nonzero(q_rows, axis=1)
    # the check is cubic in the classes: worth it where the programmes take longer
    if _STEPS_PER_CELL * cells > len(used) ** 3 and is_metric(cost):
        shared = np.minimum(p_rows, q_rows)
        p_rows, q_rows = p_rows - shared, q_rows - shared
    rows = tqdm(range(len(p_rows)), desc="optimal transport", unit="row", delay=5, leave=False)
    distances = [_solve(p_rows[row], q_rows[row], cost) for row in rows]
    return np.array(distances, dtype=np.float64).reshape(p.shape[:-1])


def label_distance(p: np.ndarray, q: np.ndarray, ground: Ground = "index") -> np.ndarray:
    """Wasserstein distance between label distributions (..., C) under a ground.

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


def check_cost(cost: np.ndarray, classes: int) -> np.ndarray:
    """The cost matrix as (C, C) float64.

    Raises:
        ValueError: another shape, or a negative or non-finite entry.
    """
    cost = np.asarray(cost, dtype=np.float64)
    if cost.shape != (classes, classes):
        raise ValueError(f"the cost matrix has shape {cost.shape}, expected {(classes, classes)}")
    bad = np.argwhere(~(np.isfinite(cost) & (cost >= 0)))
    if len(bad):
        row, column = bad[0].tolist()
        raise ValueError(
            f"the cost matrix holds {cost[row, column]} at ({row}, {column}): costs are finite, at least 0"
        )
    return cost


def is_metric(cost: np.ndarray) -> bool:
    """Whether staying is free and no detour over a third class is cheaper; cost may be asymmetric."""
    if np.diagonal(cost).any():
        return False
    slack = 1e-12 * cost.max(initial=0)
    return all((cost <= cost[:, [middle]] + (cost[middle] + slack)).all() for middle in range(len(cost)))


def _solve(p: np.ndarray, q: np.ndarray, cost: np.ndarray) -> float:
    """Distance of two rows of equal mass, by the programme over their classes."""
    import ot

    sources, targets = np.flatnonzero(p), np.flatnonzero(q)
    # what is left on one side alone is rounding
    if not len(sources) or not len(targets):
        return 0.0
    a, b = p[sources], q[targets]
    part = np.ascontiguousarray(cost[np.ix_(sources, targets)])
    # POT asks for totals equal to the last bit
    distance, log = ot.emd2(a / a.sum(), b / b.sum(), part, numItermax=_MOST_STEPS, log=True)
    if log["warning"]:
        raise RuntimeError(f"optimal transport over {part.shape} classes was not solved: {log['warning']}")
    return float(distance) * (a.sum() + b.sum()) / 2


def _blocks(rows: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK_CELLS // max(1, width))
    for first in range(0, rows, step):
        yield slice(first, first + step)
