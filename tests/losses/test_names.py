import math

import pytest
import torch

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.losses import name_loss

# three scenes and five boxes; four names
SCENES = torch.tensor([True] * 3 + [False] * 5)
CATEGORIES = torch.tensor(
    [
        [1, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
    ]
).bool()


def points(count, seed):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive(names, embeds, curvature, tau, weight, similarity_tau, space=lorentz):
    """Pair by pair: the mean over positives of minus the log of a softmax, averaged over rows that have one."""

    def term(rows, columns, score, positive):
        terms = []
        for row in range(len(rows)):
            logits = torch.stack([score(rows[row], column) for column in columns])
            own = [column for column in range(len(columns)) if positive(row, column)]
            if own:
                terms.append(-sum(logits[one] - torch.logsumexp(logits, 0) for one in own) / len(own))
        return sum(terms) / len(terms)

    down = up = 0.0
    boxes, scenes = embeds[~SCENES], embeds[SCENES]
    of_boxes, of_scenes = CATEGORIES[~SCENES], CATEGORIES[SCENES]
    for parents, children, table in ((names, boxes, of_boxes.T), (scenes, names, of_scenes)):

        def angle(parent, child):
            return (math.pi - space.exterior_angle(parent, child, curvature)) / tau

        def cosine(parent, child):
            return torch.nn.functional.cosine_similarity(parent, child, 0) / similarity_tau

        for score, share in ((angle, 1.0), (cosine, weight)):
            if share:
                down += share * term(parents, children, score, lambda row, column, table=table: table[row, column])
                up += share * term(
                    children, parents, lambda c, p, score=score: score(p, c),
                    lambda row, column, table=table: table[column, row],
                )  # fmt: skip
    return down, up


@pytest.mark.parametrize(("geometry", "weight"), [("lorentz", 2.0), ("lorentz", 0.0), ("euclidean", 1.0)])
def test_against_a_loop_over_pairs(geometry, weight):
    names, embeds = points(4, 0), points(8, 1)
    space = lorentz if geometry == "lorentz" else euclidean
    found = name_loss(names, embeds, CATEGORIES, SCENES, 0.7, 0.2, geometry, weight, 0.1)
    down, up = naive(names, embeds, 0.7, 0.2, weight, 0.1, space)
    torch.testing.assert_close(found.parent_to_child, down, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.child_to_parent, up, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.loss, down + up, rtol=1e-4, atol=1e-4)


def test_a_name_is_the_parent_of_its_boxes_and_the_child_of_its_scenes():
    # on one ray: a scene near the origin, a name, a box far out
    ray = torch.nn.functional.normalize(points(1, 2), dim=1).float()
    others = points(3, 3).float()
    names = torch.cat([ray, others])
    categories = torch.tensor([[True, False, False, False]] * 2)
    scenes = torch.tensor([True, False])

    def loss(scene, box):
        embeds = torch.cat([scene * ray, box * ray])
        return name_loss(names, embeds, categories, scenes, 1.0, 0.2, similarity_weight=0.0).loss

    assert loss(0.2, 5.0) < loss(5.0, 5.0)
    assert loss(0.2, 5.0) < loss(0.2, 0.2)


def test_gradients_are_finite_and_reach_names_and_curvature():
    names, embeds = points(4, 0).float().requires_grad_(), points(8, 1).float()
    curvature = torch.tensor(0.5, requires_grad=True)
    name_loss(names, embeds, CATEGORIES, SCENES, curvature, 0.2).loss.backward()
    assert names.grad.isfinite().all()
    assert curvature.grad.abs() > 0
    # a batch without a scene that holds anything, or without boxes
    for some in (SCENES, ~SCENES):
        names.grad = None
        name_loss(names, embeds[some], CATEGORIES[some], SCENES[some], 1.0, 0.2).loss.backward()
        assert names.grad.isfinite().all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"categories has shape \(8, 3\), expected \(8, 4\)"):
        name_loss(points(4, 0), points(8, 1), CATEGORIES[:, :3], SCENES, 1.0, 0.2)
    with pytest.raises(ValueError, match="geometry must be"):
        name_loss(points(4, 0), points(8, 1), CATEGORIES, SCENES, 1.0, 0.2, "spherical")
