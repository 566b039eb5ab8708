"""Scores between queries and a gallery: how well an item answers a query, larger is better."""

import math

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.ranking_scores import AT_PARENT as AT_PARENT
from hf_hyperbolic.ranking_scores import SIMILARITY_SHARE as SIMILARITY_SHARE
from hf_hyperbolic.ranking_scores import score_matrix

MEASURES = (
    "cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined", "alpha", "beta", "combined", "distance",
)  # fmt: skip
DIRECTIONS = ("children", "parents")
HYPERBOLIC_MEASURES = ("alpha", "beta", "combined", "distance")
_ROWS_NAMED = 5


def euclidean_counterpart(measure: str) -> str:
    """What ranks a Euclidean model as `measure` ranks a hyperbolic one: the Euclidean angle, cosine for distance."""
    if measure not in HYPERBOLIC_MEASURES:
        return measure
    return "cosine" if measure == "distance" else f"euclidean_{measure}"


def scores(
    queries: Tensor,
    gallery: Tensor,
    measure: str,
    direction: str,
    curvature: lorentz.Curvature | None = None,
) -> Tensor:
    """Scores of every gallery item for every query.

    With ext(apex, other) the exterior angle, which is 0 where `other` lies beyond the apex on the same ray:

    - `alpha`: `ext(child, parent)` in radians, [0, pi]. It grows towards pi as the parent nears the origin, whatever
      its direction: items near the origin are hubs in the direction "parents".
    - `beta`: `pi - ext(parent, child)` in radians, [0, pi], the interior angle at the parent. Never above `alpha`.
    - `combined`: `cos ext(parent, child)` plus twice the cosine similarity, [-3, 3]: the part must lie behind the whole
      and look like it. For models trained by both, angle and similarity.
    - `euclidean_alpha`, `euclidean_beta`, `euclidean_combined`: the same with the Euclidean angle between the same
      vectors.
    - `cosine`: cosine similarity of the vectors, [-1, 1]. Symmetric: the direction makes no difference.
    - `distance`: minus the hyperbolic distance, at most 0. Symmetric as well.

    The score matrix is materialised: pass a large gallery in pieces.

    Args:
        queries: (Q, D) embeddings; for a hyperbolic model, space components.
        gallery: (G, D) embeddings.
        measure: one of `MEASURES`.
        direction: "children" where queries are parents and gallery items candidate children, "parents" where queries
            are children and gallery items candidate parents.
        curvature: c > 0 of the space of curvature -c; needed by `alpha`, `beta`, `combined` and `distance`, ignored by
            the others.

    Returns:
        (Q, G) float32 scores, float64 for float64 embeddings.

    Raises:
        ValueError: for an unknown measure or direction, shapes that do not match, a hyperbolic measure without
            curvature or with one that is not positive and finite, or embeddings that are not finite.
    """
    _check(queries, gallery, measure, direction, curvature)
    return score_matrix(queries, gallery, measure, direction, curvature)


def check_arguments(
    queries: Tensor | np.ndarray,
    gallery: Tensor | np.ndarray,
    measure: str,
    direction: str,
    curvature: lorentz.Curvature | None,
) -> None:
    """Raises ValueError for an unknown measure or direction, shapes that do not match, or a curvature that is missing
    or not a positive number.

    Values are not looked at: see `bad_rows`.
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: choose one of {', '.join(MEASURES)}")
    if direction not in DIRECTIONS:
        raise ValueError(
            f"unknown direction {direction!r}: choose 'children' (queries are parents) "
            "or 'parents' (queries are children)"
        )
    if measure in HYPERBOLIC_MEASURES and curvature is None:
        raise ValueError(f"measure {measure!r} is hyperbolic: pass curvature=, for a model `model.curvature`")
    if measure in HYPERBOLIC_MEASURES and curvature is not None and not 0 < float(curvature) < math.inf:
        raise ValueError(f"curvature is {float(curvature)}: give a finite c > 0, the space then has curvature -c")
    for name, embeddings in (("queries", queries), ("gallery", gallery)):
        if embeddings.ndim != 2:
            raise ValueError(f"{name} has shape {tuple(embeddings.shape)}: give a matrix of one embedding a row")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions and the gallery {gallery.shape[1]}: embed both with one model"
        )


def bad_rows(name: str, bad: list[int], total: int, fault: str = "NaN or infinite values") -> ValueError:
    """The error for a matrix called `name` of `total` rows, of which the rows `bad` hold what they must not."""
    rows = ", ".join(str(row) for row in bad[:_ROWS_NAMED])
    more = ", ..." if len(bad) > _ROWS_NAMED else ""
    return ValueError(
        f"{name} holds {fault} in {len(bad)} of {total} rows (rows {rows}{more}): "
        "drop them or look at the images they come from"
    )


def _check(queries: Tensor, gallery: Tensor, measure: str, direction: str, curvature: lorentz.Curvature | None) -> None:
    check_arguments(queries, gallery, measure, direction, curvature)
    for name, embeddings in (("queries", queries), ("gallery", gallery)):
        # a finite sum has finite terms, and is found several times as fast as a flag a row
        if torch.isfinite(embeddings.sum()):
            continue
        bad = (~torch.isfinite(embeddings).all(dim=1)).nonzero().flatten()
        if len(bad):
            raise bad_rows(name, bad.tolist(), len(embeddings))
