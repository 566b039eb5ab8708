"""Recall@k, OT@k, precision, average precision and precision-recall curves over a whole ranking: ours against numpy.

python benchmarks/full_ranking.py

The split is generated, of the size of Open Images V7 validation: boxes of 600 classes, few of them common, embedded
below class and group in a random tree, every twentieth a copy of another (ties). numpy sorts query after query and
counts along the ranking, on one core; ours uses all. Processor time (CPU) says what the work itself costs, and is less
disturbed by what else the machine does. Each of the two runs in a process of its own, whose peak memory is given.
"""

import argparse
import json
import multiprocessing
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from machine import peak_memory, processor

from hf_hyperbolic import lorentz
from hf_hyperbolic.evaluation import parent_to_child
from hf_hyperbolic.evaluation.nodes import Direction, tiles
from hf_hyperbolic.evaluation.parent_to_child import KS, RECALL_LEVELS, ParentToChild
from hf_hyperbolic.evaluation.ranking import k_name
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer

CLASSES, GROUPS, DIMENSION, BOXES_PER_SCENE = 600, 40, 128, 7
MEASURE, CURVATURE = "beta", 1.0

Figures = dict[str, np.ndarray]


def split(queries: int, boxes: int, seed: int = 0) -> tuple[ParentToChild, EmbeddingScorer]:
    """Scenes that each hold a few of the boxes, and a scorer of their embeddings."""
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, CLASSES + 1)
    labels = rng.choice(CLASSES, boxes, p=odds / odds.sum())
    groups = rng.normal(size=(GROUPS, DIMENSION))
    classes = groups[rng.integers(0, GROUPS, CLASSES)] + rng.normal(size=(CLASSES, DIMENSION))
    own = rng.permutation(boxes)[: queries * BOXES_PER_SCENE].reshape(queries, BOXES_PER_SCENE)
    below = classes[labels].astype(np.float32) + 2 * rng.standard_normal((boxes, DIMENSION), dtype=np.float32)
    copies = np.arange(0, boxes, 20)
    below[copies], labels[copies] = below[copies + 1 - boxes], labels[copies + 1 - boxes]
    above = below[own].mean(1) / 3
    tangents = np.concatenate([above, below]) / (DIMENSION**0.5)
    embeds = lorentz.exp_map0(torch.from_numpy(tangents.astype(np.float32)), CURVATURE)
    held = np.zeros((queries, CLASSES), dtype=bool)
    held[np.arange(queries)[:, None], labels[own]] = True
    task = ParentToChild(np.arange(queries), np.arange(queries, queries + boxes), held, labels)
    return task, EmbeddingScorer(embeds, MEASURE, CURVATURE)


def naive(task: ParentToChild, scores: np.ndarray) -> Figures:
    """Figures of every query by sorting and counting along its ranking."""
    found: dict[str, list[Any]] = {}
    gallery = len(task.gallery)
    ranks, wanted = np.arange(1, gallery + 1), task.relevant_distribution()
    for query, row in enumerate(scores):
        labels = task.gallery_labels[np.argsort(-row, kind="stable")]
        relevant = task.query_labels[query][labels]
        hits = np.cumsum(relevant)
        precision, recall = hits / ranks, hits / hits[-1]
        for k in KS:
            cut, name = round(k * gallery) if isinstance(k, float) else k, k_name(k)
            retrieved = np.bincount(labels[:cut], minlength=CLASSES) / cut
            found.setdefault(f"recall@{name}", []).append(recall[cut - 1])
            found.setdefault(f"ot@{name}", []).append(np.abs(np.cumsum(wanted[query] - retrieved)[:-1]).sum())
            if isinstance(k, int):
                found.setdefault(f"precision@{name}", []).append(precision[cut - 1])
        found.setdefault("average_precision", []).append(precision[relevant].mean())
        best_after = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(recall, np.array(RECALL_LEVELS) - 1e-12)
        found.setdefault("precision at recall", []).append(best_after[reached])
    return {name: np.array(values) for name, values in found.items()}


def run_naive(queries: int, boxes: int, measured: int) -> dict[str, Any]:
    task, scorer = split(queries, boxes)
    rows = slice(0, measured)
    few = ParentToChild(task.queries[rows], task.gallery, task.query_labels[rows], task.gallery_labels)
    # of as many queries as a tile has, so that both pay the same for a score
    tile = next(tiles(queries, boxes))
    start, cpu = time.perf_counter(), time.process_time()
    scores = scorer(task.queries[tile], task.gallery, "children")[rows].numpy()
    scored, scoring_cpu = time.perf_counter(), time.process_time() - cpu
    figures = naive(few, scores)
    done, ranking_cpu = time.perf_counter(), time.process_time() - cpu - scoring_cpu
    return {
        "scoring": (scored - start) / (tile.stop - tile.start), "ranking": (done - scored) / measured,
        "cpu": scoring_cpu / (tile.stop - tile.start) + ranking_cpu / measured, "figures": figures,
        "ties": float(np.mean([1 - len(np.unique(row)) / boxes for row in scores[:10]])),
    }  # fmt: skip


def run_ours(queries: int, boxes: int, measured: int) -> dict[str, Any]:
    task, scorer = split(queries, boxes)
    scoring = 0.0

    def timed(queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor:
        nonlocal scoring
        start = time.perf_counter()
        scores = scorer(queries, gallery, direction)
        scoring += time.perf_counter() - start
        return scores

    start, cpu = time.perf_counter(), time.process_time()
    found = parent_to_child.per_query(task, timed)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    figures = {**found.figures, "precision at recall": found.curves}
    return {
        "scoring": scoring / queries, "ranking": (took - scoring) / queries, "cpu": cpu / queries,
        "figures": {name: values[:measured] for name, values in figures.items()},
    }  # fmt: skip


def in_own_process(run: Callable[..., dict[str, Any]], *arguments: int) -> dict[str, Any]:
    """What a run returns, with the peak memory of its process in bytes."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, run, arguments))
    process.start()
    sender.close()
    found: dict[str, Any] = receiver.recv()
    process.join()
    return found


def _send(sender: Any, run: Callable[..., dict[str, Any]], arguments: tuple[int, ...]) -> None:
    found = run(*arguments)
    sender.send(found | {"memory": peak_memory()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--boxes", type=int, default=304_000)
    parser.add_argument("--naive-queries", type=int, default=50, help="of which numpy's time is measured")
    options = parser.parse_args()
    measured = min(options.naive_queries, options.queries)
    print(f"{processor()}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, numpy {np.__version__}, python {platform.python_version()}")
    print(f"{options.queries} queries x {options.boxes} boxes x {CLASSES} classes, dimension {DIMENSION}, {MEASURE}")
    runs = {
        f"numpy, {measured} queries scaled": in_own_process(run_naive, options.queries, options.boxes, measured),
        "ours": in_own_process(run_ours, options.queries, options.boxes, measured),
    }
    reference, ours = runs.values()
    print(f"equal scores: {reference['ties']:.1%} of a query's scores are another item's too\n")
    columns = ("scoring, s", "ranking, s", "ratio", "together, s", "ratio", "CPU, s", "ratio", "peak GB")
    print(f"{'':26}" + "".join(f"{column:>12}" for column in columns))
    for name, run in runs.items():
        cells = []
        for cost in (lambda r: r["ranking"], lambda r: r["scoring"] + r["ranking"], lambda r: r["cpu"]):
            cells += [options.queries * cost(run), cost(reference) / cost(run)]
        cells = [options.queries * run["scoring"], *cells]
        print(f"{name:26}" + "".join(f"{cell:12.1f}" for cell in cells) + f"{run['memory'] / 1e9:12.2f}")
    differences = {
        name: float(np.abs(values - ours["figures"][name]).max()) for name, values in reference["figures"].items()
    }
    print(f"\nlargest difference of a figure, in {measured} queries: {json.dumps(differences)}")


if __name__ == "__main__":
    main()
