"""Parent -> child, hierarchical retrieval (arXiv 2411.17490, section 4): what is inside this scene?

Queries are the full scenes, the gallery is every box of the split, and a box is relevant when its category occurs in
the scene's tree. Large k are meant: with a third of the gallery relevant, recall at a small k says little. Figures are
Recall@k, OT@k (distance between the label distribution of the relevant boxes and that of the k retrieved), precision at
absolute k, average precision, and the interpolated precision-recall curve.

Chance is exact for recall, precision and average precision (a random ranking's expectation) and simulated, seeded, for
OT and the precision-recall curve. The ceiling is what a ranking reaches that puts every relevant box before every
other. For OT that ranking is taken to be stratified too: within the relevant, and then within the rest, labels come in
proportion to their frequency. It is an oracle, not a strict bound: past the last relevant box, a ranking could still
prefer irrelevant boxes whose class lies near a wanted one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..data.hierarchy import Hierarchy
from .nodes import Direction, NodeScorer, active_boxes, scenes, tiles
from .optimal_transport import Ground, label_distance
from .ranking import (
    K,
    average_precision,
    expected_average_precision,
    k_name,
    precision_at,
    precision_at_recall,
    rank,
    recall_at,
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
    """

    queries: np.ndarray
    gallery: np.ndarray
    query_labels: np.ndarray
    gallery_labels: np.ndarray

    def label_counts(self) -> np.ndarray:
        """(C,) int64: boxes of each class in the gallery."""
        return np.bincount(self.gallery_labels, minlength=self.query_labels.shape[1])

    def num_relevant(self) -> np.ndarray:
        """(Q,) int64: relevant boxes of each query, at least 1."""
        return self.query_labels.astype(np.int64) @ self.label_counts()

    def relevant_distribution(self) -> np.ndarray:
        """(Q, C) float64: label distribution of the relevant boxes."""
        counts = self.query_labels * self.label_counts()
        return counts / counts.sum(1, keepdims=True)


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
    return ParentToChild(queries, gallery, labels[queries], hierarchy.node_label[gallery].astype(np.int64))


def per_query(
    task: ParentToChild,
    scorer: NodeScorer,
    ks: Sequence[K] = KS,
    recall_levels: Sequence[float] = RECALL_LEVELS,
    ground: Ground = "index",
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Figures of every query.

    Args:
        task: the protocol.
        scorer: scores boxes for scenes, direction `"children"`.
        ks: cut-offs; an int counts boxes, a float in (0, 1] is a share of the gallery.
        recall_levels: of the precision-recall curve.
        ground: of the optimal transport.

    Returns:
        `recall@k`, `ot@k` for all k, `precision@k` for absolute k, `average_precision`: (Q,) float64 each;
        and the interpolated precision (Q, L).
    """
    size = len(task.gallery)
    cuts = {k_name(k): resolve_k(k, size) for k in ks}
    absolute = [k_name(k) for k in ks if isinstance(k, int)]
    parts: dict[str, list[np.ndarray]] = {}
    curves: list[np.ndarray] = []
    wanted = task.relevant_distribution()
    for rows in tiles(len(task.queries), size):
        scores = scorer(task.queries[rows], task.gallery, "children")
        relevance = torch.from_numpy(task.query_labels[rows][:, task.gallery_labels]).to(scores.device)
        ranking = rank(scores, relevance)
        labels = task.gallery_labels[ranking.order.cpu().numpy()]
        retrieved = _label_histograms(labels, sorted(set(cuts.values())), task.query_labels.shape[1])
        for name, k in cuts.items():
            parts.setdefault(f"recall@{name}", []).append(recall_at(ranking, k).cpu().numpy())
            distance = label_distance(wanted[rows], retrieved[k] / k, ground)
            parts.setdefault(f"ot@{name}", []).append(distance)
        for name in absolute:
            parts.setdefault(f"precision@{name}", []).append(precision_at(ranking, cuts[name]).cpu().numpy())
        parts.setdefault("average_precision", []).append(average_precision(ranking).cpu().numpy())
        curves.append(precision_at_recall(ranking, recall_levels).cpu().numpy())
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}, np.concatenate(curves)


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
    size, relevant, counts = len(task.gallery), task.num_relevant(), task.label_counts()
    repeats = max(1, -(-rankings // len(task.queries)))
    wanted = task.relevant_distribution()
    levels = {"average_precision": float(expected_average_precision(relevant, size).mean())}
    for k in ks:
        name, cut = k_name(k), resolve_k(k, size)
        levels[f"recall@{name}"] = cut / size
        # the labels of the first k of a random ranking are a draw without replacement
        drawn = rng.multivariate_hypergeometric(counts, cut, size=(repeats, len(wanted)), method="marginals")
        levels[f"ot@{name}"] = float(label_distance(np.broadcast_to(wanted, drawn.shape), drawn / cut, ground).mean())
        if isinstance(k, int):
            levels[f"precision@{name}"] = float((relevant / size).mean())

    def random_scores(queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor:
        return torch.from_numpy(rng.random((len(queries), len(gallery)), dtype=np.float32))

    curves = [per_query(task, random_scores, (), recall_levels)[1].mean(0) for _ in range(repeats)]
    return levels, np.mean(curves, axis=0)


def ceiling(task: ParentToChild, ks: Sequence[K] = KS, ground: Ground = "index") -> dict[str, float]:
    """What a ranking with every relevant box first reaches: figure -> mean; for OT see the module's docstring."""
    size, relevant, counts = len(task.gallery), task.num_relevant(), task.label_counts()
    wanted = task.relevant_distribution()
    others = np.where(task.query_labels, 0, counts)
    share = others / np.maximum(others.sum(1, keepdims=True), 1)
    levels = {"average_precision": 1.0}
    for k in ks:
        name, cut = k_name(k), resolve_k(k, size)
        found = np.minimum(cut, relevant)
        levels[f"recall@{name}"] = float((found / relevant).mean())
        retrieved = (found[:, None] * wanted + (cut - found)[:, None] * share) / cut
        levels[f"ot@{name}"] = float(label_distance(wanted, retrieved, ground).mean())
        if isinstance(k, int):
            levels[f"precision@{name}"] = float((found / cut).mean())
    return levels


def _label_histograms(labels: np.ndarray, cuts: Sequence[int], classes: int) -> dict[int, np.ndarray]:
    """(Q, G) labels best first -> for each cut (ascending), (Q, C) counts among the first of it."""
    rows = len(labels)
    offset = np.arange(rows)[:, None] * classes
    counted, previous, histograms = np.zeros((rows, classes), dtype=np.int64), 0, {}
    for cut in cuts:
        segment = (labels[:, previous:cut] + offset).ravel()
        counted = counted + np.bincount(segment, minlength=rows * classes).reshape(rows, classes)
        histograms[cut], previous = counted, cut
    return histograms
