import math

import numpy as np
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.relations import Relations
from hf_hyperbolic.losses import PairMasks, angle_loss, bidirectional_info_nce, cosine_loss


@pytest.fixture
def masks():
    own = np.zeros((4, 4), dtype=bool)
    own[0, 1] = own[0, 2] = own[1, 2] = True
    cross = np.zeros((4, 4), dtype=bool)
    cross[3, 2] = True
    return PairMasks.from_relations(Relations(own=own, cross=cross, ignored=np.eye(4, dtype=bool)))


def test_angles_enter_with_the_right_sign_and_direction(masks):
    embeds = lorentz.exp_map0(torch.randn(4, 6, dtype=torch.float64, generator=torch.manual_seed(0)), 1.3)
    down, up = torch.empty(4, 4), torch.empty(4, 4)
    for i in range(4):
        for j in range(4):
            angle = lorentz.exterior_angle(embeds[i], embeds[j], 1.3)
            down[i, j] = (math.pi - angle) / 0.2  # beta, the parent i as apex
            up[i, j] = angle / 0.2  # alpha, the child i as apex
    expected = bidirectional_info_nce(down, up, masks)
    found = angle_loss(embeds, masks, curvature=1.3, temperature=0.2)
    assert found.parent_to_child.item() == pytest.approx(expected.parent_to_child.item(), rel=1e-5)
    assert found.child_to_parent.item() == pytest.approx(expected.child_to_parent.item(), rel=1e-5)


def test_upward_beta_asks_the_angle_at_the_parent_in_both_directions(masks):
    embeds = lorentz.exp_map0(torch.randn(4, 6, dtype=torch.float64, generator=torch.manual_seed(0)), 1.3)
    beta = torch.tensor([[math.pi - lorentz.exterior_angle(x, y, 1.3) for y in embeds] for x in embeds]).nan_to_num()
    expected = bidirectional_info_nce(beta / 0.2, beta.T / 0.2, masks)  # row the child: still the parent as apex
    found = angle_loss(embeds, masks, curvature=1.3, temperature=0.2, upward="beta")
    assert found.parent_to_child.item() == pytest.approx(expected.parent_to_child.item(), rel=1e-5)
    assert found.child_to_parent.item() == pytest.approx(expected.child_to_parent.item(), rel=1e-5)


def test_a_nested_arrangement_scores_better_than_its_reverse(masks):
    rays = torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, -0.05], [-1.0, 0.2]])
    nested = lorentz.exp_map0(rays * torch.tensor([[0.3], [1.0], [2.0], [0.3]]), 1.0)
    reverse = lorentz.exp_map0(rays * torch.tensor([[2.0], [1.0], [0.3], [0.3]]), 1.0)
    assert angle_loss(nested, masks, 1.0, 0.07).loss < angle_loss(reverse, masks, 1.0, 0.07).loss


@pytest.mark.parametrize("geometry", ["lorentz", "euclidean"])
def test_descent_learns_the_hierarchy(masks, geometry):
    torch.manual_seed(0)
    tangent = torch.nn.Parameter(torch.randn(4, 8) * 0.5)
    optimizer = torch.optim.Adam([tangent], lr=0.05)
    for _ in range(200):
        embeds = lorentz.exp_map0(tangent, 1.0) if geometry == "lorentz" else tangent
        loss = angle_loss(embeds, masks, 1.0, 0.2, geometry).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    norms = tangent.detach().norm(dim=1)
    assert norms[0] < norms[1] < norms[2], "an ancestor lies nearer the origin than its descendants"


def test_gradients_are_finite_where_the_loss_is_heading(masks):
    """All on one ray, one of them at the origin, two of them equal."""
    embeds = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [2.0, 2.0]], requires_grad=True)
    curvature = torch.tensor(1.0, requires_grad=True)
    angle_loss(embeds, masks, curvature, 0.07).loss.backward()
    assert torch.isfinite(embeds.grad).all()
    assert torch.isfinite(curvature.grad)


def test_cosine_loss_looks_at_directions_alone(masks):
    embeds = torch.randn(4, 8, generator=torch.manual_seed(0))
    scaled = embeds * torch.tensor([[0.1], [1.0], [5.0], [20.0]])
    torch.testing.assert_close(cosine_loss(embeds, masks, 0.07).loss, cosine_loss(scaled, masks, 0.07).loss)
    unit = torch.nn.functional.normalize(embeds, dim=1)
    logits = unit @ unit.T / 0.07
    related = masks.own | masks.cross
    unordered = PairMasks(masks.own, masks.cross, masks.ignored | (related.T & ~related))
    expected = bidirectional_info_nce(logits, logits, unordered).loss
    torch.testing.assert_close(cosine_loss(embeds, masks, 0.07).loss, expected)


def test_similarity_has_no_direction_so_a_relative_is_no_negative():
    """In a chain of three everything is related: the middle row has nothing to push apart."""
    own = np.triu(np.ones((3, 3), dtype=bool), 1)
    none = np.zeros((3, 3), dtype=bool)
    chain = PairMasks.from_relations(Relations(own=own, cross=none, ignored=np.eye(3, dtype=bool)))
    found = cosine_loss(torch.ones(3, 4), chain, 0.07)
    # downwards row 0 chooses between two positives (log 2) and row 1 has one candidate (0); upwards the same
    assert found.parent_to_child.item() == pytest.approx(math.log(2) / 2, abs=1e-5)
    assert found.child_to_parent.item() == pytest.approx(math.log(2) / 2, abs=1e-5)


def test_unknown_geometry_is_refused(masks):
    with pytest.raises(ValueError, match="geometry"):
        angle_loss(torch.zeros(4, 2), masks, 1.0, 0.07, geometry="poincare")
