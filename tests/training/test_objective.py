import numpy as np
import pytest
import torch
from transformers import ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.data.relations import Relations
from hf_hyperbolic.losses import PairMasks, angle_loss, cosine_loss
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.precision import resolve_precision


@pytest.fixture(scope="module")
def model():
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    return HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=4))


@pytest.fixture(scope="module")
def batch():
    embeds = torch.randn(6, 4, generator=torch.manual_seed(0))
    own = np.zeros((6, 6), dtype=bool)
    own[0, 1] = own[0, 2] = own[3, 4] = True
    cross = np.zeros((6, 6), dtype=bool)
    cross[0, 5] = cross[3, 1] = True
    return embeds, PairMasks.from_relations(Relations(own, cross, np.eye(6, dtype=bool)))


def test_similarity_stands_beside_the_angle_loss(model, batch):
    embeds, masks = batch
    args = TrainArguments(similarity_weight=3.0, similarity_own_weight=0.5, similarity_temperature=0.1, own_weight=0.2)
    loss, parts = objective(model, embeds, masks, args)
    angle = angle_loss(embeds, masks, model.curvature, model.temperature, own_weight=0.2)
    similarity = cosine_loss(embeds, masks, 0.1, 0.5).loss
    assert loss.item() == pytest.approx(angle.loss.item() + 3 * similarity.item(), rel=1e-6)
    assert parts["loss"] == pytest.approx(loss.item())
    assert parts["loss_similarity"] == pytest.approx(similarity.item())


def test_the_paper_s_loss_is_the_angle_loss_alone(model, batch):
    embeds, masks = batch
    loss, parts = objective(model, embeds, masks, TrainArguments(similarity_weight=0.0))
    assert loss.item() == pytest.approx(angle_loss(embeds, masks, model.curvature, model.temperature).loss.item())
    assert "loss_similarity" not in parts


def test_the_cosine_baseline_has_no_angle(model, batch):
    embeds, masks = batch
    loss, _ = objective(model, embeds, masks, TrainArguments(loss="cosine", similarity_own_weight=0.3))
    assert loss.item() == pytest.approx(cosine_loss(embeds, masks, model.temperature, 0.3).loss.item())


@pytest.mark.parametrize("asked", ["no", "bf16", "fp16"])
def test_a_precision_that_was_asked_for_is_kept(asked):
    assert resolve_precision(asked, cpu=True) == asked


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "no")])
def test_auto_is_bfloat16_only_where_it_is_native(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert resolve_precision("auto", cpu=True) == expected
