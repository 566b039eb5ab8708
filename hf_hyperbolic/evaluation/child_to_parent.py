"""Child -> parent, same category, Top-k (arXiv 2411.17490, section 4): what is this a part of?

Queries are all boxes; the gallery is the full scenes, or every node that has a descendant. A retrieved parent counts
when its tree holds the query's category, whether or not it is the query's own; a box does not hold its own category
unless a descendant has it. The figure is the share of the top k that counts, with the query's own image in the gallery
and without it. A node is never retrieved for itself. Where labels are federated, nodes of which it is unknown whether
they hold the query's category are left out of its gallery (see `federated`).

Chance (the share of the gallery that counts) and ceiling (everything that counts first) are exact. Beside
them stands, for scenes, a ranking that knows no query, only which scenes hold many classes (see `oracles`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.federated import known_labels
from hf_hyperbolic.evaluation.nodes import NodeScorer, active_boxes, parents, scenes
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_tiles
from hf_hyperbolic.evaluation.ranking import precision_at, rank_leaving_out
from hf_hyperbolic.evaluation.threads import cache_blocks, spread

KS: tuple[int, ...] = (5, 10, 50, 100)
OTHER_IMAGES = "_other_images"
Gallery = Literal["scenes", "parents"]


@dataclass(frozen=True)
class ChildToParent:
    """The protocol on one hierarchy.

    Attributes:
        queries: (Q,) int64, boxes.
        gallery: (G,) int64, scenes, or nodes with a descendant.
        query_labels: (Q,) int64, class of each query.
        gallery_labels: (G, C) bool, classes among a gallery node's descendants.
        query_images: (Q,) image of each query.
        gallery_images: (G,) image of each gallery node.
        gallery_known: (G, C) bool, classes of which it is known whether they are there; None when all are.
    """

    queries: np.ndarray
    gallery: np.ndarray
    query_labels: np.ndarray
    gallery_labels: np.ndarray
    query_images: np.ndarray
    gallery_images: np.ndarray
    gallery_known: np.ndarray | None = None

    def relevance(self, rows: slice) -> np.ndarray:
        """(q, G) bool: which gallery nodes count for a slice of the queries."""
        return self.gallery_labels.T[self.query_labels[rows]]

    def unknown(self, rows: slice) -> np.ndarray:
        """(q, G) bool: gallery nodes of which it is unknown whether they count."""
        if self.gallery_known is None:
            return np.zeros((len(self.queries[rows]), len(self.gallery)), dtype=bool)
        return ~self.gallery_known.T[self.query_labels[rows]]

    def itself(self, rows: slice) -> np.ndarray:
        """(q, G) bool: gallery nodes that are the query."""
        return self.queries[rows][:, None] == self.gallery

    def own_image(self, rows: slice) -> np.ndarray:
        """(q, G) bool: gallery nodes of the query's own image."""
        return self.query_images[rows][:, None] == self.gallery_images


def prepare(hierarchy: Hierarchy, gallery: Gallery = "scenes") -> ChildToParent:
    """Queries, gallery and relevance of the protocol.

    Args:
        hierarchy: the split.
        gallery: `"scenes"`, or `"parents"` for every node that has a descendant.

    Raises:
        ValueError: there is no box, or `gallery` is neither.
    """
    if gallery not in ("scenes", "parents"):
        raise ValueError(f"gallery must be 'scenes' or 'parents', got {gallery!r}")
    queries = active_boxes(hierarchy)
    if not len(queries):
        raise ValueError(
            f"child -> parent has no query: none of {hierarchy.num_images} scenes has a box that is not the whole image"
        )
    nodes = scenes(hierarchy) if gallery == "scenes" else parents(hierarchy)
    held = hierarchy.subtree_labels(nodes)
    return ChildToParent(
        queries=queries,
        gallery=nodes,
        query_labels=hierarchy.node_label[queries].astype(np.int64),
        gallery_labels=held,
        query_images=hierarchy.node_image[queries],
        gallery_images=hierarchy.node_image[nodes],
        gallery_known=known_labels(hierarchy, nodes, held),
    )


def per_query(
    task: ChildToParent, scorer: NodeScorer, ks: Sequence[int] = KS, processes: Processes = ALONE
) -> dict[str, np.ndarray]:
    """Share of the top k that counts, for every query.

    Args:
        task: the protocol.
        scorer: scores nodes for boxes, direction `"parents"`.
        ks: cut-offs; a gallery smaller than k is judged whole.
        processes: that share the queries; each gets the figures of all.

    Returns:
        `top_k` and `top_k_other_images` (own image left out) for each k: (Q,) float64, NaN where the gallery is empty.
    """

    def of_tile(rows: slice) -> dict[str, np.ndarray]:
        tile = scorer(task.queries[rows], task.gallery, "parents")

        def of_block(block: slice) -> dict[str, np.ndarray]:
            part, scores = slice(rows.start + block.start, rows.start + block.stop), tile[block]
            if task.gallery_known is not None:
                scores = scores.masked_fill(torch.from_numpy(task.unknown(part)).to(scores.device), -torch.inf)
            relevance = torch.from_numpy(task.relevance(part)).to(scores.device)
            masks = [torch.from_numpy(mask).to(scores.device) for mask in (task.itself(part), task.own_image(part))]
            rankings = rank_leaving_out(scores, relevance, masks, depth=max(ks))
            return {
                f"top_{k}{suffix}": precision_at(ranking, k).cpu().numpy()
                for suffix, ranking in zip(("", OTHER_IMAGES), rankings, strict=True)
                for k in ks
            }

        return _joined(spread(of_block, cache_blocks(tile)))

    return _joined(map_tiles(of_tile, len(task.queries), len(task.gallery), processes, "child -> parent"))


def levels_per_query(
    task: ChildToParent, ks: Sequence[int] = KS
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What a random ranking is expected to reach, and what the best possible reaches: (Q,) each, as `per_query`.

    Both follow from how much of the gallery is left to a query, and how much of that counts: numbers by class, less
    those of the query itself or of its image.
    """
    random: dict[str, np.ndarray] = {}
    best: dict[str, np.ndarray] = {}
    labels = task.query_labels
    known = np.ones_like(task.gallery_labels) if task.gallery_known is None else task.gallery_known
    flags = (task.gallery_labels & known, known)
    whole = [flag.sum(0)[labels] for flag in flags]
    place = np.searchsorted(task.gallery, task.queries)
    place[place == len(task.gallery)] = 0
    there = task.gallery[place] == task.queries
    itself = [np.where(there, flag[place, labels], 0) for flag in flags]
    own_image = [_counts_in_image(task, flag) for flag in flags]
    for suffix, left_out in (("", itself), (OTHER_IMAGES, own_image)):
        relevant, size = (every - less for every, less in zip(whole, left_out, strict=True))
        with np.errstate(invalid="ignore"):  # an empty gallery: 0 / 0, undefined
            for k in ks:
                used = np.minimum(k, size)
                random[f"top_{k}{suffix}"] = relevant / size
                best[f"top_{k}{suffix}"] = np.minimum(used, relevant) / used
    return random, best


def chance_and_ceiling(task: ChildToParent, ks: Sequence[int] = KS) -> tuple[dict[str, float], dict[str, float]]:
    """Means of `levels_per_query` over the queries whose gallery is not empty."""
    random, best = levels_per_query(task, ks)
    return {name: _mean(values) for name, values in random.items()}, {name: _mean(v) for name, v in best.items()}


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _counts_in_image(task: ChildToParent, flags: np.ndarray) -> np.ndarray:
    """(Q,) int64: of the gallery nodes of a query's image, how many have its class marked in (G, C) `flags`."""
    images = np.unique(task.gallery_images)
    order = np.argsort(task.gallery_images, kind="stable")
    starts = np.searchsorted(task.gallery_images[order], images)
    counts = np.add.reduceat(flags[order], starts, axis=0, dtype=np.int32)
    place = np.minimum(np.searchsorted(images, task.query_images), len(images) - 1)
    there = images[place] == task.query_images
    return np.where(there, counts[place, task.query_labels], 0).astype(np.int64)
