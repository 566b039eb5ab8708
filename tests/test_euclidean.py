"""The Euclidean variant against 50-digit arithmetic, scipy and the interface of the hyperbolic one."""

import inspect
import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from hf_hyperbolic import euclidean, lorentz

LENGTHS = (1e-3, 0.1, 0.1001, 1.0, 30.0)
ANGLES = (0.0, 1e-3, 0.5, math.pi / 2, 2.5, math.pi - 1e-3, math.pi)


def points(length_x, length_y, angle, dim=16, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    plane = torch.linalg.qr(torch.randn(dim, 2, generator=generator, dtype=torch.float64)).Q.T
    x = length_x * plane[0]
    y = length_y * (math.cos(angle) * plane[0] + math.sin(angle) * plane[1])
    return x.to(dtype), y.to(dtype)


def reference_angle(x, y):
    """Angle between x and y - x at 50 digits, by its definition."""
    with mpmath.workdps(50):
        x, y = ([mpmath.mpf(value) for value in point.tolist()] for point in (x, y))
        step = [b - a for a, b in zip(x, y, strict=True)]
        cosine = mpmath.fdot(x, step) / mpmath.sqrt(mpmath.fdot(x, x) * mpmath.fdot(step, step))
        return float(mpmath.acos(min(max(cosine, -1), 1)))


@pytest.mark.parametrize("dim", [2, 128])
def test_exterior_angle_agrees_with_50_digit_arithmetic(dim):
    for seed, (a, b, angle) in enumerate(itertools.product(LENGTHS, LENGTHS, ANGLES)):
        x, y = points(a, b, angle, dim, seed, torch.float32)
        if torch.equal(x, y):
            continue
        result = euclidean.exterior_angle(x, y)
        assert result.dtype == torch.float32
        assert result.item() == pytest.approx(reference_angle(x, y), abs=1e-6), (a, b, angle)


@settings(deadline=None, max_examples=50)
@given(
    a=st.floats(0.01, 100), b=st.floats(0.01, 100), theta=st.floats(1e-3, math.pi - 1e-3), seed=st.integers(0, 2**16)
)
def test_a_flat_triangle_has_no_defect(a, b, theta, seed):
    x, y = points(a, b, theta, seed=seed)
    beta = math.pi - euclidean.exterior_angle(x, y).item()
    assert euclidean.exterior_angle(y, x).item() == pytest.approx(beta + theta, abs=1e-8)


def test_pairwise_forms_agree_with_elementwise_forms():
    x, y = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(1))
    expected = euclidean.exterior_angle(x[:, None], y[None])
    torch.testing.assert_close(euclidean.pairwise_exterior_angle(x, y), expected, rtol=0, atol=1e-5)
    expected = torch.from_numpy(cdist(x.double().numpy(), y.double().numpy())).float()
    torch.testing.assert_close(euclidean.pairwise_distance(x, y), expected)
    torch.testing.assert_close(euclidean.distance(x[:, None], y[None]), expected)
    assert euclidean.pairwise_distance(x, x).diagonal().abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["exterior_angle", "pairwise_exterior_angle", "distance", "pairwise_distance"])
def test_gradients_are_finite_everywhere(name, dtype):
    pairs = [points(a, b, angle) for a, b, angle in itertools.product(LENGTHS, LENGTHS, ANGLES)]
    x, y = (torch.stack(column) for column in zip(*pairs, strict=True))
    zero = torch.zeros(1, 16)
    x, y = torch.cat([x, x, zero, x[:1], zero, x]), torch.cat([y, x, y[:1], zero, zero, -x])
    x, y = (rows.to(dtype).requires_grad_() for rows in (x, y))
    result = getattr(euclidean, name)(x, y)
    assert result.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert result.isfinite().all()
    result.sum().backward()
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()


@pytest.mark.parametrize("name", ["exterior_angle", "pairwise_exterior_angle", "distance", "pairwise_distance"])
def test_gradcheck(name):
    x, y = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(getattr(euclidean, name), (x.requires_grad_(), y.requires_grad_()))


def test_maps_radius_and_geodesic():
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    assert torch.equal(euclidean.exp_map0(x), x)
    assert torch.equal(euclidean.log_map0(x), x)
    assert euclidean.exp_map0(x.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(euclidean.radius(x), x.norm(dim=1))
    path = euclidean.geodesic_to_origin(x, 5)
    assert torch.equal(path[:, 0], x)
    steps = euclidean.distance(path[:, 1:], path[:, :-1])
    torch.testing.assert_close(steps, (x.norm(dim=1) / 4)[:, None].expand(4, 4))
    with pytest.raises(ValueError, match="steps is 0"):
        euclidean.geodesic_to_origin(x, 0)


def test_same_interface_as_lorentz():
    names = [
        name
        for name, function in inspect.getmembers(euclidean, inspect.isfunction)
        if function.__module__ == euclidean.__name__
    ]
    assert len(names) >= 8
    for name in names:
        ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (euclidean, lorentz))
        assert list(ours) == list(theirs)
        assert ours["curvature"].default is None


def test_compiles_to_one_graph():
    x, y = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(4))
    for function in (euclidean.exterior_angle, euclidean.pairwise_exterior_angle):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x, y), function(x, y))
