"""VICReg against numpy."""

import numpy as np
import pytest
import torch

from hf_hyperbolic.losses import vicreg_loss


def naive(first, second):
    total = 25 * np.mean((first - second) ** 2)
    for view in (first, second):
        covariance = np.cov(view, rowvar=False)
        total += 25 * np.mean(np.maximum(0, 1 - np.sqrt(np.var(view, axis=0, ddof=1) + 1e-4))) / 2
        total += sum(covariance[i, j] ** 2 for i in range(5) for j in range(5) if i != j) / 5
    return total


def test_it_is_what_numpy_gives():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5)) * np.array([0.1, 0.5, 1, 2, 0.3])
    first, second = (rng.normal(size=(30, 5)) @ mixing + 3 for _ in range(2))
    found = vicreg_loss(torch.from_numpy(first), torch.from_numpy(second)).item()
    assert found == pytest.approx(naive(first, second), rel=1e-5)


def test_views_that_collapsed_have_a_finite_gradient_and_pay_for_it():
    first, second = (torch.ones(8, 5, requires_grad=True) for _ in range(2))
    loss = vicreg_loss(first, second)
    loss.backward()
    assert loss.item() == pytest.approx(25 * 0.99)
    assert first.grad.isfinite().all()
