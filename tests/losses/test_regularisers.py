import math

import pytest
import torch

from hf_hyperbolic.losses import radial_order_loss, uniformity_loss


def test_uniformity_equals_the_formula_written_out():
    embeds = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    units = [[float(x) / math.hypot(*row.tolist()) for x in row] for row in embeds]
    pairs = [math.exp(-2 * math.dist(units[i], units[j]) ** 2) for i in range(5) for j in range(i)]
    assert uniformity_loss(embeds).item() == pytest.approx(math.log(sum(pairs) / len(pairs)), abs=1e-6)


def test_uniformity_is_greatest_for_one_direction_and_pushes_two_apart():
    direction = torch.tensor([[1.0, 0.1]])
    assert uniformity_loss(direction.repeat(4, 1) * torch.tensor([[1.0], [2.0], [3.0], [9.0]])).item() == pytest.approx(
        0.0, abs=1e-5
    )
    pair = torch.tensor([[1.0, 0.1], [1.0, -0.1]], requires_grad=True)
    uniformity_loss(pair).backward()
    moved = pair - 0.1 * pair.grad
    assert torch.cosine_similarity(moved[0], moved[1], dim=0) < torch.cosine_similarity(pair[0], pair[1], dim=0)


def test_uniformity_of_one_embedding_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        uniformity_loss(torch.ones(1, 3))


def test_radial_order_counts_pairs_whose_child_is_not_far_enough():
    radii = torch.tensor([1.0, 1.05, 3.0], requires_grad=True)
    own = torch.zeros(3, 3, dtype=torch.bool)
    own[0, 1] = own[0, 2] = True
    loss = radial_order_loss(radii, own, margin=0.2)
    assert loss.item() == pytest.approx((0.2 - 0.05) / 2)
    loss.backward()
    assert radii.grad.tolist() == pytest.approx([0.5, -0.5, 0.0])


def test_radial_order_without_pairs_is_a_zero_with_a_gradient():
    radii = torch.ones(2, requires_grad=True)
    radial_order_loss(radii, torch.zeros(2, 2, dtype=torch.bool)).backward()
    assert radii.grad.tolist() == [0.0, 0.0]
