"""Exterior angle: the printed formula against the stable form, in accuracy, gradients and time.

python benchmarks/exterior_angle.py
"""

import itertools
import math
import platform
import time
from collections.abc import Callable

import mpmath
import torch
from machine import processor
from torch import Tensor

from hf_hyperbolic import lorentz

CURVATURES = (0.1, 1.0, 10.0)
RADII = (0.1, 1.0, 5.0, 10.0, 15.0)
ANGLES = (0.0, 1e-3, 0.1, 1.0, 2.0, math.pi - 1e-3, math.pi)
DIMENSION = 128
BATCH = 640
REPEATS = 20

Angle = Callable[[Tensor, Tensor, float], Tensor]


def printed(x: Tensor, y: Tensor, curvature: float) -> Tensor:
    """acos form as printed in papers, float32, clamped by 1e-8 as implementations do."""
    x_time, y_time = (lorentz.time_component(point, curvature) for point in (x, y))
    return _printed(curvature * lorentz.inner_product(x, y, curvature), x.norm(dim=-1), x_time, y_time, 1e-8)


def pairwise_printed(x: Tensor, y: Tensor, curvature: float) -> Tensor:
    x_time, y_time = (lorentz.time_component(point, curvature) for point in (x, y))
    product = curvature * (x @ y.T - x_time[:, None] * y_time)
    return _printed(product, x.norm(dim=-1)[:, None], x_time[:, None], y_time, 1e-8)


def _printed(product: Tensor, x_norm: Tensor, x_time: Tensor, y_time: Tensor, eps: float) -> Tensor:
    denominator = x_norm * (product.square() - 1).clamp(min=eps).sqrt()
    return torch.acos(((y_time + x_time * product) / (denominator + eps)).clamp(-1 + eps, 1 - eps))


def reference(x: Tensor, y: Tensor, curvature: float) -> float:
    """The definition at 50 digits, for the float32 points as they are."""
    c = mpmath.mpf(curvature)
    a, b = ([mpmath.mpf(value) for value in point.tolist()] for point in (x, y))
    norm = mpmath.sqrt(mpmath.fdot(a, a))
    a_time, b_time = mpmath.sqrt(1 / c + mpmath.fdot(a, a)), mpmath.sqrt(1 / c + mpmath.fdot(b, b))
    product = c * (mpmath.fdot(a, b) - a_time * b_time)
    cosine = (b_time + a_time * product) / (norm * mpmath.sqrt(product**2 - 1))
    return float(mpmath.acos(min(max(cosine, -1), 1)))


def grid(curvature: float) -> tuple[Tensor, Tensor]:
    """Pairs at all radii and angles in random planes, without pairs of one point, which have no exterior angle."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for a, b, angle in itertools.product(RADII, RADII, ANGLES):
        if a == b and angle == 0:
            continue
        plane = torch.linalg.qr(torch.randn(DIMENSION, 2, generator=generator, dtype=torch.float64)).Q.T
        x = math.sinh(a) * plane[0]
        y = math.sinh(b) * (math.cos(angle) * plane[0] + math.sin(angle) * plane[1])
        pairs.append((x / math.sqrt(curvature), y / math.sqrt(curvature)))
    x, y = (torch.stack(column).float() for column in zip(*pairs, strict=True))
    return x, y


def accuracy(function: Angle) -> tuple[float, float, float]:
    """Largest error in radians, share of errors above 0.01 rad, share of gradients with NaN or infinity."""
    errors, bad = [], []
    for c in CURVATURES:
        x, y = grid(c)
        truth = torch.tensor([reference(a, b, c) for a, b in zip(x, y, strict=True)], dtype=torch.float64)
        x = x.requires_grad_()
        angle = function(x, y, c)
        angle.sum().backward()
        assert x.grad is not None
        errors.append((angle.detach().double() - truth).abs().nan_to_num(math.pi))
        bad.append(~x.grad.isfinite().all(dim=1))
    error = torch.cat(errors)
    return error.max().item(), (error > 0.01).float().mean().item(), torch.cat(bad).float().mean().item()


def diagonal(function: Angle) -> Angle:
    """The pairwise form asked for the pairs (x[i], y[i]) alone."""
    return lambda x, y, curvature: function(x, y, curvature).diagonal()


def milliseconds(*functions: Angle) -> list[float]:
    """Best time of forward and backward of all pairs of two batches, the functions taking turns."""
    generator = torch.Generator().manual_seed(0)
    x, y = (lorentz.exp_map0(torch.randn(BATCH, DIMENSION, generator=generator) / 8, 1.0) for _ in range(2))
    x, y = x.requires_grad_(), y.requires_grad_()
    upstream = torch.randn(BATCH, BATCH, generator=generator)
    best = [math.inf] * len(functions)
    for _ in range(REPEATS):
        for i, function in enumerate(functions):
            x.grad = y.grad = None
            start = time.perf_counter()
            function(x, y, 1.0).backward(upstream)
            best[i] = min(best[i], 1000 * (time.perf_counter() - start))
    return best


def main() -> None:
    mpmath.mp.dps = 50
    print(f"{processor()}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, python {platform.python_version()}")
    print(f"float32, dimension {DIMENSION}, radii {RADII[0]} to {RADII[-1]}, angles 0 to pi, curvature 0.1 to 10;")
    print(f"time: pairwise forward and backward at {BATCH} x {BATCH} x {DIMENSION}\n")
    print(f"{'':32}{'max error, rad':>16}{'error > .01':>13}{'NaN gradients':>15}{'time, ms':>10}{'ratio':>8}")
    for name, function in (("printed", printed), ("ours", lorentz.exterior_angle)):
        error, large, bad = accuracy(function)
        print(f"{name + ', elementwise':32}{error:16.1e}{large:13.1%}{bad:15.1%}{'-':>10}{'-':>8}")
    pairwise_forms = {"printed": pairwise_printed, "ours": lorentz.pairwise_exterior_angle}
    durations = milliseconds(*pairwise_forms.values())
    for (name, pairwise), duration in zip(pairwise_forms.items(), durations, strict=True):
        error, large, bad = accuracy(diagonal(pairwise))
        ratio = duration / durations[0]
        print(f"{name + ', pairwise':32}{error:16.1e}{large:13.1%}{bad:15.1%}{duration:10.1f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
