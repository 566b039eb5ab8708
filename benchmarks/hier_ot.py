"""The distances of `hier_ot` against POT's own calls, at the size of the published evaluation.

python benchmarks/hier_ot.py
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import ot
from machine import processor

from hf_hyperbolic.evaluation.hier_ot.class_tree import ClassTree
from hf_hyperbolic.evaluation.hier_ot.wasserstein import wasserstein_cost, wasserstein_index, wasserstein_tree


def histograms(rng: np.random.Generator, rows: int, classes: int, held: int) -> np.ndarray:
    """(rows, classes) distributions with mass on `held` classes each."""
    mass = np.zeros((rows, classes))
    for row in mass:
        row[rng.choice(classes, held, replace=False)] = rng.random(held)
    return mass / mass.sum(1, keepdims=True)


def timed(function: Callable[..., np.ndarray], *arguments: Any) -> tuple[np.ndarray, float]:
    """What it returns, and its milliseconds of processor time a row."""
    start = time.process_time()
    found = function(*arguments)
    return found, 1e3 * (time.process_time() - start) / len(found)


def emd2(p: np.ndarray, q: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """POT row by row, on the whole cost matrix."""
    return np.array([ot.emd2(a / a.sum(), b / b.sum(), cost) for a, b in zip(p, q, strict=True)])


def emd2_1d(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    axis = np.arange(p.shape[1], dtype=np.float64)
    return np.array([ot.emd2_1d(axis, axis, a, b, metric="euclidean") for a, b in zip(p, q, strict=True)])


def tree_and_cost(rng: np.random.Generator, classes: int) -> tuple[ClassTree, np.ndarray]:
    """A random tree whose nodes are the classes, and the lengths of its paths."""
    parent = np.array([-1, *(rng.integers(0, max(1, node // 2)) for node in range(1, classes))])
    cost = np.zeros((classes, classes))
    for node in range(1, classes):
        cost[node, :node] = cost[:node, node] = cost[parent[node], :node] + 1
    return ClassTree(parent), cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="queries of the closed forms")
    parser.add_argument("--classes", type=int, default=600)
    parser.add_argument("--programmes", type=int, default=100, help="queries solved by linear programmes")
    arguments = parser.parse_args()
    classes, few = arguments.classes, arguments.programmes
    rng = np.random.default_rng(0)
    print(f"{processor()}, {os.cpu_count()} processors; numpy {np.__version__}, POT {ot.__version__}")
    print(
        f"{classes} classes; ms of processor time a query: of {arguments.rows:,} queries, POT and programmes of {few}\n"
    )
    print(
        f"{'ground':14}{'mass on':>9}  {'POT':10}{'ms':>9}{'here ms':>9}{'ratio':>8}{'greatest difference':>22}",
        flush=True,
    )
    points = rng.random((classes, 8))
    tree, path_cost = tree_and_cost(rng, classes)
    metric = np.linalg.norm(points[:, None] - points, axis=-1)
    axis = np.arange(classes, dtype=np.float64)
    line = np.abs(axis[:, None] - axis)
    for held in (classes, 100, 20, 5):
        p, q = (histograms(rng, arguments.rows, classes, held) for _ in range(2))
        a, b = p[:few], q[:few]
        by_index, by_tree = timed(wasserstein_index, p, q), timed(wasserstein_tree, p, q, tree)
        rows = [
            ("index", "emd2_1d", timed(emd2_1d, a, b), by_index),
            ("index", "emd2", timed(emd2, a, b, line), by_index),
            ("tree", "emd2", timed(emd2, a, b, path_cost), by_tree),
            ("cost, metric", "emd2", timed(emd2, a, b, metric), timed(wasserstein_cost, a, b, metric)),
            ("cost, squared", "emd2", timed(emd2, a, b, metric**2), timed(wasserstein_cost, a, b, metric**2)),
        ]
        for name, call, (expected, theirs), (found, ours) in rows:
            difference = np.abs(found[:few] - expected).max()
            print(
                f"{name:14}{held:>9}  {call:10}{theirs:9.3f}{ours:9.3f}{theirs / ours:8.1f}{difference:22.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
