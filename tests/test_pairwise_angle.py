"""The derivative written out against autograd of the formula, and against finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.pairwise_angle import MIN_PAIRWISE_SINE_SQUARED, AngleFactors, angle_of_factors


def by_autograd(apexes, others):
    """The formula as it stands, one operation after the other."""
    versine = 1 - apexes.unit @ others.unit.T
    sine = (versine * (2 - versine)).clamp(min=MIN_PAIRWISE_SINE_SQUARED).sqrt()
    return torch.atan2(sine, apexes.start - apexes.slope * others.pull.T - apexes.lean * versine)


def factors(n, generator, dtype=torch.float64):
    unit = torch.nn.functional.normalize(torch.randn(n, 4, generator=generator, dtype=dtype), dim=1)
    numbers = [torch.rand(n, 1, generator=generator, dtype=dtype) + 0.2 for _ in range(4)]
    return AngleFactors(*(tensor.requires_grad_() for tensor in (unit, *numbers)))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_gradients_of_every_factor_are_those_of_autograd(n, m, seed):
    generator = torch.manual_seed(seed)
    apexes, others = factors(n, generator), factors(m, generator)
    upstream = torch.randn(n, m, generator=generator, dtype=torch.float64)
    leaves = [*apexes[:4], others.unit, others.pull]
    found, expected = (
        [angle, *torch.autograd.grad(angle, leaves, upstream)]
        for angle in (angle_of_factors(apexes, others), by_autograd(apexes, others))
    )
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    generator = torch.manual_seed(0)
    apexes, others = factors(3, generator), factors(4, generator)
    leaves = (*apexes[:4], others.unit, others.pull)

    def angle(unit, start, slope, lean, other_unit, pull):
        return angle_of_factors(
            AngleFactors(unit, start, slope, lean, pull[:3]), AngleFactors(other_unit, start, slope, lean, pull)
        )

    assert torch.autograd.gradcheck(angle, leaves)


def test_one_batch_as_apexes_and_others_adds_up_both_gradients():
    x = torch.randn(6, 5, dtype=torch.float64, generator=torch.manual_seed(1)).requires_grad_()
    upstream = torch.randn(6, 6, dtype=torch.float64, generator=torch.manual_seed(2)).fill_diagonal_(0)
    for space, elementwise in ((lorentz, lorentz.exterior_angle), (euclidean, euclidean.exterior_angle)):
        found = space.pairwise_exterior_angle(x, x, 0.7)
        by_pair = elementwise(x[:, None], x[None], 0.7)
        ours, wanted = (torch.autograd.grad(angle, x, upstream)[0] for angle in (found, by_pair))
        torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-8)


def test_at_the_floor_the_gradient_of_the_sine_is_zero():
    x = torch.tensor([[3.0, 0.0]]).requires_grad_()
    y = torch.tensor([[6.0, 0.0], [-2.0, 0.0], [1.0, 0.0]]).requires_grad_()
    lorentz.pairwise_exterior_angle(x, y, 1.0).sum().backward()
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()
    expected = torch.autograd.grad(
        by_autograd(lorentz.angle_factors(x, 1.0), lorentz.angle_factors(y, 1.0)).sum(), [x, y]
    )
    torch.testing.assert_close([x.grad, y.grad], list(expected))


def test_one_set_of_factors_in_both_places_has_one_gradient_with_a_graph_or_without():
    """As in a loss over one batch: directions stand on both sides, and each has its own share of their gradient."""
    leaves = factors(5, torch.manual_seed(4))
    upstream = torch.randn(5, 5, dtype=torch.float64, generator=torch.manual_seed(5)).fill_diagonal_(0)
    plain, with_graph, expected = (
        torch.autograd.grad(angle(leaves, leaves), list(leaves), upstream, create_graph=create_graph)
        for angle, create_graph in ((angle_of_factors, False), (angle_of_factors, True), (by_autograd, False))
    )
    torch.testing.assert_close(plain, expected)
    torch.testing.assert_close(with_graph, expected)


@pytest.mark.parametrize("learnt", [True, False])
def test_second_derivatives_are_those_of_finite_differences(learnt):
    generator = torch.manual_seed(3)
    x = torch.randn(3, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    y = torch.randn(4, 2, dtype=torch.float64, generator=generator, requires_grad=learnt)
    curvature = torch.tensor(0.6, dtype=torch.float64, requires_grad=learnt)
    assert torch.autograd.gradgradcheck(lorentz.pairwise_exterior_angle, (x, y, curvature))


def test_nothing_of_a_pair_is_kept_but_one_matrix():
    kept = []
    x, y = torch.randn(50, 2, requires_grad=True), torch.randn(60, 2)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        lorentz.pairwise_exterior_angle(x, y, 1.0)
    assert len({tensor.data_ptr() for tensor in kept if tensor.numel() == 3000}) == 1


def test_a_backward_pass_within_autocast_is_in_full_precision():
    found = []
    for cast in (False, True):
        leaves = factors(6, torch.manual_seed(6), torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            found.append(torch.autograd.grad(angle_of_factors(leaves, leaves).sum(), list(leaves)))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
