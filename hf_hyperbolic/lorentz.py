"""Hyperbolic geometry on the hyperboloid: pure functions on space components.

One convention throughout. Space has curvature `-c` with `c > 0`, and the argument called `curvature` is `c`
(geoopt's `k` is `1 / c`). A point is stored by its space components `x` of shape (..., D); its time component
`x_time = sqrt(1 / c + |x|^2)` is recomputed where needed. The Lorentz product is `<x, y> = x . y - x_time * y_time`, so
every point has `<x, x> = -1 / c`. The origin is `x = 0`. Distances are lengths in that space; the dimensionless radius
`a = sqrt(c) * radius(x)` satisfies `sqrt(c) * |x| = sinh(a)`.

`curvature` is a positive float or a 0-d tensor, to which gradients flow. Half-precision input is computed and returned
in float32; float64 stays float64. In float32 the functions hold up to about a = 40, beyond which squares overflow.

Nothing here is `acos` or `acosh` of a rounded number: in float32 `1 - 1e-8 == 1`, so those lose near-collinear and
near-coincident points, and their gradients there are NaN. Angles come from `atan2` and distances from `asinh`, of sums
that do not cancel.
"""

import math

import torch
from torch import Tensor

from .pairwise_angle import AngleFactors, angle_of_factors, versine_of_units

Curvature = float | Tensor

# Norms below this count as the origin, where a direction is undefined: gradients stay finite, points stay put.
MIN_NORM = 1e-8
# Floor under sin^2 of an angle between directions, where the gradient of the square root would be infinite. The
# elementwise form resolves far smaller angles than the pairwise form does (`pairwise_angle`).
MIN_SINE_SQUARED = 1e-24


def time_component(x: Tensor, curvature: Curvature) -> Tensor:
    """Time component of points on the hyperboloid, at least `1 / sqrt(c)`.

    Args:
        x: (..., D) space components.
        curvature: c > 0 of the space of curvature -c.

    Returns:
        (...) `sqrt(1 / c + |x|^2)`.
    """
    (x,) = promote(x)
    root_c = _sqrt_curvature(curvature, x)
    return (1 / root_c**2 + x.square().sum(-1)).sqrt()


def inner_product(x: Tensor, y: Tensor, curvature: Curvature) -> Tensor:
    """Lorentz product `x . y - x_time * y_time`, at most `-1 / c`.

    Args:
        x: (..., D) space components.
        y: (..., D) space components, broadcast against `x`.
        curvature: c > 0.

    Returns:
        (...) products.
    """
    x, y = promote(x, y)
    return (x * y).sum(-1) - time_component(x, curvature) * time_component(y, curvature)


def pairwise_inner_product(x: Tensor, y: Tensor, curvature: Curvature) -> Tensor:
    """Lorentz product of every row of `x` with every row of `y`.

    Args:
        x: (N, D) space components.
        y: (M, D) space components.
        curvature: c > 0.

    Returns:
        (N, M) products, at most `-1 / c`.
    """
    x, y = promote(x, y)
    times = time_component(x, curvature)[:, None] * time_component(y, curvature)[None, :]
    with torch.autocast(x.device.type, enabled=False):
        return x @ y.T - times


def exp_map0(v: Tensor, curvature: Curvature) -> Tensor:
    """Exponential map at the origin: walk along `v` for a distance `|v|`.

    Args:
        v: (..., D) tangent vectors at the origin, space components.
        curvature: c > 0.

    Returns:
        (..., D) space components `sinh(sqrt(c) |v|) v / (sqrt(c) |v|)`.
    """
    (v,) = promote(v)
    angle = _sqrt_curvature(curvature, v) * norm(v).clamp(min=MIN_NORM)
    return v * (angle.sinh() / angle)


def log_map0(x: Tensor, curvature: Curvature) -> Tensor:
    """Logarithmic map at the origin, the inverse of `exp_map0`.

    Args:
        x: (..., D) space components.
        curvature: c > 0.

    Returns:
        (..., D) tangent vectors at the origin, of length `radius(x)`.
    """
    (x,) = promote(x)
    sinh_a = _sqrt_curvature(curvature, x) * norm(x).clamp(min=MIN_NORM)
    return x * (sinh_a.asinh() / sinh_a)


def radius(x: Tensor, curvature: Curvature) -> Tensor:
    """Distance of points to the origin.

    Args:
        x: (..., D) space components.
        curvature: c > 0.

    Returns:
        (...) `asinh(sqrt(c) |x|) / sqrt(c)`, non-negative.
    """
    (x,) = promote(x)
    root_c = _sqrt_curvature(curvature, x)
    return (root_c * norm(x)).asinh().squeeze(-1) / root_c


def distance(x: Tensor, y: Tensor, curvature: Curvature) -> Tensor:
    """Geodesic distance between points, accurate for near and for far ones.

    With radii a and b and the angle theta between directions,
    `sinh(sqrt(c) d / 2)^2 = sinh((b - a) / 2)^2 + sinh(a) sinh(b) (1 - cos theta) / 2`: two positive terms, nothing
    cancels.
    The gradient at coincident points is zero.

    Args:
        x: (..., D) space components.
        y: (..., D) space components, broadcast against `x`.
        curvature: c > 0.

    Returns:
        (...) non-negative distances.
    """
    x, y = promote(x, y)
    root_c = _sqrt_curvature(curvature, x)
    sinh_a, cosh_a = _sinh_cosh(x, root_c, smallest=0)
    sinh_b, cosh_b = _sinh_cosh(y, root_c, smallest=0)
    _, versine = sine_and_versine(x, y)
    sinh_difference = _sinh_difference(x, y, root_c, sinh_a, cosh_a, sinh_b, cosh_b)
    # 2 sinh(delta / 2)^2 = cosh(delta) - 1, written without its cancellation
    square = sinh_difference.square()
    radial = square / (2 + 2 * (1 + square).sqrt())
    return _distance_from_half_chord(radial + (sinh_a * sinh_b).squeeze(-1) * versine / 2, root_c)


def pairwise_distance(x: Tensor, y: Tensor, curvature: Curvature) -> Tensor:
    """Geodesic distance of every row of `x` to every row of `y`, with one matrix product.

    That product is taken in float64 (but on MPS, which has none): in float32 `1 - cos` has steps of 6e-8, and points
    closer than about `5e-4 sinh(a) / sqrt(c)` would not be told apart.

    Args:
        x: (N, D) space components.
        y: (M, D) space components.
        curvature: c > 0.

    Returns:
        (N, M) non-negative distances.
    """
    x, y = promote(x, y)
    dtype = x.dtype
    if x.device.type != "mps":
        x, y = x.double(), y.double()
    root_c = _sqrt_curvature(curvature, x)
    sinh_a, sinh_b = root_c * norm(x), root_c * norm(y).T
    versine = pairwise_versine(x, y).clamp(min=0).to(dtype)
    radial = ((sinh_b.asinh() - sinh_a.asinh()).to(dtype) / 2).sinh().square()
    angular = versine * sinh_a.to(dtype) * (sinh_b / 2).to(dtype)
    return _distance_from_half_chord(radial + angular, _sqrt_curvature(curvature, radial))


def exterior_angle(x: Tensor, y: Tensor, curvature: Curvature) -> Tensor:
    """Exterior angle at `x` of the hyperbolic triangle origin, `x`, `y`: pi minus the interior angle.

    It is 0 where `y` lies beyond `x` on the same ray, and pi where `y` lies between the origin and `x` or on the
    opposite ray. With radii a, b and the angle theta between the directions of `x` and `y`,
    `ext = atan2(sin theta, sinh(b - a) / sinh(b) - cosh(a) (1 - cos theta))`, the stable form of
    `acos((y_time + x_time c <x, y>) / (|x| sqrt((c <x, y>)^2 - 1)))` (Ganea et al. 2018, Desai et al. 2023).
    Undefined, but finite with finite gradients, where `x` is the origin or `x = y`.

    Args:
        x: (..., D) space components of the apex.
        y: (..., D) space components of the other point, broadcast against `x`.
        curvature: c > 0.

    Returns:
        (...) radians in [0, pi].
    """
    x, y = promote(x, y)
    root_c = _sqrt_curvature(curvature, x)
    sinh_a, cosh_a = _sinh_cosh(x, root_c)
    sinh_b, cosh_b = _sinh_cosh(y, root_c)
    sine, versine = sine_and_versine(x, y)
    radial = _sinh_difference(x, y, root_c, sinh_a, cosh_a, sinh_b, cosh_b) / sinh_b.squeeze(-1)
    return torch.atan2(sine, radial - cosh_a.squeeze(-1) * versine)


def pairwise_exterior_angle(x: Tensor, y: Tensor, curvature: Curvature) -> Tensor:
    """Exterior angle at every row of `x` towards every row of `y`, with one matrix product.

    Row i, column j is `exterior_angle(x[i], y[j])`. `1 - cos theta` comes from the product, in float32 in steps of 6e-8
    (keep TF32 off for it). Measured at dimensionless radii up to 3, at least 0.1 apart: within 4e-3 rad of the truth
    for directions 1e-3 rad apart, within 5e-5 rad from 0.1 rad on. At radii beyond 5 directions within 1e-3 rad are not
    told apart; pass float64 where that matters. Gradients are finite. Where `x` and `y` are the same batch the diagonal
    is undefined: mask it.

    Args:
        x: (N, D) space components of the apexes.
        y: (M, D) space components of the other points.
        curvature: c > 0.

    Returns:
        (N, M) radians in [0, pi].
    """
    x, y = promote(x, y)
    return angle_of_factors(angle_factors(x, curvature), angle_factors(y, curvature))


def angle_factors(x: Tensor, curvature: Curvature) -> AngleFactors:
    """What `pairwise_exterior_angle` needs of its points: computed once where its pairs are taken in parts.

    With radii a and b, `sinh(b - a) / sinh(b) = exp(-a) - sinh(a) (coth(b) - 1)`: a rank-one form that does not cancel
    at large radii.

    Args:
        x: (N, D) space components.
        curvature: c > 0.
    """
    (x,) = promote(x)
    length = norm(x).clamp(min=MIN_NORM)
    sinh = _sqrt_curvature(curvature, x) * length
    cosh = (1 + sinh.square()).sqrt()
    return AngleFactors(x / length, 1 / (sinh + cosh), sinh, cosh, 1 / (sinh * (sinh + cosh)))


def to_klein(x: Tensor, curvature: Curvature) -> Tensor:
    """Klein coordinates `x / x_time`: the unit ball in which geodesics are straight; `|k| = tanh(a)`.

    In float32 the radius is lost beyond about a = 8.

    Args:
        x: (..., D) space components.
        curvature: c > 0.

    Returns:
        (..., D) points in the unit ball.
    """
    (x,) = promote(x)
    return x / time_component(x, curvature).unsqueeze(-1)


def from_klein(k: Tensor, curvature: Curvature) -> Tensor:
    """Space components of Klein coordinates, the inverse of `to_klein`.

    Args:
        k: (..., D) points in the unit ball; on or beyond its rim they are taken as just inside.
        curvature: c > 0.

    Returns:
        (..., D) space components.
    """
    (k,) = promote(k)
    root_c = _sqrt_curvature(curvature, k)
    length = norm(k)
    # (1 - |k|)(1 + |k|) rather than 1 - |k|^2: the subtraction near the rim is then exact
    gap = ((1 - length) * (1 + length)).clamp(min=torch.finfo(k.dtype).eps)
    return k / (root_c * gap.sqrt())


def to_poincare(x: Tensor, curvature: Curvature) -> Tensor:
    """Poincare ball coordinates, scaled to the unit ball: `|p| = tanh(a / 2)`; angles are seen as they are.

    Args:
        x: (..., D) space components.
        curvature: c > 0.

    Returns:
        (..., D) points in the unit ball.
    """
    (x,) = promote(x)
    scaled = _sqrt_curvature(curvature, x) * x
    return scaled / (1 + (1 + scaled.square().sum(-1, keepdim=True)).sqrt())


def from_poincare(p: Tensor, curvature: Curvature) -> Tensor:
    """Space components of unit Poincare ball coordinates, the inverse of `to_poincare`.

    Args:
        p: (..., D) points in the unit ball; on or beyond its rim they are taken as just inside.
        curvature: c > 0.

    Returns:
        (..., D) space components.
    """
    (p,) = promote(p)
    length = norm(p)
    gap = ((1 - length) * (1 + length)).clamp(min=torch.finfo(p.dtype).eps)
    return 2 * p / (_sqrt_curvature(curvature, p) * gap)


def geodesic_to_origin(x: Tensor, steps: int, curvature: Curvature) -> Tensor:
    """Points evenly spaced in distance on the geodesic from `x` to the origin.

    Args:
        x: (..., D) space components.
        steps: number of points, at least 2; the first is `x`, the last the origin.
        curvature: c > 0.

    Returns:
        (..., steps, D) space components.

    Raises:
        ValueError: if `steps` is less than 2.
    """
    if steps < 2:
        raise ValueError(f"steps is {steps}: a geodesic needs at least its 2 end points")
    v = log_map0(x, curvature)
    share = torch.linspace(1, 0, steps, dtype=v.dtype, device=v.device)
    return exp_map0(share[:, None] * v[..., None, :], curvature)


def promote(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one dtype: float64 if any is float64, else float32 (half precision is lifted)."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return tuple(tensor.to(torch.float64 if double else torch.float32) for tensor in tensors)


def norm(x: Tensor) -> Tensor:
    """(..., D) -> (..., 1) Euclidean length; its gradient at zero is zero."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def sine_and_versine(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`sin theta` and `1 - cos theta` of the angle between vectors, each to a few units of relative rounding error.

    The part of `y` across `x` is found by projecting twice, the first time with the rounding error of the product
    added back (Dekker 1971): normalising first would leave an absolute error of 1e-7 in theta, which large radii
    amplify.

    Args:
        x: (..., D) vectors, float32 or float64.
        y: (..., D) vectors of the same dtype, broadcast against `x`.

    Returns:
        (...) sines in [0, 1] and (...) versines in [0, 2]; a sine is floored at 1e-12, where its gradient is zero.
    """
    x_norm, y_norm = norm(x).clamp(min=MIN_NORM), norm(y).clamp(min=MIN_NORM)
    scale = (x * y).sum(-1, keepdim=True) / x_norm.square()
    across = y - scale * x - _product_error(scale.detach(), x.detach())
    across = across - x * ((x * across).sum(-1, keepdim=True) / x_norm.square())
    sine_squared = (across / y_norm).square().sum(-1)
    cosine = (scale * x_norm / y_norm).squeeze(-1)
    versine = torch.where(cosine < 0, 1 - cosine, sine_squared / (1 + cosine.clamp(min=0)))
    return sine_squared.clamp(min=MIN_SINE_SQUARED).sqrt(), versine


def _product_error(a: Tensor, b: Tensor) -> Tensor:
    """What rounding took from `a * b`: the product is exactly `fl(a * b) + error` (Dekker 1971)."""
    splitter = 2.0**27 + 1 if a.dtype == torch.float64 else 2.0**12 + 1
    a_high = splitter * a - (splitter * a - a)
    b_high = splitter * b - (splitter * b - b)
    a_low, b_low = a - a_high, b - b_high
    return ((a_high * b_high - a * b) + a_high * b_low + a_low * b_high) + a_low * b_low


def pairwise_versine(x: Tensor, y: Tensor) -> Tensor:
    """`1 - cos theta` of every row of `x` with every row of `y`: (N, D), (M, D) -> (N, M), to about 1e-7 absolute."""
    return versine_of_units(x / norm(x).clamp(min=MIN_NORM), y / norm(y).clamp(min=MIN_NORM))


def _sqrt_curvature(curvature: Curvature, like: Tensor) -> float | Tensor:
    if isinstance(curvature, Tensor):
        return curvature.to(device=like.device, dtype=like.dtype).sqrt()
    if not curvature > 0:
        raise ValueError(f"curvature is {curvature}: give c > 0, the space then has curvature -c")
    return math.sqrt(curvature)


def _sinh_cosh(x: Tensor, root_c: float | Tensor, smallest: float = MIN_NORM) -> tuple[Tensor, Tensor]:
    """(..., D) -> (..., 1) sinh and cosh of the dimensionless radius, `|x|` taken as at least `smallest`."""
    sinh = root_c * norm(x).clamp(min=smallest)
    return sinh, (1 + sinh.square()).sqrt()


def _sinh_difference(
    x: Tensor, y: Tensor, root_c: float | Tensor, sinh_a: Tensor, cosh_a: Tensor, sinh_b: Tensor, cosh_b: Tensor
) -> Tensor:
    """(...) sinh(b - a) of dimensionless radii a of `x` and b of `y`.

    `sinh(b - a) = (sinh(b)^2 - sinh(a)^2) / (sinh(b) cosh(a) + sinh(a) cosh(b))`, and the difference of squares is
    `c (y - x) . (y + x)`, so that near points keep their relative accuracy.
    """
    difference_of_squares = root_c**2 * ((y - x) * (y + x)).sum(-1)
    sum_of_radii = (sinh_b * cosh_a + sinh_a * cosh_b).squeeze(-1)
    return difference_of_squares / sum_of_radii.clamp(min=torch.finfo(x.dtype).tiny)


def _distance_from_half_chord(half_chord_squared: Tensor, root_c: float | Tensor) -> Tensor:
    """Distance d from `sinh(sqrt(c) d / 2)^2`; the gradient at zero is zero."""
    half_chord = half_chord_squared.clamp(min=torch.finfo(half_chord_squared.dtype).tiny).sqrt()
    return 2 * half_chord.asinh() / root_c
