"""Lorentz geometry against 50-digit arithmetic, closed forms of hyperbolic trigonometry, and identities."""

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic import euclidean, lorentz

CURVATURES = (0.1, 1.0, 10.0)
RADII = (0.1, 0.1001, 0.5, 1.0, 3.0, 8.0, 8.001, 15.0)
ANGLES = (1e-3, 1e-2, 0.5, math.pi / 2, 2.5, math.pi - 1e-3)
COLLINEAR = (0.0, math.pi)


def points(radius_x, radius_y, angle, curvature, dim, seed=0, dtype=torch.float32):
    """Two points at given dimensionless radii and angle, in a random plane of R^dim."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.linalg.qr(torch.randn(dim, 2, generator=generator, dtype=torch.float64)).Q.T
    x = math.sinh(radius_x) / math.sqrt(curvature) * plane[0]
    y = math.sinh(radius_y) / math.sqrt(curvature) * (math.cos(angle) * plane[0] + math.sin(angle) * plane[1])
    return x.to(dtype), y.to(dtype)


def grid(dim, angles):
    """Rows of x and y with their curvatures; equal points are left out, they have no exterior angle."""
    for i, (c, a, b, angle) in enumerate(itertools.product(CURVATURES, RADII, RADII, angles)):
        x, y = points(a, b, angle, c, dim, seed=i)
        if not torch.equal(x, y):
            yield c, x, y


def reference(x, y, curvature):
    """Exterior angle and distance from the definitions, at 50 digits."""
    with mpmath.workdps(50):
        c = mpmath.mpf(curvature)
        x, y = ([mpmath.mpf(value) for value in point.tolist()] for point in (x, y))
        norm_x = mpmath.sqrt(mpmath.fdot(x, x))
        x_time, y_time = mpmath.sqrt(1 / c + mpmath.fdot(x, x)), mpmath.sqrt(1 / c + mpmath.fdot(y, y))
        product = c * (mpmath.fdot(x, y) - x_time * y_time)
        cosine = (y_time + x_time * product) / (norm_x * mpmath.sqrt(product**2 - 1))
        angle = mpmath.acos(min(max(cosine, -1), 1))
        return float(angle), float(mpmath.acosh(-product) / mpmath.sqrt(c))


def printed_exterior_angle(x, y, curvature):
    """The formula as printed in papers, clamped as implementations clamp it."""
    x_time, y_time = (lorentz.time_component(point, curvature) for point in (x, y))
    product = curvature * lorentz.inner_product(x, y, curvature)
    denominator = x.norm(dim=-1) * (product**2 - 1).clamp(min=1e-8).sqrt()
    return torch.acos(((y_time + x_time * product) / (denominator + 1e-8)).clamp(-1 + 1e-8, 1 - 1e-8))


def by_curvature(dim, angles):
    """The grid stacked, one (c, x, y) per curvature."""
    rows = list(grid(dim, angles))
    for c in CURVATURES:
        chosen = [(x, y) for curvature, x, y in rows if curvature == c]
        yield c, torch.stack([x for x, _ in chosen]), torch.stack([y for _, y in chosen])


@pytest.mark.parametrize("dim", [2, 128])
def test_exterior_angle_and_distance_agree_with_50_digit_arithmetic(dim):
    for c, x, y in by_curvature(dim, ANGLES + COLLINEAR):
        expected = torch.tensor([reference(*pair, c) for pair in zip(x, y, strict=True)], dtype=torch.float64)
        angle = lorentz.exterior_angle(x, y, c)
        assert angle.dtype == torch.float32
        assert (angle.double() - expected[:, 0]).abs().max() < 1e-6
        assert ((lorentz.distance(x, y, c).double() - expected[:, 1]) / expected[:, 1]).abs().max() < 1e-6
        # the grid is hard: it breaks the printed formula
        assert not (printed_exterior_angle(x, y, c).double() - expected[:, 0]).abs().max() < 0.1


def test_near_points_keep_their_distance():
    x, direction = points(2.0, 1.0, 1.0, 1.0, 128)
    for gap in (1e-1, 1e-3, 1e-5):
        y = x + gap * direction
        expected = reference(x, y, 1.0)[1]
        assert expected < 2 * gap
        assert lorentz.distance(x, y, 1.0).item() == pytest.approx(expected, rel=1e-5)
        assert lorentz.pairwise_distance(x[None], y[None], 1.0).item() == pytest.approx(expected, rel=2e-3)
    assert lorentz.distance(x, x, 1.0).item() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairwise_forms_agree_with_elementwise_forms(dtype):
    """1 - cos from a float32 product has steps of 6e-8: 4e-3 rad near collinear at radii to 3, 5e-5 rad elsewhere."""
    for angles, tolerance in (((1e-3, 1e-2, math.pi - 1e-3), 4e-3), ((0.1, 0.5, 1.5, 2.5), 5e-5)):
        if dtype == torch.float64:
            tolerance = 1e-9
        for a, b, angle in itertools.product((0.1, 0.5, 1.0, 2.0, 3.0), (0.2, 0.7, 1.5, 2.5), angles):
            pairs = [points(a, b, angle, 1.0, 128, seed, dtype) for seed in range(4)]
            x, y = (torch.stack(column) for column in zip(*pairs, strict=True))
            expected = lorentz.exterior_angle(x[:, None], y[None], 1.0)
            error = (lorentz.pairwise_exterior_angle(x, y, 1.0) - expected).abs().max()
            assert error < tolerance, (a, b, angle)


@pytest.mark.parametrize("dim", [2, 128])
def test_pairwise_distance_and_inner_product_agree_with_elementwise_forms(dim):
    for c, x, y in by_curvature(dim, ANGLES + COLLINEAR):
        x, y = x[::3], y[::3]
        expected = lorentz.distance(x[:, None], y[None], c)
        # an error of a few float64 steps in cos theta, seen through d^2 ~ |x| |y| 2 (1 - cos theta)
        tolerance = 1e-6 * expected + 2e-15 * x.norm(dim=1)[:, None] * y.norm(dim=1) / expected
        assert ((lorentz.pairwise_distance(x, y, c) - expected).abs() < tolerance).all()
        expected = lorentz.inner_product(x[:, None].double(), y[None].double(), c)
        torch.testing.assert_close(lorentz.pairwise_inner_product(x.double(), y.double(), c), expected)


def hard_batches(dtype):
    """x, y rows: collinear both ways, near and at the origin, radius 15, antipodal, coincident."""
    for c, x, y in by_curvature(16, ANGLES + COLLINEAR):
        zero, tiny = torch.zeros(1, 16), 1e-10 * x[:4]
        yield (
            c,
            torch.cat([x, x, zero, x[:1], zero, tiny, x]).to(dtype),
            torch.cat([y, x, y[:1], zero, zero, y[:4], -x]).to(dtype),
        )


FUNCTIONS_OF_TWO = ("exterior_angle", "distance", "inner_product")
PAIRWISE = ("pairwise_exterior_angle", "pairwise_distance", "pairwise_inner_product")
FUNCTIONS_OF_ONE = ("exp_map0", "log_map0", "radius", "time_component", "to_klein", "to_poincare")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS_OF_TWO + PAIRWISE)
def test_gradients_are_finite_everywhere(name, dtype):
    for c, x, y in hard_batches(dtype):
        x, y = x.requires_grad_(), y.requires_grad_()
        curvature = torch.tensor(c, requires_grad=True)
        result = getattr(lorentz, name)(x, y, curvature)
        assert result.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert result.isfinite().all()
        result.sum().backward()
        for argument in (x, y, curvature):
            assert argument.grad.isfinite().all()


def test_the_hard_batches_break_the_printed_formula():
    x, y = next(hard_batches(torch.float32))[1:]
    x = x.requires_grad_()
    printed_exterior_angle(x, y, 1.0).sum().backward()
    assert not x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS_OF_ONE)
def test_gradients_of_maps_are_finite_everywhere(name, dtype):
    for c, x, _ in hard_batches(dtype):
        x = (x if name != "exp_map0" else lorentz.log_map0(x, c).to(dtype)).detach().requires_grad_()
        curvature = torch.tensor(c, requires_grad=True)
        result = getattr(lorentz, name)(x, curvature)
        assert result.isfinite().all()
        result.sum().backward()
        assert x.grad.isfinite().all()
        assert curvature.grad.isfinite().all()


@pytest.mark.parametrize("name", FUNCTIONS_OF_TWO + PAIRWISE)
def test_gradcheck_of_functions_of_two_points(name):
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    curvature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(lorentz, name), (x, y, curvature))


def test_gradcheck_at_a_right_angle():
    x = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lorentz.exterior_angle, (x, y, 0.7))
    assert torch.autograd.gradcheck(lorentz.distance, (x, y, 0.7))


@pytest.mark.parametrize("name", [*FUNCTIONS_OF_ONE, "from_klein", "from_poincare"])
def test_gradcheck_of_maps(name):
    x = 0.2 * torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    curvature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(lorentz, name), (x.requires_grad_(), curvature))


def test_float32_gradients_agree_with_float64():
    for c, x, y in by_curvature(16, (0.1, 1.0, 2.0)):
        grads = []
        for dtype in (torch.float32, torch.float64):
            x_leaf = x.to(dtype, copy=True).requires_grad_()
            lorentz.exterior_angle(x_leaf, y.to(dtype), c).sum().backward()
            grads.append(x_leaf.grad.double())
        assert ((grads[0] - grads[1]).norm(dim=1) / grads[1].norm(dim=1)).max() < 1e-4


radii = st.floats(0.05, 10)
angles = st.floats(1e-3, math.pi - 1e-3)
curvatures = st.floats(0.1, 10)
seeds = st.integers(0, 2**16)


@settings(deadline=None, max_examples=100)
@given(a=radii, b=radii, theta=angles, c=curvatures, seed=seeds)
def test_exterior_angle_at_the_child_is_interior_angle_at_the_parent_plus_apex_and_defect(a, b, theta, c, seed):
    parent, child = points(a, b, theta, c, 8, seed, torch.float64)
    alpha = lorentz.exterior_angle(child, parent, c).item()
    beta = math.pi - lorentz.exterior_angle(parent, child, c).item()
    # area of a triangle from two sides and the angle between them
    sides = math.tanh(a / 2) * math.tanh(b / 2)
    defect = 2 * math.atan2(sides * math.sin(theta), 1 - sides * math.cos(theta))
    assert alpha == pytest.approx(beta + theta + defect, abs=1e-8)
    assert alpha >= beta
    single = [point.float() for point in (parent, child)]
    assert lorentz.exterior_angle(single[1], single[0], c).item() >= (
        math.pi - lorentz.exterior_angle(*single, c).item() - 1e-6
    )


@settings(deadline=None, max_examples=50)
@given(a=radii, b=radii, theta=angles, c=curvatures, scale=st.floats(0.1, 10), seed=seeds)
def test_rotation_and_scale_invariance(a, b, theta, c, scale, seed):
    x, y = points(a, b, theta, c, 8, seed, torch.float64)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)).Q
    angle, length = lorentz.exterior_angle(x, y, c), lorentz.distance(x, y, c)
    torch.testing.assert_close(lorentz.exterior_angle(x @ rotation, y @ rotation, c), angle, rtol=0, atol=1e-9)
    torch.testing.assert_close(lorentz.distance(x @ rotation, y @ rotation, c), length, rtol=1e-9, atol=1e-12)
    scaled = scale * x, scale * y, c / scale**2
    torch.testing.assert_close(lorentz.exterior_angle(*scaled), angle, rtol=0, atol=1e-9)
    torch.testing.assert_close(lorentz.distance(*scaled), scale * length, rtol=1e-9, atol=1e-12)


def test_curvature_to_zero_gives_the_euclidean_angle_and_distance():
    x, y = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for name in ("exterior_angle", "pairwise_exterior_angle", "distance", "pairwise_distance"):
        limit = getattr(euclidean, name)(x, y)
        far = (getattr(lorentz, name)(x, y, 1e-4) - limit).abs().max()
        near = (getattr(lorentz, name)(x, y, 1e-8) - limit).abs().max()
        assert near < 1e-6
        assert near < far


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("c", CURVATURES)
def test_exp_and_log_invert_each_other_at_every_magnitude(c, dtype, tolerance):
    generator = torch.Generator().manual_seed(4)
    direction = torch.nn.functional.normalize(torch.randn(128, generator=generator, dtype=torch.float64), dim=0)
    magnitudes = torch.tensor([10.0**power for power in range(-10, 1)] + [3.0, 10.0, 20.0], dtype=dtype)
    v = magnitudes[:, None] / math.sqrt(c) * direction.to(dtype)
    x = lorentz.exp_map0(v, c)
    assert x.dtype == dtype
    expected = [float(mpmath.sinh(length)) for length in magnitudes.tolist()]
    torch.testing.assert_close((math.sqrt(c) * x.double().norm(dim=1)).tolist(), expected, rtol=20 * tolerance, atol=0)
    assert ((lorentz.log_map0(x, c) - v).norm(dim=1) / v.norm(dim=1)).max() < tolerance
    torch.testing.assert_close(lorentz.radius(x, c), v.norm(dim=1), rtol=tolerance, atol=0)
    torch.testing.assert_close(lorentz.distance(x, torch.zeros_like(x), c), v.norm(dim=1), rtol=tolerance, atol=0)


def test_points_lie_on_the_hyperboloid():
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    torch.testing.assert_close(lorentz.inner_product(x, x, 0.3), torch.full((20,), -1 / 0.3, dtype=torch.float64))


@pytest.mark.parametrize("c", CURVATURES)
def test_klein_and_poincare_coordinates(c):
    v = torch.randn(20, 5, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    x, a = lorentz.exp_map0(v, c), math.sqrt(c) * v.norm(dim=1)
    klein, poincare = lorentz.to_klein(x, c), lorentz.to_poincare(x, c)
    torch.testing.assert_close(klein.norm(dim=1), a.tanh())
    torch.testing.assert_close(poincare.norm(dim=1), (a / 2).tanh())
    torch.testing.assert_close(lorentz.from_klein(klein, c), x, rtol=1e-6, atol=0)
    torch.testing.assert_close(lorentz.from_poincare(poincare, c), x, rtol=1e-6, atol=0)
    # textbook distance of the unit Poincare ball, independent of ours
    p, q = poincare[:10], poincare[10:]
    gaps = (1 - p.square().sum(1)) * (1 - q.square().sum(1))
    expected = (1 + 2 * (p - q).square().sum(1) / gaps).acosh() / math.sqrt(c)
    torch.testing.assert_close(lorentz.distance(x[:10], x[10:], c), expected)
    rim = torch.nn.functional.normalize(v, dim=1)
    assert lorentz.from_klein(rim, c).isfinite().all()
    assert lorentz.from_poincare(rim, c).isfinite().all()


def test_geodesic_to_origin_has_unit_speed():
    x = lorentz.exp_map0(torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(7), dtype=torch.float64), 2.0)
    path = lorentz.geodesic_to_origin(x, 11, 2.0)
    assert path.shape == (4, 3, 11, 8)
    torch.testing.assert_close(path[..., 0, :], x)
    assert not path[..., -1, :].any()
    steps = lorentz.distance(path[..., 1:, :], path[..., :-1, :], 2.0)
    torch.testing.assert_close(steps, (lorentz.radius(x, 2.0) / 10)[..., None].expand_as(steps))
    with pytest.raises(ValueError, match="steps is 1"):
        lorentz.geodesic_to_origin(x, 1, 2.0)


@pytest.mark.parametrize("curvature", [0.0, -1.0, float("nan")])
def test_curvature_that_is_not_positive_is_refused(curvature):
    with pytest.raises(ValueError, match="curvature is"):
        lorentz.exterior_angle(torch.ones(3), torch.ones(3), curvature)


def test_broadcasting_shapes():
    x, y = torch.randn(5, 1, 4), torch.randn(1, 7, 4)
    assert lorentz.exterior_angle(x, y, 1.0).shape == (5, 7)
    assert lorentz.distance(x, y, 1.0).shape == (5, 7)
    assert lorentz.pairwise_exterior_angle(x[:, 0], y[0], 1.0).shape == (5, 7)


@pytest.mark.parametrize("name", PAIRWISE)
def test_autocast_changes_nothing(name):
    x, y = torch.randn(2, 32, 16, generator=torch.Generator().manual_seed(8))
    function = getattr(lorentz, name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ y.T).dtype == torch.bfloat16  # else this test is vacuous
        result = function(x, y, 1.0)
    assert torch.equal(result, function(x, y, 1.0))


@pytest.mark.parametrize("name", FUNCTIONS_OF_TWO + PAIRWISE)
def test_compiles_to_one_graph_with_the_same_result_and_gradient(name):
    function = getattr(lorentz, name)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    data = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(9))
    outputs = []
    for call in (function, compiled):
        x, curvature = data[0].clone().requires_grad_(), torch.tensor(0.5, requires_grad=True)
        result = call(x, data[1], curvature)
        result.sum().backward()
        outputs.append((result.detach(), x.grad, curvature.grad))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_exports_with_a_dynamic_batch():
    class Angles(torch.nn.Module):
        def forward(self, x, y, curvature):
            return lorentz.pairwise_exterior_angle(lorentz.exp_map0(x, curvature), y, curvature)

    batch = torch.export.Dim("batch", min=2)
    arguments = torch.randn(3, 8), torch.randn(4, 8), torch.tensor(1.0)
    program = torch.export.export(Angles(), arguments, dynamic_shapes=({0: batch}, None, None))
    other = torch.randn(5, 8), arguments[1], torch.tensor(2.0)
    torch.testing.assert_close(program.module()(*other), Angles()(*other))
