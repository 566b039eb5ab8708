"""The exterior angle of all pairs of two batches, with its derivative written out.

In every space here the angle at x_i towards y_j is `atan2(sin theta, p_i - q_i k_j - h_i (1 - cos theta))`: four
numbers of the points, and the angle theta between their directions. By hand the derivative takes one matrix from the
forward pass and few passes over memory; what autograd would keep and do is several times as much, and pairs are what a
contrastive loss spends its time on.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Floor under sin^2 of an angle between directions, where the gradient of the square root would be infinite: `1 - cos`
# from a product comes in steps of 6e-8 in float32.
MIN_PAIRWISE_SINE_SQUARED = 1e-12


class AngleFactors(NamedTuple):
    """What the angles at n points, and towards them, depend on; row i is of point i.

    Attributes:
        unit: (n, D) directions.
        start: (n, 1) `p`, of the apex.
        slope: (n, 1) `q`, of the apex.
        lean: (n, 1) `h`, of the apex.
        pull: (n, 1) `k`, of the other point.
    """

    unit: Tensor
    start: Tensor
    slope: Tensor
    lean: Tensor
    pull: Tensor


def angle_of_factors(apexes: AngleFactors, others: AngleFactors) -> Tensor:
    """(N, M) radians in [0, pi], the exterior angle at each of N apexes towards each of M other points.

    Differentiable with respect to every factor. Where the sine is floored (1e-6) its gradient is zero.
    """
    return _Angle.apply(apexes.unit, apexes.start, apexes.slope, apexes.lean, others.unit, others.pull)


def versine_of_units(x_unit: Tensor, y_unit: Tensor) -> Tensor:
    """(N, M) `1 - cos theta` of every row of `x_unit` with every row of `y_unit`, to about 1e-7 in float32."""
    with torch.autocast(x_unit.device.type, enabled=False):
        return torch.addmm(x_unit.new_ones(()), x_unit, y_unit.T, alpha=-1)


def without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """A `forward` or `backward` whose last argument is a tensor, in the precision of what it is given.

    Products in bfloat16 would be as far off as the differences that a loss looks at.
    """

    @wraps(function)
    def run(*args: Any) -> Any:
        with torch.autocast(args[-1].device.type, enabled=False):
            return function(*args)

    return run


class _Angle(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_unit: Tensor, start: Tensor, slope: Tensor, lean: Tensor, y_unit: Tensor, pull: Tensor
    ) -> Tensor:
        versine = versine_of_units(x_unit, y_unit)
        sine, along, _ = _sides(versine, start, slope, lean, pull)
        ctx.save_for_backward(x_unit, start, slope, lean, y_unit, pull, versine)
        return torch.atan2(sine, along, out=sine)

    @staticmethod
    @without_autocast
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_unit, start, slope, lean, y_unit, pull, versine = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a derivative of this one is wanted (`create_graph`): autograd knows it
            # views, as one tensor in two places is to have a gradient for each, not that of both for each
            inputs = [tensor.view_as(tensor) for tensor in ctx.saved_tensors[:-1]]
            sought = [tensor for tensor, needed in zip(inputs, needs, strict=True) if needed]
            found = iter(torch.autograd.grad(_plainly(*inputs), sought, upstream, create_graph=True))
            return tuple(next(found) if needed else None for needed in needs)
        sine, along, floored = _sides(versine, start, slope, lean, pull)
        # d angle = (along d sine - sine d along) / (sine^2 + along^2)
        shared = upstream / (sine * sine).addcmul_(along, along)
        of_along = shared * sine  # with its sign turned
        of_start = -of_along.sum(1, keepdim=True) if needs[1] else None
        of_slope = of_along @ pull if needs[2] else None
        of_pull = of_along.T @ slope if needs[5] else None
        of_lean = torch.linalg.vecdot(of_along, versine).unsqueeze(1) if needs[3] else None
        # d sine / d versine = (1 - versine) / sine
        of_versine = along.mul_(1 - versine).div_(sine).masked_fill_(floored, 0.0).mul_(shared)
        of_versine.addcmul_(of_along, lean)
        # versine = 1 - x . y
        of_x = of_versine @ y_unit if needs[0] else None
        of_y = of_versine.T @ x_unit if needs[4] else None
        return (
            None if of_x is None else of_x.neg_(), of_start, of_slope, of_lean, None if of_y is None else of_y.neg_(),
            of_pull,
        )  # fmt: skip


def _plainly(x_unit: Tensor, start: Tensor, slope: Tensor, lean: Tensor, y_unit: Tensor, pull: Tensor) -> Tensor:
    versine = versine_of_units(x_unit, y_unit)
    sine = (versine * (2 - versine)).clamp(min=MIN_PAIRWISE_SINE_SQUARED).sqrt()
    return torch.atan2(sine, start - slope * pull.T - lean * versine)


def _sides(versine: Tensor, start: Tensor, slope: Tensor, lean: Tensor, pull: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, M) what `atan2` takes, and where the first of them is floored."""
    squared = (2 - versine).mul_(versine)
    floored = squared < MIN_PAIRWISE_SINE_SQUARED
    sine = squared.clamp_(min=MIN_PAIRWISE_SINE_SQUARED).sqrt_()
    along = torch.addcmul(start, slope, pull.T, value=-1).addcmul_(lean, versine, value=-1)
    return sine, along, floored
