"""Parent -> child, hierarchical retrieval (arXiv 2411.17490, section 4): what is inside this scene?

Queries are the full scenes, the gallery is every box of the split, and a box is relevant when its category occurs in
the scene's tree. Large k are meant: with a third of the gallery relevant, recall at a small k says little. Figures are
Recall@k, OT@k (distance between the label distribution of the relevant boxes and that of the k retrieved), precision at
absolute k, average precision, and the interpolated precision-recall curve. Where labels are federated, boxes of a
category that is unknown in the scene are left out of its gallery (see `federated`), and a k that is a share is one of
what is left.

Chance is exact for recall, precision and average precision (a random ranking's expectation) and simulated, seeded, for
OT and the precision-recall curve. The ceiling is what a ranking reaches that puts every relevant box before every
other. For OT that ranking is taken to be stratified too: within the relevant, and then within the rest, labels come in
proportion to their frequency. It is an oracle, not a strict bound: past the last relevant box, a ranking could still
prefer irrelevant boxes whose class lies near a wanted one. Beside the two stands a ranking that knows no query, only
which classes are common (see `oracles`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.federated import known_labels
from hf_hyperbolic.evaluation.nodes import Direction, NodeScorer, active_boxes, scenes, tiles
from hf_hyperbolic.evaluation.optimal_transport import Ground, label_distance
from hf_hyperbolic.evaluation.ranking import (
    K,
    average_precision,
    expected_average_precision,
    k_name,
    precision_at_recall,
    rank,
    resolve_k,
)

KS: tuple[K, ...] = (10, 100, 0.1, 0.5, 0.8)
RECALL_LEVELS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(21))


@dataclass(frozen=True)
class ParentToChild:
    """The protocol on one hierarchy.

    Attributes:
        queries: (Q,) int64, scenes that hold at least one box.
        gallery: (G,) int64, boxes.
        query_labels: (Q, C) bool, classes in a query's tree.
        gallery_labels: (G,) int64, class of each box.
        query_known: (Q, C) bool, classes of which it is known whether the scene holds them; None when all are.
    """

    queries: np.ndarray
    gallery: np.ndarray
    query_labels: np.ndarray
    gallery_labels: np.ndarray
    query_known: np.ndarray | None = None

    def label_counts(self) -> np.ndarray:
        """(C,) int64: boxes of each class in the gallery."""
        return np.bincount(self.gallery_labels, minlength=self.query_labels.shape[1])

    def num_relevant(self) -> np.ndarray:
        """(Q,) int64: relevant boxes of each query, at least 1."""
        return self.query_labels.astype(np.int64) @ self.label_counts()

    def gallery_sizes(self) -> np.ndarray:
        """(Q,) int64: boxes in the gallery of each query, those of unknown relevance left out."""
        if self.query_known is None:
            return np.full(len(self.queries), len(self.gallery))
        return self.query_known.astype(np.int64) @ self.label_counts()

    def cuts(self, k: K) -> np.ndarray:
        """(Q,) int64: a cut-off as a number of boxes of each query's gallery."""
        sizes, place = np.unique(self.gallery_sizes(), return_inverse=True)
        return np.array([resolve_k(k, int(size)) for size in sizes], dtype=np.int64)[place]

    def relevant_distribution(self) -> np.ndarray:
        """(Q, C) float64: label distribution of the relevant boxes."""
        counts = self.query_labels * self.label_counts()
        return counts / counts.sum(1, keepdims=True)


class PerQuery(NamedTuple):
    """What `per_query` finds.

    Attributes:
        figures: `recall@k`, `ot@k` for all k, `precision@k` for absolute k, `average_precision`: (Q,) float64 each.
        curves: (Q, L) float64, interpolated precision.
        class_recall: `recall@k` -> (M,) float64: for each query and each class its tree holds, in the order of
            `np.nonzero(query_labels)`, the share of the class's boxes among the first k.
    """

    figures: dict[str, np.ndarray]
    curves: np.ndarray
    class_recall: dict[str, np.ndarray]


def prepare(hierarchy: Hierarchy) -> ParentToChild:
    """Queries, gallery and relevance of the protocol.

    Raises:
        ValueError: no scene holds a box.
    """
    labels, gallery = hierarchy.scene_labels(), active_boxes(hierarchy)
    queries = scenes(hierarchy)[labels.any(1)]
    if not len(queries) or not len(gallery):
        raise ValueError(
            f"parent -> child has no query with a relevant box: {hierarchy.num_images} scenes, {len(gallery)} boxes. "
            "Is the split empty, or is every box the whole image?"
        )
    held = labels[queries]
    return ParentToChild(
        queries, gallery, held, hierarchy.node_label[gallery].astype(np.int64), known_labels(hierarchy, queries, held)
    )


def per_query(
    task: ParentToChild,
    scorer: NodeScorer,
    ks: Sequence[K] = KS,
    recall_levels: Sequence[float] = RECALL_LEVELS,
    ground: Ground = "index",
) -> PerQuery:
    """Figures of every query.

    Args:
        task: the protocol.
        scorer: scores boxes for scenes, direction `"children"`.
        ks: cut-offs; an int counts boxes, a float in (0, 1] is a share of the gallery.
        recall_levels: of the precision-recall curve.
        ground: of the optimal transport.
    """
    cuts = {k_name(k): task.cuts(k) for k in ks}
    absolute = [k_name(k) for k in ks if isinstance(k, int)]
    parts: dict[str, list[np.ndarray]] = {}
    of_class: dict[str, list[np.ndarray]] = {name: [] for name in cuts}
    curves: list[np.ndarray] = []
    wanted, counts = task.relevant_distribution(), task.label_counts()
    for rows in tiles(len(task.queries), len(task.gallery)):
        scores = scorer(task.queries[rows], task.gallery, "children")
        if task.query_known is not None:
            known = torch.from_numpy(task.query_known[rows][:, task.gallery_labels]).to(scores.device)
            scores = scores.masked_fill(~known, -torch.inf)
        held = task.query_labels[rows]
        relevance = torch.from_numpy(held[:, task.gallery_labels]).to(scores.device)
        ranking = rank(scores, relevance)
        labels = task.gallery_labels[ranking.order.cpu().numpy()]
        for name, every in cuts.items():
            k = every[rows]
            retrieved = _label_histogram(labels, k, len(counts))
            last = torch.from_numpy(k - 1)[:, None].to(scores.device)
            hits = ranking.hits.gather(1, last).squeeze(1).cpu().numpy()
            parts.setdefault(f"recall@{name}", []).append(hits / ranking.total.cpu().numpy())
            parts.setdefault(f"ot@{name}", []).append(label_distance(wanted[rows], retrieved / k[:, None], ground))
            of_class[name].append((retrieved / np.maximum(counts, 1))[held])
            if name in absolute:
                parts.setdefault(f"precision@{name}", []).append(hits / np.minimum(k, ranking.eligible.cpu().numpy()))
        parts.setdefault("average_precision", []).append(average_precision(ranking).cpu().numpy())
        curves.append(precision_at_recall(ranking, recall_levels).cpu().numpy())
    return PerQuery(
        {name: np.concatenate(chunks) for name, chunks in parts.items()},
        np.concatenate(curves),
        {f"recall@{name}": np.concatenate(chunks) for name, chunks in of_class.items()},
    )


def chance(
    task: ParentToChild,
    ks: Sequence[K] = KS,
    recall_levels: Sequence[float] = RECALL_LEVELS,
    ground: Ground = "index",
    seed: int = 0,
    rankings: int = 1000,
) -> tuple[dict[str, float], np.ndarray]:
    """What random rankings reach: figure -> mean, and the mean precision-recall curve (L,).

    Args:
        task: the protocol.
        ks: cut-offs.
        recall_levels: of the curve.
        ground: of the optimal transport.
        seed: of the simulated figures.
        rankings: at least so many random rankings in all (and one a query) are drawn for each simulated figure.
    """
    rng = np.random.default_rng(seed)
    size, relevant = task.gallery_sizes(), task.num_relevant()
    repeats = max(1, -(-rankings // len(task.queries)))
    wanted = task.relevant_distribution()
    levels = {"average_precision": float(expected_average_precision(relevant, size).mean())}
    for k in ks:
        name, cut = k_name(k), task.cuts(k)
        levels[f"recall@{name}"] = _mean(cut / size)
        drawn = _random_histograms(task, cut, repeats, rng) / cut[:, None]
        levels[f"ot@{name}"] = float(label_distance(np.broadcast_to(wanted, drawn.shape), drawn, ground).mean())
        if isinstance(k, int):
            levels[f"precision@{name}"] = float((relevant / size).mean())

    def random_scores(queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor:
        return torch.from_numpy(rng.random((len(queries), len(gallery)), dtype=np.float32))

    curves = [per_query(task, random_scores, (), recall_levels).curves.mean(0) for _ in range(repeats)]
    return levels, np.mean(curves, axis=0)


def ceiling(task: ParentToChild, ks: Sequence[K] = KS, ground: Ground = "index") -> dict[str, float]:
    """What a ranking with every relevant box first reaches: figure -> mean; for OT see the module's docstring."""
    relevant, counts = task.num_relevant(), task.label_counts()
    wanted = task.relevant_distribution()
    others = np.where(task.query_labels, 0, counts)
    if task.query_known is not None:
        others = np.where(task.query_known, others, 0)
    share = others / np.maximum(others.sum(1, keepdims=True), 1)
    levels = {"average_precision": 1.0}
    for k in ks:
        name, cut = k_name(k), task.cuts(k)
        found = np.minimum(cut, relevant)
        levels[f"recall@{name}"] = float((found / relevant).mean())
        retrieved = (found[:, None] * wanted + (cut - found)[:, None] * share) / cut[:, None]
        levels[f"ot@{name}"] = float(label_distance(wanted, retrieved, ground).mean())
        if isinstance(k, int):
            levels[f"precision@{name}"] = float((found / cut).mean())
    return levels


def _label_histogram(labels: np.ndarray, cut: np.ndarray, classes: int) -> np.ndarray:
    """(Q, G) labels best first and (Q,) cut-offs -> (Q, C) counts among the first of each row."""
    first = labels[:, : cut.max()]
    if cut.min() < cut.max():
        # what lies behind a row's own cut is counted in a class of its own, and dropped
        first = np.where(np.arange(cut.max()) < cut[:, None], first, classes)
    rows, stride = len(labels), classes + 1
    counted = np.bincount((first + np.arange(rows)[:, None] * stride).ravel(), minlength=rows * stride)
    return counted.reshape(rows, stride)[:, :classes]


def _random_histograms(task: ParentToChild, cut: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """(repeats, Q, C) counts of labels among the first of random rankings: a draw without replacement."""
    counts = task.label_counts()
    if task.query_known is None:
        return rng.multivariate_hypergeometric(counts, cut[0], size=(repeats, len(cut)), method="marginals")
    drawn = [
        rng.multivariate_hypergeometric(np.where(known, counts, 0), k, size=repeats, method="marginals")
        for known, k in zip(task.query_known, cut, strict=True)
    ]
    return np.stack(drawn, axis=1)


def _mean(values: np.ndarray) -> float:
    """The mean, exactly the number itself where all are the same."""
    return float(values[0]) if (values == values[0]).all() else float(values.mean())
