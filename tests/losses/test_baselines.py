"""The systems a hierarchy is compared with, each against its formula written out pair by pair in Python floats."""

import math

import mpmath
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.losses import (
    PairMasks,
    angle_loss,
    cone_loss,
    cosine_loss,
    distance_loss,
    half_aperture,
    hcl_loss,
    single_positive_angle_loss,
)
from hf_hyperbolic.losses.entailment_cone import HYCOCLIP_APERTURE_SCALE
from hf_hyperbolic.losses.single_positive import one_a_row

CURVATURE, TEMPERATURE = 1.3, 0.2


@pytest.fixture
def embeds():
    tangent = torch.randn(5, 6, dtype=torch.float64, generator=torch.manual_seed(0))
    return lorentz.exp_map0(tangent, CURVATURE)


def distance(x, y, c=CURVATURE):
    """acosh of the printed formula, with 40 digits."""
    with mpmath.workdps(40):
        x, y = [mpmath.mpf(v) for v in x.tolist()], [mpmath.mpf(v) for v in y.tolist()]

        def time(v):
            return mpmath.sqrt(1 / mpmath.mpf(c) + sum(a * a for a in v))

        product = sum(a * b for a, b in zip(x, y, strict=True)) - time(x) * time(y)
        return float(mpmath.acosh(-c * product) / mpmath.sqrt(c))


def info_nce(score, positives, candidates):
    """Mean over rows with positives; arguments are Python functions and lists of columns by row."""
    rows = []
    for x, wanted in positives.items():
        total = math.log(sum(math.exp(score(x, z)) for z in candidates[x]))
        rows.append(sum(score(x, y) - total for y in wanted) / len(wanted))
    return -sum(rows) / len(rows)


def test_distance_loss_equals_the_formula(embeds, two_scenes):
    def score(x, z):
        return -distance(embeds[x], embeds[z]) / TEMPERATURE

    # downwards a node sees neither itself nor its ancestors (distance has no direction)
    down = info_nce(score, {0: [2, 3, 4], 1: [2, 4], 2: [3]}, {0: [1, 2, 3, 4], 1: [0, 2, 3, 4], 2: [3, 4]})
    up = info_nce(score, {2: [0, 1], 3: [0, 2], 4: [0, 1]}, {2: [0, 1, 4], 3: [0, 1, 2, 4], 4: [0, 1, 2, 3]})
    found = distance_loss(embeds, two_scenes, CURVATURE, TEMPERATURE)
    assert found.parent_to_child.item() == pytest.approx(down, abs=1e-9)
    assert found.child_to_parent.item() == pytest.approx(up, abs=1e-9)
    assert found.loss.item() == pytest.approx(down + up, abs=1e-9)


def test_hcl_adds_a_tenth_of_region_to_object_contrast_on_distance(embeds, two_scenes):
    def score(x, z):
        return -distance(embeds[x], embeds[z]) / 0.2

    # positives are the objects of the region; what another image shows of a category it holds is left out, and scenes
    region = info_nce(score, {0: [2, 3], 1: [4], 2: [3]}, {0: [2, 3], 1: [3, 4], 2: [3, 4]})
    cosine = cosine_loss(embeds, two_scenes, 0.2)
    found = hcl_loss(embeds, two_scenes, CURVATURE)
    assert found.loss.item() == pytest.approx(cosine.loss.item() + 0.1 * region, abs=1e-6)
    assert found.parent_to_child.item() == cosine.parent_to_child.item()


@pytest.mark.parametrize("part_is_parent", [False, True])
def test_the_hinge_is_the_angle_beyond_the_aperture(embeds, two_scenes, part_is_parent):
    scale = HYCOCLIP_APERTURE_SCALE if part_is_parent else 1.0
    total = 0.0
    pairs = [(0, 2), (0, 3), (2, 3), (1, 4), (0, 4), (1, 2)]
    for whole, part in pairs:
        apex, other = (part, whole) if part_is_parent else (whole, part)
        angle = lorentz.exterior_angle(embeds[apex], embeds[other], CURVATURE).item()
        aperture = math.asin(min(1.0, 0.2 / (math.sqrt(CURVATURE) * embeds[apex].norm().item())))
        total += max(0.0, angle - scale * aperture)
    contrast = distance_loss(embeds, two_scenes, CURVATURE, TEMPERATURE).loss.item()
    found = cone_loss(
        embeds, two_scenes, CURVATURE, TEMPERATURE, 0.3, aperture_scale=scale, part_is_parent=part_is_parent
    )
    assert found.loss.item() == pytest.approx(contrast + 0.3 * total / len(pairs), abs=1e-9)


def test_a_child_within_the_cone_costs_nothing(two_scenes):
    ray = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    embeds = lorentz.exp_map0(torch.outer(torch.tensor([0.3, 0.4, 1.0, 2.0, 1.5], dtype=torch.float64), ray), 1.0)
    nested = cone_loss(embeds, two_scenes, 1.0, TEMPERATURE, entailment_weight=1.0).loss
    contrast = distance_loss(embeds, two_scenes, 1.0, TEMPERATURE).loss
    assert nested.item() == pytest.approx(contrast.item(), abs=1e-9)
    reverse = cone_loss(embeds, two_scenes, 1.0, TEMPERATURE, entailment_weight=1.0, part_is_parent=True).loss
    assert reverse > contrast + 1


def test_half_aperture_narrows_outwards_and_is_a_half_space_near_the_origin():
    x = torch.tensor([[0.0], [1e-3], [0.19], [0.25], [1.0], [100.0]], dtype=torch.float64, requires_grad=True)
    found = half_aperture(x, 1.0)
    expected = [math.asin(min(1.0, 0.2 / max(1e-9, v))) for v in (0.0, 1e-3, 0.19, 0.25, 1.0, 100.0)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    found.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_one_a_row_keeps_one_and_takes_all_in_turn():
    positives = torch.rand(40, 30, generator=torch.manual_seed(0)) < 0.2
    positives[3] = False
    kept = one_a_row(positives)
    assert (kept & ~positives).sum() == 0
    assert torch.equal(kept.sum(1), positives.any(1).long())
    same = torch.zeros(6, 4, dtype=torch.bool)
    same[:, :3] = True
    assert one_a_row(same).sum(0).tolist() == [2, 2, 2, 0]


def test_a_single_positive_knows_no_relatives(embeds, two_scenes):
    def ext(x, y):
        return lorentz.exterior_angle(embeds[x], embeds[y], CURVATURE).item()

    # row 0 of two positives takes the first, row 1 has one; rows 2 and 4 have one parent, row 3 the second of two
    down = info_nce(
        lambda x, z: (math.pi - ext(x, z)) / TEMPERATURE,
        {0: [2], 1: [4], 2: [3]},
        {0: [1, 2, 4], 1: [0, 2, 3, 4], 2: [0, 1, 3, 4]},
    )
    up = info_nce(
        lambda x, z: ext(x, z) / TEMPERATURE,
        {2: [0], 3: [2], 4: [1]},
        {2: [0, 1, 3, 4], 3: [1, 2, 4], 4: [0, 1, 2, 3]},
    )
    found = single_positive_angle_loss(embeds, two_scenes, CURVATURE, TEMPERATURE)
    assert found.parent_to_child.item() == pytest.approx(down, abs=1e-5)
    assert found.child_to_parent.item() == pytest.approx(up, abs=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda e, m, c: distance_loss(e, m, c, 0.07),
        lambda e, m, c: hcl_loss(e, m, c),
        lambda e, m, c: cone_loss(e, m, c, 0.07),
        lambda e, m, c: cone_loss(e, m, c, 0.07, part_is_parent=True),
        lambda e, m, c: single_positive_angle_loss(e, m, c, 0.07),
    ],
)
def test_gradients_are_finite_where_points_meet(two_scenes, loss):
    """All on one ray, one at the origin, two of them equal."""
    embeds = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [2.0, 2.0], [3.0, 3.0]], requires_grad=True)
    curvature = torch.tensor(1.0, requires_grad=True)
    loss(embeds, two_scenes, curvature).loss.backward()
    assert torch.isfinite(embeds.grad).all()
    assert torch.isfinite(curvature.grad)


def test_without_a_pair_every_loss_is_zero_with_a_gradient():
    embeds = torch.randn(3, 4, requires_grad=True)
    none = torch.zeros(3, 3, dtype=torch.bool)
    masks = PairMasks(none, none, torch.eye(3, dtype=torch.bool))
    for found in (
        hcl_loss(embeds, masks, 1.0),
        cone_loss(embeds, masks, 1.0, 0.1),
        angle_loss(embeds, masks, 1.0, 0.1),
    ):
        found.loss.backward()
        assert found.loss.item() == 0
