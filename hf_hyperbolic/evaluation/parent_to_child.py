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
from hf_hyperbolic.evaluation.full_ranking import (
    average_precision,
    descending_order,
    label_counts,
    precision_at_recall,
)
from hf_hyperbolic.evaluation.nodes import Direction, NodeScorer, active_boxes, scenes, tiles
from hf_hyperbolic.evaluation.optimal_transport import Ground, label_distance
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_tiles
from hf_hyperbolic.evaluation.ranking import K, expected_average_precision, named_cuts, refuse_nan, resolve_k
from hf_hyperbolic.evaluation.threads import row_blocks, spread

KS: tuple[K, ...] = (10, 100, 0.1, 0.5, 0.8)
RECALL_LEVELS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(21))

# cells of a block of label distributions: 17 MB of float64
_HISTOGRAM_CELLS = 1 << 21


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
        return _masked_sums(self.query_labels, self.label_counts())

    def gallery_sizes(self) -> np.ndarray:
        """(Q,) int64: boxes in the gallery of each query, those of unknown relevance left out."""
        if self.query_known is None:
            return np.full(len(self.queries), len(self.gallery))
        return _masked_sums(self.query_known, self.label_counts())

    def cuts(self, k: K) -> np.ndarray:
        """(Q,) int64: a cut-off as a number of boxes of each query's gallery."""
        sizes, place = np.unique(self.gallery_sizes(), return_inverse=True)
        return np.array([resolve_k(k, int(size)) for size in sizes], dtype=np.int64)[place]

    def relevant_distribution(self, rows: slice = slice(None)) -> np.ndarray:
        """(q, C) float64: label distribution of the relevant boxes, for a slice of the queries."""
        counts = self.query_labels[rows] * self.label_counts()
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
    processes: Processes = ALONE,
) -> PerQuery:
    """Figures of every query.

    Args:
        task: the protocol.
        scorer: scores boxes for scenes, direction `"children"`.
        ks: cut-offs; an int counts boxes, a float in (0, 1] is a share of the gallery.
        recall_levels: of the precision-recall curve.
        ground: of the optimal transport.
        processes: that share the queries; each gets the figures of all.

    Raises:
        ValueError: a score is NaN, or two cut-offs would have one name.
    """
    named = named_cuts(ks)
    cuts = {name: task.cuts(k) for name, k in named.items()}
    counts = task.label_counts()
    # small numbers stay in cache while they are put in the order of a ranking
    gallery_labels = task.gallery_labels.astype(np.int16 if len(counts) <= np.iinfo(np.int16).max else np.int32)

    def of_tile(rows: slice) -> PerQuery:
        scores = scorer(task.queries[rows], task.gallery, "children")
        refuse_nan(scores)
        if task.query_known is not None:
            known = torch.from_numpy(task.query_known[rows][:, task.gallery_labels]).to(scores.device)
            scores = scores.masked_fill(~known, -torch.inf)
        held, queries = task.query_labels[rows], len(scores)
        cut = np.stack([every[rows] for every in cuts.values()], axis=1) if cuts else np.zeros((queries, 0), np.int64)
        retrieved = np.zeros((queries, len(cuts), len(counts)), dtype=np.int64)
        total, eligible, average = np.zeros(queries), np.zeros(queries), np.zeros(queries)
        curves = np.zeros((queries, len(recall_levels)))

        def of_rows(block: slice) -> None:
            for query in range(block.start, block.stop):
                labels = gallery_labels[descending_order(scores[query])]
                ranks = np.flatnonzero(held[query].take(labels)) + 1
                retrieved[query] = label_counts(labels, cut[query], len(counts))
                total[query], eligible[query] = len(ranks), len(labels)
                average[query] = average_precision(ranks)
                curves[query] = precision_at_recall(ranks, recall_levels)

        spread(of_rows, row_blocks(queries))
        wanted = task.relevant_distribution(rows)
        figures, of_class = {}, {}
        for column, (name, k) in enumerate(named.items()):
            found = retrieved[:, column]
            hits, used = np.where(held, found, 0).sum(1), np.minimum(cut[:, column], eligible)
            with np.errstate(invalid="ignore"):  # a scorer that excludes all there is: 0 / 0, undefined
                figures[f"recall@{name}"] = hits / total
                figures[f"ot@{name}"] = label_distance(wanted, found / used[:, None], ground)
                if isinstance(k, int):
                    figures[f"precision@{name}"] = hits / used
            of_class[f"recall@{name}"] = (found / np.maximum(counts, 1))[held]
        return PerQuery(figures | {"average_precision": average}, curves, of_class)

    # a query's label counts at every cut may take more room than its scores
    cells = max(len(task.gallery), 4 * len(cuts) * len(counts))
    parts = map_tiles(of_tile, len(task.queries), cells, processes, "parent -> child")
    return PerQuery(
        {name: np.concatenate([part.figures[name] for part in parts]) for name in parts[0].figures},
        np.concatenate([part.curves for part in parts]),
        {name: np.concatenate([part.class_recall[name] for part in parts]) for name in parts[0].class_recall},
    )


def chance(
    task: ParentToChild,
    ks: Sequence[K] = KS,
    recall_levels: Sequence[float] = RECALL_LEVELS,
    ground: Ground = "index",
    seed: int = 0,
    rankings: int = 1000,
    processes: Processes = ALONE,
) -> tuple[dict[str, float], np.ndarray]:
    """What random rankings reach: figure -> mean, and the mean precision-recall curve (L,).

    Args:
        task: the protocol.
        ks: cut-offs.
        recall_levels: of the curve.
        ground: of the optimal transport.
        seed: of the simulated figures.
        rankings: at least so many random rankings in all (and one a query) are drawn for each simulated figure.
        processes: that share the simulated rankings.
    """
    rng = np.random.default_rng(seed)
    size, relevant = task.gallery_sizes(), task.num_relevant()
    repeats = max(1, -(-rankings // len(task.queries)))
    levels = {"average_precision": float(expected_average_precision(relevant, size).mean())}
    for name, k in named_cuts(ks).items():
        cut = task.cuts(k)
        levels[f"recall@{name}"] = _mean(cut / size)
        levels[f"ot@{name}"] = _random_distance(task, cut, repeats, ground, rng)
        if isinstance(k, int):
            levels[f"precision@{name}"] = float((relevant / size).mean())

    def random_scores(repeat: int) -> NodeScorer:
        """Draws for each query by itself, so that neither tiles nor processes make a difference."""

        def score(queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor:
            found = np.empty((len(queries), len(gallery)), dtype=np.float32)
            for row, query in zip(found, queries.tolist(), strict=True):
                np.random.default_rng((seed, repeat, query)).random(out=row, dtype=np.float32)
            return torch.from_numpy(found)

        return score

    curves = [
        per_query(task, random_scores(repeat), (), recall_levels, processes=processes).curves.mean(0)
        for repeat in range(repeats)
    ]
    return levels, np.mean(curves, axis=0)


def ceiling(task: ParentToChild, ks: Sequence[K] = KS, ground: Ground = "index") -> dict[str, float]:
    """What a ranking with every relevant box first reaches: figure -> mean; for OT see the module's docstring."""
    relevant, counts = task.num_relevant(), task.label_counts()
    levels = {"average_precision": 1.0}
    for name, k in named_cuts(ks).items():
        cut = task.cuts(k)
        found = np.minimum(cut, relevant)
        levels[f"recall@{name}"] = float((found / relevant).mean())
        distances = np.empty(len(cut))
        for rows in tiles(len(cut), len(counts), _HISTOGRAM_CELLS):
            wanted, others = task.relevant_distribution(rows), np.where(task.query_labels[rows], 0, counts)
            if task.query_known is not None:
                others = np.where(task.query_known[rows], others, 0)
            share = others / np.maximum(others.sum(1, keepdims=True), 1)
            first, rest = found[rows, None], (cut - found)[rows, None]
            distances[rows] = label_distance(wanted, (first * wanted + rest * share) / cut[rows, None], ground)
        levels[f"ot@{name}"] = float(distances.mean())
        if isinstance(k, int):
            levels[f"precision@{name}"] = float((found / cut).mean())
    return levels


def _random_distance(
    task: ParentToChild, cut: np.ndarray, repeats: int, ground: Ground, rng: np.random.Generator
) -> float:
    """Mean OT of random rankings of every query, whose labels are a draw without replacement."""
    counts = task.label_counts()
    distances = np.empty((repeats, len(cut)))
    for repeat in range(repeats):
        for rows in tiles(len(cut), len(counts), _HISTOGRAM_CELLS):
            if task.query_known is None:
                drawn = rng.multivariate_hypergeometric(counts, cut[0], size=len(cut[rows]), method="marginals")
            else:
                known = zip(task.query_known[rows], cut[rows], strict=True)
                drawn = np.stack(
                    [
                        rng.multivariate_hypergeometric(np.where(mask, counts, 0), k, method="marginals")
                        for mask, k in known
                    ]
                )
            wanted = task.relevant_distribution(rows)
            distances[repeat, rows] = label_distance(wanted, drawn / cut[rows, None], ground)
    return float(distances.mean())


def _masked_sums(masks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(Q, C) bool and (C,) int64 -> (Q,) int64 sums of the counts marked."""
    blocks = [masks[rows] @ counts for rows in tiles(len(masks), len(counts), _HISTOGRAM_CELLS)]
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64)


def _mean(values: np.ndarray) -> float:
    """The mean, exactly the number itself where all are the same."""
    return float(values[0]) if (values == values[0]).all() else float(values.mean())
