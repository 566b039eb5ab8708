import math

import numpy as np
import pytest
import torch

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.losses import proxy_loss

CURVATURE = 0.7


def naive_info_nce(logits, positives):
    rows = []
    for scores, wanted in zip(logits, positives, strict=True):
        if any(wanted):
            total = math.log(sum(map(math.exp, scores)))
            rows.append(sum(s - total for s, w in zip(scores, wanted, strict=True) if w) / sum(wanted))
    return -sum(rows) / len(rows) if rows else 0.0


def both_ways(logits, positives):
    logits, positives = np.asarray(logits), np.asarray(positives)
    return naive_info_nce(logits, positives) + naive_info_nce(logits.T, positives.T)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    embeds = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    proxies = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    categories = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=torch.bool)
    scenes = torch.tensor([True, True, False, False, False])
    return embeds, proxies, categories, scenes


def cosines(embeds, proxies):
    return torch.nn.functional.cosine_similarity(embeds[:, None], proxies[None], dim=2)


@pytest.mark.parametrize(("geometry", "space"), [("lorentz", lorentz), ("euclidean", euclidean)])
def test_equals_the_formula_written_out(batch, geometry, space):
    embeds, proxies, categories, scenes = batch
    beta = math.pi - space.exterior_angle(embeds[scenes][:, None], proxies[None], CURVATURE)
    expected = both_ways(beta / 0.2, categories[scenes]) + both_ways(
        cosines(embeds, proxies)[~scenes] / 0.1, categories[~scenes]
    )
    assert proxy_loss(*batch, CURVATURE, geometry, 0.2, 0.1).item() == pytest.approx(expected, abs=1e-5)


def test_a_loss_without_direction_scores_scenes_by_cosine(batch):
    embeds, proxies, categories, scenes = batch
    by_cosine = cosines(embeds, proxies) / 0.1
    expected = both_ways(by_cosine[scenes], categories[scenes]) + both_ways(by_cosine[~scenes], categories[~scenes])
    found = proxy_loss(*batch, CURVATURE, box_temperature=0.1, directed=False)
    assert found.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [True, False])
def test_a_batch_of_one_kind_has_a_finite_loss_and_gradient(batch, kind):
    embeds, proxies, categories, _ = batch
    embeds.requires_grad_(), proxies.requires_grad_()
    loss = proxy_loss(embeds, proxies, categories, torch.full((5,), kind), CURVATURE)
    loss.backward()
    assert loss.isfinite()
    assert embeds.grad.isfinite().all()
    assert proxies.grad.isfinite().all()


def test_training_on_it_makes_scenes_entail_their_classes_and_boxes_resemble_theirs(batch):
    embeds, proxies, categories, scenes = (part.clone() for part in batch)
    embeds.requires_grad_(), proxies.requires_grad_()
    optimizer = torch.optim.Adam([embeds, proxies], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        proxy_loss(embeds, proxies, categories, scenes, CURVATURE).backward()
        optimizer.step()
    assert cosines(embeds, proxies)[~scenes].argmax(1).tolist() == categories[~scenes].int().argmax(1).tolist()
    beta = math.pi - lorentz.exterior_angle(embeds[0], proxies, CURVATURE)
    assert beta[:2].min() > beta[2] + 0.5
