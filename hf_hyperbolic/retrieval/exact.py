"""Scores of `measures.scores`, exact to the last digit of float32 and independent of how they are batched.

A matrix product rounds differently with the shapes it is given, so scores read off one change in their last digits
with the size of a tile, and with them the order of near-ties. Here a pair's score is a function of its two rows alone:
float64 sums over the row, rounded once to float32. `pair_scores` computes it for pairs, `tile_scores` for whole tiles.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.ranking_scores import apex_is_query, score_rows
from hf_hyperbolic.retrieval.measures import AT_PARENT, HYPERBOLIC_MEASURES, SIMILARITY_SHARE

# Below this sin^2 of the angle between directions (theta < 0.01) `1 - cos theta` has lost too many digits even in
# float64, and the pair goes through the geometry's elementwise form, which projects instead of subtracting.
NEARLY_COLLINEAR = 1e-4
ROUNDING = 2.0**-53
# Pairs rescored at a time: their float64 rows stay in a processor's cache.
_PAIRS = 4096


@dataclass(frozen=True)
class Scoring:
    """A measure, a direction and a curvature, with what follows from them.

    Args:
        measure: one of `measures.MEASURES`.
        direction: one of `measures.DIRECTIONS`.
        curvature: c > 0; None for measures that need none.
    """

    measure: str
    direction: str
    curvature: float | None

    @property
    def is_angle(self) -> bool:
        return self.measure not in ("cosine", "distance")

    @property
    def is_hyperbolic(self) -> bool:
        return self.measure in HYPERBOLIC_MEASURES

    @property
    def is_combined(self) -> bool:
        """Whether the score is the cosine of an exterior angle and a share of the cosine similarity."""
        return self.measure.endswith("combined")

    @property
    def at_parent(self) -> bool:
        """Whether the angle is the one at the parent: the smaller the exterior angle, the better."""
        return self.measure in AT_PARENT

    @property
    def apex_is_query(self) -> bool:
        return apex_is_query(self.measure, self.direction)

    @property
    def root_c(self) -> float:
        return math.sqrt(self.curvature) if self.curvature is not None else 1.0


def pair_scores(queries: Tensor, items: Tensor, scoring: Scoring) -> Tensor:
    """Score of every query for the item in the same row.

    Args:
        queries: (n, D) space components of any floating dtype.
        items: (n, D), on the same device.
        scoring: which score.

    Returns:
        (n,) float32 scores, each a function of its two rows only.
    """
    parts = [
        _pair_scores(x.double(), y.double(), scoring)
        for x, y in zip(queries.split(_PAIRS), items.split(_PAIRS), strict=True)
    ]
    return torch.cat(parts).float() if parts else queries.new_zeros(0, dtype=torch.float32)


def _pair_scores(x: Tensor, y: Tensor, scoring: Scoring) -> Tensor:
    x_norm, y_norm = _norm(x), _norm(y)
    # (x * y).sum, not a batched product: its order of summation does not depend on the number of pairs
    cosine = (x * y).sum(-1) / (x_norm.clamp(min=lorentz.MIN_NORM) * y_norm.clamp(min=lorentz.MIN_NORM))
    score, _ = score_of_cosine(cosine, x_norm, y_norm, scoring, 0.0)
    if scoring.measure == "cosine":
        return score
    close = (1 - cosine.square() < NEARLY_COLLINEAR).nonzero().flatten()
    if len(close):
        score[close] = score_rows(x[close], y[close], scoring.measure, scoring.direction, scoring.curvature)
    return score


def _norm(x: Tensor) -> Tensor:
    return x.square().sum(-1).sqrt()


def score_of_cosine(
    cosine: Tensor, x_norm: Tensor, y_norm: Tensor, scoring: Scoring, error: float
) -> tuple[Tensor, Tensor]:
    """Scores from the cosine of the angle between directions and the lengths of both vectors, float64.

    The exterior angle at an apex of dimensionless radius a towards a point of radius b is
    `atan2(sin theta, cosh(a) cos theta - sinh(a) coth(b))`, in Euclidean space `atan2(sin theta, cos theta - a / b)`.

    Args:
        cosine: (...) float64 cosines of the angle between query and item.
        x_norm: (...) Euclidean length of the query's space components, broadcast.
        y_norm: (...) of the item's.
        scoring: which score.
        error: largest error of `cosine`.

    Returns:
        (...) scores and (...) bounds of their error, to first order in `error`.
    """
    if scoring.measure == "cosine":
        return cosine.clamp(-1, 1), torch.full_like(cosine, error + ROUNDING)
    if scoring.measure == "distance":
        sinh_a, sinh_b = scoring.root_c * x_norm, scoring.root_c * y_norm
        scale = sinh_a * sinh_b / 2
        half_chord = ((sinh_b.asinh() - sinh_a.asinh()) / 2).sinh().square() + scale * (1 - cosine).clamp(min=0)
        half_chord = half_chord.clamp(min=torch.finfo(torch.float64).tiny)
        slack = scale * error + 8 * ROUNDING * half_chord
        return (
            half_chord.sqrt().asinh() * (-2 / scoring.root_c),
            slack / (half_chord * (1 + half_chord)).sqrt() / scoring.root_c,
        )
    apex, other = (x_norm, y_norm) if scoring.apex_is_query else (y_norm, x_norm)
    apex, other = apex.clamp(min=lorentz.MIN_NORM), other.clamp(min=lorentz.MIN_NORM)
    if scoring.is_hyperbolic:
        sinh_a, sinh_b = scoring.root_c * apex, scoring.root_c * other
        cosh_a = (1 + sinh_a.square()).sqrt()
        radial = sinh_a * (1 + sinh_b.square()).sqrt() / sinh_b
    else:
        cosh_a = torch.ones_like(apex)
        radial = apex / other
    sine = (1 - cosine.square()).clamp(min=lorentz.MIN_SINE_SQUARED).sqrt()
    across = cosh_a * cosine - radial
    square = sine.square() + across.square()
    angle = torch.atan2(sine, across)
    bound = (
        error * (cosh_a - radial * cosine).abs() / sine + 8 * ROUNDING * (cosh_a + radial) * sine
    ) / square + 4 * ROUNDING
    if scoring.is_combined:
        # the cosine of an angle changes no faster than the angle
        return angle.cos() + SIMILARITY_SHARE * cosine.clamp(-1, 1), bound + SIMILARITY_SHARE * error + 8 * ROUNDING
    return (math.pi - angle if scoring.at_parent else angle), bound


def tile_scores(queries: Tensor, items: Tensor, scoring: Scoring) -> Tensor:
    """`pair_scores` of every query with every item: by a float64 product wherever that settles the float32 digit.

    Args:
        queries: (Q, D) space components.
        items: (T, D), on the same device.
        scoring: which score.

    Returns:
        (Q, T) float32 scores, equal to `pair_scores` of each pair.
    """
    x, y = queries.double(), items.double()
    x_norm, y_norm = _norm(x)[:, None], _norm(y)[None, :]
    x_unit = x / x_norm.clamp(min=lorentz.MIN_NORM)
    y_unit = y / y_norm.T.clamp(min=lorentz.MIN_NORM)
    cosine = x_unit @ y_unit.T
    error = (2 * x.shape[1] + 16) * ROUNDING  # of this product and of the sum in `_pair_scores`, together
    score, bound = score_of_cosine(cosine, x_norm, y_norm, scoring, error)
    unsettled = ~((score - 2 * bound).float() == (score + 2 * bound).float())
    if scoring.measure != "cosine":
        unsettled |= 1 - cosine.square() < NEARLY_COLLINEAR + 4 * error
    score = score.float()
    rows, columns = unsettled.nonzero(as_tuple=True)
    for row, column in zip(rows.split(_PAIRS), columns.split(_PAIRS), strict=True):
        score[row, column] = _pair_scores(x[row], y[column], scoring).float()
    return score
