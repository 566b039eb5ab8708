"""The formulas of the ranking measures, whose arguments are taken as they come. May travel with a checkpoint.

`hf_hyperbolic.retrieval.scores` says what each measure means, and checks what it is given.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from .euclidean import exterior_angle as euclidean_exterior_angle
from .euclidean import pairwise_exterior_angle as euclidean_pairwise_exterior_angle
from .lorentz import Curvature, distance, exterior_angle, pairwise_distance, pairwise_exterior_angle, promote

# measures of the angle at the parent, whichever of query and item that is
AT_PARENT = ("beta", "combined", "euclidean_beta", "euclidean_combined")
# of the cosine similarity in `combined`, see docs/recipe.md
SIMILARITY_SHARE = 2.0


def score_matrix(
    queries: Tensor, gallery: Tensor, measure: str, direction: str, curvature: Curvature | None = None
) -> Tensor:
    """(Q, D) queries and a (G, D) gallery -> (Q, G) scores, larger is better."""
    if measure == "cosine":
        return _cosines(queries, gallery)
    if measure == "distance":
        assert curvature is not None
        return -pairwise_distance(queries, gallery, curvature)
    first = apex_is_query(measure, direction)
    apex, other = (queries, gallery) if first else (gallery, queries)
    if measure.startswith("euclidean"):
        angle = euclidean_pairwise_exterior_angle(apex, other)
    else:
        assert curvature is not None
        angle = pairwise_exterior_angle(apex, other, curvature)
    if not first:
        angle = angle.T
    if measure.endswith("combined"):
        return angle.cos() + SIMILARITY_SHARE * _cosines(queries, gallery)
    return math.pi - angle if measure.endswith("beta") else angle


def score_rows(
    queries: Tensor, items: Tensor, measure: str, direction: str, curvature: Curvature | None = None
) -> Tensor:
    """(n, D) queries and (n, D) items -> (n,) scores of every query for the item in its row."""
    if measure == "cosine":
        return _row_cosines(queries, items)
    if measure == "distance":
        assert curvature is not None
        return -distance(queries, items, curvature)
    apex, other = (queries, items) if apex_is_query(measure, direction) else (items, queries)
    if measure.startswith("euclidean"):
        angle = euclidean_exterior_angle(apex, other)
    else:
        assert curvature is not None
        angle = exterior_angle(apex, other, curvature)
    if measure.endswith("combined"):
        return angle.cos() + SIMILARITY_SHARE * _row_cosines(queries, items)
    return math.pi - angle if measure.endswith("beta") else angle


def apex_is_query(measure: str, direction: str) -> bool:
    """Whether an angle's measure looks at the angle at the query."""
    return (direction == "children") == (measure in AT_PARENT)


def _cosines(queries: Tensor, gallery: Tensor) -> Tensor:
    queries, gallery = promote(queries, gallery)
    with torch.autocast(queries.device.type, enabled=False):
        return (functional.normalize(queries, dim=1) @ functional.normalize(gallery, dim=1).T).clamp(-1, 1)


def _row_cosines(queries: Tensor, items: Tensor) -> Tensor:
    queries, items = promote(queries, items)
    return functional.cosine_similarity(queries, items, dim=1).clamp(-1, 1)
