"""NT-Xent against a loop over views."""

import math

import pytest
import torch

from hf_hyperbolic.losses import nt_xent_loss


def naive(first, second, temperature, no_negatives):
    views = [(item, view) for rows in (first, second) for item, view in enumerate(rows)]
    losses = []
    for place, (item, view) in enumerate(views):
        terms, positive = [], None
        for other_place, (other, candidate) in enumerate(views):
            score = float(view @ candidate / view.norm() / candidate.norm()) / temperature
            if other == item and other_place != place:
                positive = score
            elif other == item or no_negatives[item][other]:
                continue
            terms.append(math.exp(score))
        losses.append(math.log(sum(terms)) - positive)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_it_is_what_the_loop_gives(temperature):
    generator = torch.manual_seed(0)
    first, second = (torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    left_out = torch.rand(7, 7, generator=generator) < 0.3
    left_out = left_out | left_out.T
    for mask in (left_out, left_out | torch.eye(7, dtype=torch.bool), torch.zeros(7, 7, dtype=torch.bool)):
        found = nt_xent_loss(first, second, temperature, mask).item()
        assert found == pytest.approx(naive(first, second, temperature, mask.tolist()), rel=1e-5)
    assert nt_xent_loss(first, second, temperature).item() == nt_xent_loss(first, second, temperature, mask).item()


def test_what_is_left_out_gets_no_gradient_from_the_others():
    generator = torch.manual_seed(1)
    first, second = (torch.randn(3, 4, generator=generator, requires_grad=True) for _ in range(2))
    alone = torch.tensor([[True, True, True], [True, True, False], [True, False, True]])
    nt_xent_loss(first, second, 0.2, alone).backward()
    # the first item has no negative at all: its positive is the only candidate
    assert first.grad[0].abs().max() < 1e-7
    assert first.grad[1].abs().max() > 1e-3
    assert first.grad.isfinite().all()


def test_half_precision_projections_are_compared_in_full():
    first, second = (torch.randn(6, 8, generator=torch.manual_seed(seed)).half() for seed in range(2))
    assert nt_xent_loss(first, second, 0.05).dtype == torch.float32
    assert nt_xent_loss(first, second, 0.05).item() == nt_xent_loss(first.float(), second.float(), 0.05).item()
