import math

import numpy as np
import pytest
import torch

from hf_hyperbolic.losses import proxy_loss


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


def test_equals_the_formula_written_out(batch):
    embeds, proxies, categories, scenes = batch
    by_cosine = cosines(embeds, proxies) / 0.1
    expected = both_ways(by_cosine[scenes], categories[scenes]) + both_ways(by_cosine[~scenes], categories[~scenes])
    assert proxy_loss(*batch, 0.1).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [True, False])
def test_a_batch_of_one_kind_has_a_finite_loss_and_gradient(batch, kind):
    embeds, proxies, categories, _ = batch
    embeds.requires_grad_(), proxies.requires_grad_()
    loss = proxy_loss(embeds, proxies, categories, torch.full((5,), kind))
    loss.backward()
    assert loss.isfinite()
    assert embeds.grad.isfinite().all()
    assert proxies.grad.isfinite().all()


def test_training_on_it_makes_boxes_and_scenes_resemble_their_classes(batch):
    embeds, proxies, categories, scenes = (part.clone() for part in batch)
    embeds.requires_grad_(), proxies.requires_grad_()
    optimizer = torch.optim.Adam([embeds, proxies], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        proxy_loss(embeds, proxies, categories, scenes).backward()
        optimizer.step()
    assert cosines(embeds, proxies)[~scenes].argmax(1).tolist() == categories[~scenes].int().argmax(1).tolist()
    of_scene = cosines(embeds, proxies)[0]
    assert of_scene[:2].min() > of_scene[2] + 0.5
