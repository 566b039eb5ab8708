import numpy as np
import pytest
import torch
from transformers import ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.data.relations import Relations
from hf_hyperbolic.losses import (
    PairMasks,
    angle_loss,
    caption_loss,
    cone_loss,
    cosine_loss,
    hcl_loss,
    inverse_prevalence,
    name_loss,
    proxy_loss,
    radial_order_loss,
    single_positive_angle_loss,
    uniformity_loss,
)
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.measures import ranking_measures
from hf_hyperbolic.training.objective import objective as objective_of_tensors
from hf_hyperbolic.training.precision import resolve_precision

PAPER = {"upward_angle": "alpha", "own_weight": 0.0, "proxy_weight": 0.0, "similarity_weight": 0.0}


def objective(*args, **others):
    loss, parts = objective_of_tensors(*args, **others)
    assert not any(part.requires_grad for part in parts.values())
    return loss, {name: part.item() for name, part in parts.items()}


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
    beside = {"similarity_weight": 3.0, "similarity_own_weight": 0.5, "similarity_temperature": 0.1}
    args = TrainArguments(**{**PAPER, **beside, "own_weight": 0.2})
    loss, parts = objective(model, embeds, masks, args)
    angle = angle_loss(embeds, masks, model.curvature, model.temperature, own_weight=0.2)
    similarity = cosine_loss(embeds, masks, 0.1, 0.5).loss
    assert loss.item() == pytest.approx(angle.loss.item() + 3 * similarity.item(), rel=1e-6)
    assert parts["loss"] == pytest.approx(loss.item())
    assert parts["loss_similarity"] == pytest.approx(similarity.item())


def test_the_paper_s_loss_is_the_angle_loss_alone(model, batch):
    embeds, masks = batch
    loss, parts = objective(model, embeds, masks, TrainArguments(**PAPER))
    assert loss.item() == pytest.approx(angle_loss(embeds, masks, model.curvature, model.temperature).loss.item())
    assert "loss_similarity" not in parts


def test_terms_that_a_study_adds_stand_beside_the_angle_loss(model, batch):
    embeds, masks = batch
    args = TrainArguments(**PAPER, radial_weight=2.0, uniformity_weight=0.5)
    loss, parts = objective(model, embeds, masks, args)
    plain = objective(model, embeds, masks, TrainArguments(**PAPER))[0]
    order, spread = radial_order_loss(model.radii(embeds), masks.own), uniformity_loss(embeds)
    assert loss.item() == pytest.approx(plain.item() + 2 * order.item() + 0.5 * spread.item())
    assert parts["loss_radial"] == pytest.approx(order.item())
    assert parts["loss_uniformity"] == pytest.approx(spread.item())


def test_class_proxies_stand_beside_the_loss(batch):
    embeds, masks = batch
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    config = HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=4, num_proxies=2)
    with_proxies = HyperbolicCLIPVisionModel(config)
    categories = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], dtype=torch.bool)
    scenes = torch.tensor([True, False, False, True, False, False])
    args = TrainArguments(**{**PAPER, "proxy_weight": 3.0, "proxy_temperature": 0.2})
    loss, parts = objective(with_proxies, embeds, masks, args, categories, scenes)
    plain = objective(with_proxies, embeds, masks, TrainArguments(**PAPER))[0]
    proxies = proxy_loss(embeds, with_proxies.proxy_embeds(), categories, scenes, 0.2)
    assert loss.item() == pytest.approx(plain.item() + 3 * proxies.item(), rel=1e-5)
    assert parts["loss_proxies"] == pytest.approx(proxies.item())
    with pytest.raises(ValueError, match="categories"):
        objective(with_proxies, embeds, masks, args)
    with pytest.raises(ValueError, match="have 1 classes and the model has 2"):
        objective(with_proxies, embeds, masks, args, categories[:, :1], scenes)


def test_classes_can_be_balanced_in_angle_and_similarity(model, batch):
    embeds, masks = batch
    categories = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 1], [1, 0], [0, 1]], dtype=torch.bool)
    scenes = torch.tensor([True, False, False, True, False, False])
    args = TrainArguments(**{**PAPER, "similarity_weight": 2.0, "class_balance": True})
    loss, _ = objective(model, embeds, masks, args, categories, scenes)
    weights = inverse_prevalence(categories, scenes)
    expected = (
        angle_loss(embeds, masks, model.curvature, model.temperature, importance=weights).loss
        + 2 * cosine_loss(embeds, masks, 0.07, 0.5, importance=weights).loss
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    alike, _ = objective(model, embeds, masks, TrainArguments(**{**PAPER, "similarity_weight": 2.0}))
    assert loss.item() != pytest.approx(alike.item(), rel=1e-3)
    with pytest.raises(ValueError, match="class_balance"):
        objective(model, embeds, masks, args)


def test_child_to_parent_can_maximise_the_angle_at_the_parent(model, batch):
    embeds, masks = batch
    found = objective(model, embeds, masks, TrainArguments(**{**PAPER, "upward_angle": "beta"}))[1]
    paper = objective(model, embeds, masks, TrainArguments(**PAPER))[1]
    wanted = angle_loss(embeds, masks, model.curvature, model.temperature, upward="beta")
    assert found["loss_parent_to_child"] == pytest.approx(paper["loss_parent_to_child"])
    assert found["loss_child_to_parent"] == pytest.approx(wanted.child_to_parent.item())
    assert found["loss_child_to_parent"] != pytest.approx(paper["loss_child_to_parent"], rel=1e-3)


def test_positives_inside_the_logarithm_reach_angle_and_similarity(model, batch):
    embeds, masks = batch
    loss, parts = objective(
        model, embeds, masks, TrainArguments(**{**PAPER, "similarity_weight": 2.0}, positives="inside")
    )
    angle = angle_loss(embeds, masks, model.curvature, model.temperature, where="inside")
    similarity = cosine_loss(embeds, masks, 0.07, 0.5, "inside").loss
    assert loss.item() == pytest.approx(angle.loss.item() + 2 * similarity.item())
    assert (
        parts["loss"]
        < objective(model, embeds, masks, TrainArguments(**{**PAPER, "similarity_weight": 2.0}))[1]["loss"]
    )


def test_relatives_can_be_put_among_the_negatives(model, batch):
    embeds, masks = batch
    related = PairMasks(masks.own, masks.cross, masks.ignored.clone())
    related.ignored[0, 4] = True
    found = objective(model, embeds, related, TrainArguments(**PAPER, relatives="negatives"))[0]
    wanted = angle_loss(embeds, related.relatives_as_negatives(), model.curvature, model.temperature).loss
    masked = objective(model, embeds, related, TrainArguments(**PAPER))[0]
    assert found.item() == pytest.approx(wanted.item())
    assert found.item() > masked.item()


@pytest.mark.parametrize("way", ["parent_to_child", "child_to_parent"])
def test_one_direction_of_the_angle_loss_can_be_asked_for(model, batch, way):
    embeds, masks = batch
    loss, _ = objective(model, embeds, masks, TrainArguments(**PAPER, directions=way))
    both = angle_loss(embeds, masks, model.curvature, model.temperature)
    assert loss.item() == pytest.approx(getattr(both, way).item())
    assert loss.item() < 0.9 * both.loss.item()


def test_the_cosine_baseline_has_no_angle(model, batch):
    embeds, masks = batch
    loss, _ = objective(model, embeds, masks, TrainArguments(loss="cosine", own_weight=0.3, proxy_weight=0.0))
    assert loss.item() == pytest.approx(cosine_loss(embeds, masks, model.temperature, 0.3).loss.item())


@pytest.mark.parametrize("asked", ["no", "bf16", "fp16"])
def test_a_precision_that_was_asked_for_is_kept(asked):
    assert resolve_precision(asked, cpu=True) == asked


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "no")])
def test_auto_is_bfloat16_only_where_it_is_native(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert resolve_precision("auto", cpu=True) == expected


def test_every_system_has_its_own_loss(model, batch):
    embeds, masks = batch
    c, tau = model.curvature, model.temperature
    expected = {
        "cosine": cosine_loss(embeds, masks, tau, 0.3),
        "hcl": hcl_loss(embeds, masks, c, tau, own_weight=0.3),
        "meru": cone_loss(embeds, masks, c, tau, own_weight=0.3),
        "hycoclip": cone_loss(embeds, masks, c, tau, 0.1, 1.2, part_is_parent=True, own_weight=0.3),
        "single_positive": single_positive_angle_loss(embeds, masks, c, tau),
    }
    found = {
        name: objective(model, embeds, masks, TrainArguments(loss=name, own_weight=0.3, proxy_weight=0.0))[1]
        for name in expected
    }
    for name, loss in expected.items():
        assert found[name]["loss"] == pytest.approx(loss.loss.item(), rel=1e-6), name
        assert "loss_similarity" not in found[name]
    assert len({round(parts["loss"], 4) for parts in found.values()}) == len(expected)


def test_a_hierarchy_the_other_way_round_is_not_judged_by_the_angle_at_the_whole():
    """Embeddings that satisfy HyCoCLIP's cones entirely would have an AUC of 0 by beta."""
    assert ranking_measures(TrainArguments(loss="hycoclip"))["pairs"] == "distance"
    assert ranking_measures(TrainArguments(loss="hcl"))["pairs"] == "distance"
    assert ranking_measures(TrainArguments(loss="meru"))["pairs"] == "beta"
    assert ranking_measures(TrainArguments(loss="single_positive"))["pairs"] == "beta"


@pytest.mark.parametrize("loss", ["angle", "cosine"])
def test_tiles_give_the_loss_of_the_whole(model, batch, loss):
    embeds, masks = batch
    settings = {"loss": loss, "proxy_weight": 0.0, "similarity_weight": 0.5}
    whole = objective(model, embeds, masks, TrainArguments(**settings))[1]
    assert objective(model, embeds, masks, TrainArguments(**settings, loss_tile=4))[1] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        {"loss": "meru"},
        {"relatives": "negatives"},
        {"class_balance": True},
        {"radial_weight": 1.0},
        {"uniformity_weight": 1.0},
    ],
)
def test_tiles_of_a_loss_that_looks_at_all_pairs_at_once_are_refused(other):
    with pytest.raises(ValueError, match="--loss_tile"):
        TrainArguments(loss_tile=64, **other)


def test_settings_of_other_systems_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="needs --geometry lorentz"):
        TrainArguments(loss="meru", geometry="euclidean")
    with pytest.raises(ValueError, match="--loss must be one of"):
        TrainArguments(loss="clip")


def test_names_stand_beside_it_and_without_a_weight_it_is_what_it_was(model, batch):
    embeds, masks = batch
    categories = torch.tensor([[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 1, 0]]).bool()
    scenes = torch.tensor([True, False, False, True, False, False])
    names = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    settings = {"proxy_weight": 0.0}
    plain = objective(model, embeds, masks, TrainArguments(**settings))
    ignored = objective(model, embeds, masks, TrainArguments(**settings), categories, scenes, names)
    assert torch.equal(ignored[0], plain[0])
    assert ignored[1] == plain[1]
    args = TrainArguments(**settings, text_weight=0.7)
    loss, parts = objective(model, embeds, masks, args, categories, scenes, names)
    called = name_loss(names, embeds, categories, scenes, model.curvature, model.temperature).loss
    assert loss.item() == pytest.approx(plain[0].item() + 0.7 * called.item(), rel=1e-6)
    assert parts["loss_names"] == pytest.approx(called.item())
    spoken = (torch.randn(2, 4, generator=torch.Generator().manual_seed(4)), embeds[scenes], torch.eye(2).bool())
    more, with_captions = objective(model, embeds, masks, args, categories, scenes, names, captions=spoken)
    said = caption_loss(*spoken, model.curvature, model.temperature).loss
    assert more.item() == pytest.approx(loss.item() + 0.7 * said.item(), rel=1e-6)
    assert with_captions["loss_captions"] == pytest.approx(said.item())
    assert torch.equal(objective(model, embeds, masks, TrainArguments(**settings), captions=spoken)[0], plain[0])
    with pytest.raises(ValueError, match="needs embeddings of the classes' names"):
        objective(model, embeds, masks, args, categories, scenes)
    with pytest.raises(ValueError, match="--text_weight embeds names with the images"):
        TrainArguments(text_weight=1.0, micro_batch_size=8)
