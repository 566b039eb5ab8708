"""Text -> image: is what a class is called answered by its boxes, and by the scenes that hold one?

Queries are the names of the classes that occur in the split, each once: classes of one name, as `Traffic light` and
`traffic_light`, are one query, and what is right for either is right. There are two galleries:

- `boxes`: every box of the split. The name is the more general side and the parent; a box is relevant when it is of the
  class.
- `scenes`: the full scenes. The name stands for a thing, which is the child; a scene is relevant when its tree holds
  the class. Where labels are federated, scenes of which that is unknown are left out of the query's gallery.

Figures are the share of the top 10 that is relevant and average precision, means over names with 95 % bootstrap
intervals over names. Chance is exact (the expectation of a random ranking); the ceiling puts all relevant items first.
"""

from collections.abc import Sequence

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.federated import known_labels
from hf_hyperbolic.evaluation.figures import Figure, mean_figures
from hf_hyperbolic.evaluation.full_ranking import average_precision, descending_order
from hf_hyperbolic.evaluation.nodes import Direction, active_boxes, scenes
from hf_hyperbolic.evaluation.ranking import expected_average_precision
from hf_hyperbolic.evaluation.scorer import applicable_measures, is_hyperbolic
from hf_hyperbolic.retrieval.measures import scores

TOP = 10
GALLERIES: dict[str, Direction] = {"boxes": "children", "scenes": "parents"}


def evaluate_text_to_image(
    embeds: torch.Tensor | np.ndarray,
    hierarchy: Hierarchy,
    name_embeds: torch.Tensor | np.ndarray,
    curvature: float | None,
    measures: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    called: np.ndarray | None = None,
) -> tuple[dict[str, dict[str, Figure]], dict[str, np.ndarray]]:
    """Retrieval by the names of the classes.

    Args:
        embeds: (N, D) embeddings of the split, one row a node.
        hierarchy: the split.
        name_embeds: (C, D) embeddings of the names of `hierarchy.class_names`, by the same model.
        curvature: c of the hyperboloid of curvature -c; None or 0 for a Euclidean model.
        measures: names of `retrieval.measures.MEASURES`; when None all that apply.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        called: (C,) number of each class's name, from 0 on, where classes share one; when None each has its own.

    Returns:
        measure -> `boxes_top_10`, `boxes_average_precision`, `scenes_top_10`, `scenes_average_precision` -> `value`,
        `low`, `high`, `chance`, `ceiling`; and `"text_to_image/<measure>/<figure>"` -> (Q,) values of the names that
        occur.

    Raises:
        ValueError: embeddings do not fit, or no class occurs.
    """
    vectors, names = (torch.as_tensor(part).detach().float() for part in (embeds, name_embeds))
    if len(vectors) != hierarchy.num_nodes or len(names) != hierarchy.num_classes:
        raise ValueError(
            f"embeds {tuple(vectors.shape)} must have one row for each of {hierarchy.num_nodes} nodes, and name_embeds "
            f"{tuple(names.shape)} one for each of {hierarchy.num_classes} classes"
        )
    c = curvature if is_hyperbolic(curvature) else None
    chosen = tuple(measures) if measures is not None else applicable_measures(curvature)
    if called is None:
        called = np.arange(hierarchy.num_classes)
    first = np.unique(called, return_index=True)[1]
    names = names[torch.from_numpy(first)]
    table: dict[str, dict[str, Figure]] = {measure: {} for measure in chosen}
    per_query: dict[str, np.ndarray] = {}
    for gallery, direction in GALLERIES.items():
        nodes, relevant, known = _gallery(hierarchy, gallery)
        relevant, known = _of_queries(relevant, known, called, len(first))
        asked = np.flatnonzero(relevant.any(1))
        if not len(asked):
            raise ValueError(f"text -> {gallery}: no class of the split has a box")
        relevant, known = relevant[asked], known[asked]
        items, queries = vectors[torch.from_numpy(nodes)], names[torch.from_numpy(asked)]
        values = {}
        for measure in chosen:
            found = scores(queries, items, measure, direction, curvature=c)
            values[measure] = _figures(found.masked_fill(~torch.from_numpy(known), -torch.inf), relevant)
        for measure, figures in mean_figures(values, *_levels(relevant, known), resamples, seed).items():
            table[measure] |= {f"{gallery}_{name}": found for name, found in figures.items()}
            per_query |= {f"text_to_image/{measure}/{gallery}_{name}": each for name, each in values[measure].items()}
    return table, per_query


def _gallery(hierarchy: Hierarchy, gallery: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(G,) nodes, (C, G) bool which answer which class, and of which that is known."""
    if gallery == "boxes":
        nodes = active_boxes(hierarchy)
        relevant = hierarchy.node_label[nodes] == np.arange(hierarchy.num_classes)[:, None]
        return nodes, relevant, np.ones_like(relevant)
    nodes = scenes(hierarchy)
    held = hierarchy.scene_labels()
    known = known_labels(hierarchy, nodes, held)
    return nodes, held.T, np.ones_like(held.T) if known is None else known.T


def _of_queries(
    relevant: np.ndarray, known: np.ndarray, called: np.ndarray, queries: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of classes -> rows of queries, given the (C,) query of each class; what answers one of them is known."""
    found = np.zeros((queries, relevant.shape[1]), dtype=bool)
    settled = np.ones_like(found)
    np.logical_or.at(found, called, relevant)
    np.logical_and.at(settled, called, known)
    return found, settled | found


def _figures(found: torch.Tensor, relevant: np.ndarray) -> dict[str, np.ndarray]:
    """(Q, G) scores, -inf for what is left out -> figure -> (Q,)."""
    top, precision = np.empty(len(relevant)), np.empty(len(relevant))
    for query, row in enumerate(found):
        right = relevant[query][descending_order(row)]
        top[query] = right[:TOP].mean()
        precision[query] = average_precision(np.flatnonzero(right) + 1)
    return {f"top_{TOP}": top, "average_precision": precision}


def _levels(relevant: np.ndarray, known: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    count, size = relevant.sum(1), known.sum(1)
    best = np.minimum(count, TOP) / np.minimum(size, TOP)
    chance = {f"top_{TOP}": (count / size).mean(), "average_precision": expected_average_precision(count, size).mean()}
    return chance, {f"top_{TOP}": best.mean(), "average_precision": 1.0}
