"""Euclidean geometry with the interface of `lorentz`: its limit as the curvature goes to zero.

Every function takes `curvature=None` and ignores it, so that a model or a loss holds one of the two modules and calls
it alike. Points are vectors x of shape (..., D), the origin is `x = 0`, and the maps at the origin are the identity.
Half-precision input is computed and returned in float32; float64 stays float64.
"""

import torch
from torch import Tensor

from .lorentz import MIN_NORM, Curvature, norm, promote, sine_and_versine
from .pairwise_angle import AngleFactors, angle_of_factors


def exp_map0(v: Tensor, curvature: Curvature | None = None) -> Tensor:
    """(..., D) -> (..., D): `v` itself, in float32 or float64."""
    return promote(v)[0]


def log_map0(x: Tensor, curvature: Curvature | None = None) -> Tensor:
    """(..., D) -> (..., D): `x` itself, in float32 or float64."""
    return promote(x)[0]


def radius(x: Tensor, curvature: Curvature | None = None) -> Tensor:
    """(..., D) -> (...): distance of points to the origin, `|x|`."""
    return norm(promote(x)[0]).squeeze(-1)


def distance(x: Tensor, y: Tensor, curvature: Curvature | None = None) -> Tensor:
    """`|x - y|`; its gradient at coincident points is zero.

    Args:
        x: (..., D) points.
        y: (..., D) points, broadcast against `x`.
        curvature: ignored.

    Returns:
        (...) non-negative distances.
    """
    x, y = promote(x, y)
    return norm(x - y).squeeze(-1)


def pairwise_distance(x: Tensor, y: Tensor, curvature: Curvature | None = None) -> Tensor:
    """`|x - y|` for every row of `x` and every row of `y`.

    Args:
        x: (N, D) points.
        y: (M, D) points.
        curvature: ignored.

    Returns:
        (N, M) non-negative distances, from differences rather than from a matrix product: near points stay apart.
    """
    x, y = promote(x, y)
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def exterior_angle(x: Tensor, y: Tensor, curvature: Curvature | None = None) -> Tensor:
    """Angle at `x` between the direction of `x` and `y - x`: 0 where `y` lies beyond `x` on the same ray.

    With the angle theta between the directions of `x` and `y`,
    `ext = atan2(sin theta, (|y| - |x|) / |y| - (1 - cos theta))`. Undefined, but finite with finite gradients, where
    `x` is the origin or `x = y`.

    Args:
        x: (..., D) apex.
        y: (..., D) other point, broadcast against `x`.
        curvature: ignored.

    Returns:
        (...) radians in [0, pi].
    """
    x, y = promote(x, y)
    x_norm, y_norm = norm(x).clamp(min=MIN_NORM).squeeze(-1), norm(y).clamp(min=MIN_NORM).squeeze(-1)
    sine, versine = sine_and_versine(x, y)
    # |y| - |x| = (y - x) . (y + x) / (|x| + |y|) keeps the relative accuracy of near points
    radial = ((y - x) * (y + x)).sum(-1) / ((x_norm + y_norm) * y_norm)
    return torch.atan2(sine, radial - versine)


def pairwise_exterior_angle(x: Tensor, y: Tensor, curvature: Curvature | None = None) -> Tensor:
    """Exterior angle at every row of `x` towards every row of `y`, with one matrix product.

    Less accurate than `exterior_angle` for near-collinear pairs; where `x` and `y` are the same batch the diagonal is
    undefined: mask it.

    Args:
        x: (N, D) apexes.
        y: (M, D) other points.
        curvature: ignored.

    Returns:
        (N, M) radians in [0, pi].
    """
    x, y = promote(x, y)
    return angle_of_factors(angle_factors(x), angle_factors(y))


def angle_factors(x: Tensor, curvature: Curvature | None = None) -> AngleFactors:
    """What `pairwise_exterior_angle` needs of its points: computed once where its pairs are taken in parts.

    Args:
        x: (N, D) points.
        curvature: ignored.
    """
    (x,) = promote(x)
    raw = norm(x)
    length = raw.clamp(min=MIN_NORM)
    one = torch.ones_like(raw)
    return AngleFactors(x / length, one, raw, one, 1 / length)


def geodesic_to_origin(x: Tensor, steps: int, curvature: Curvature | None = None) -> Tensor:
    """Points evenly spaced on the segment from `x` to the origin.

    Args:
        x: (..., D) points.
        steps: number of points, at least 2; the first is `x`, the last the origin.
        curvature: ignored.

    Returns:
        (..., steps, D) points.

    Raises:
        ValueError: if `steps` is less than 2.
    """
    if steps < 2:
        raise ValueError(f"steps is {steps}: a geodesic needs at least its 2 end points")
    (x,) = promote(x)
    share = torch.linspace(1, 0, steps, dtype=x.dtype, device=x.device)
    return share[:, None] * x[..., None, :]
