"""Learning rates of groups of parameters, against multipliers computed by hand."""

import pytest
import torch
from small_backbones import small_model
from text_models import text_model

from hf_hyperbolic.training.freezing import freeze_layers
from hf_hyperbolic.training.optimisation import parameter_groups


def peaks(model, groups):
    of_parameter = {id(parameter): group["peak"] for group in groups for parameter in group["params"]}
    assert len(of_parameter) == sum(len(group["params"]) for group in groups), "a parameter is in two groups"
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(of_parameter) == len(names)
    return {name: of_parameter[id(parameter)] for name, parameter in model.named_parameters() if name in names}


def matrices_alone_decay(groups):
    return all({tensor.ndim >= 2 for tensor in group["params"]} == {group["weight_decay"] > 0} for group in groups)


def test_three_blocks_at_three_quarters():
    """BEiT's rule: 0.75 ** (3 + 1 - layer), of the backbone's rate."""
    model = small_model("clip", num_proxies=3)
    found = peaks(model, parameter_groups(model, 8.0, 1.0, 0.1, layer_decay=0.75))
    expected = {
        "backbone.embeddings.class_embedding": 0.31640625,  # 0.75 ** 4
        "backbone.embeddings.patch_embedding.weight": 0.31640625,
        "backbone.pre_layrnorm.bias": 0.31640625,
        "backbone.encoder.layers.0.self_attn.q_proj.weight": 0.421875,
        "backbone.encoder.layers.1.mlp.fc1.bias": 0.5625,
        "backbone.encoder.layers.2.layer_norm2.weight": 0.75,
        "backbone.post_layernorm.weight": 1.0,
        "projection.0.weight": 8.0,
        "log_curvature": 8.0,
        "log_temperature": 8.0,
        "class_proxies": 8.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_a_text_encoder_learns_at_the_backbone_s_rate_whatever_the_layer_decay():
    model = text_model()
    found = peaks(model, parameter_groups(model, 8.0, 1.0, 0.1, layer_decay=0.75))
    assert found["backbone.encoder.layers.0.self_attn.q_proj.weight"] == pytest.approx(0.75**2)
    of_text = {rate for name, rate in found.items() if name.startswith("text_backbone.")}
    assert of_text == {1.0}
    assert found["text_projection.0.weight"] == found["log_text_alpha"] == 8.0


def test_blocks_of_a_resnet_count_through_its_stages():
    model = small_model("resnet")
    found = peaks(model, parameter_groups(model, 2.0, None, 0.1, layer_decay=0.5))
    expected = {
        "backbone.embedder.embedder.convolution.weight": 0.125,  # 2 * 0.5 ** 4
        "backbone.encoder.stages.0.layers.0.layer.0.convolution.weight": 0.25,
        "backbone.encoder.stages.1.layers.0.layer.1.normalization.bias": 0.5,
        "backbone.encoder.stages.1.layers.1.layer.0.convolution.weight": 1.0,  # the last block: nothing follows
        "projection.0.weight": 2.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_without_layer_decay_there_are_the_groups_of_head_and_backbone():
    model = small_model("vit")
    groups = parameter_groups(model, 2.0, 1.0, 0.1)
    rates = [(group["peak"], group["weight_decay"]) for group in groups]
    assert rates == [(2.0, 0.0), (2.0, 0.1), (1.0, 0.0), (1.0, 0.1)]
    assert matrices_alone_decay(groups)


def test_each_layer_has_a_group_that_decays_and_one_that_does_not():
    model = small_model("clip")
    groups = parameter_groups(model, 2.0, 1.0, 0.1, layer_decay=0.5)
    assert [group["weight_decay"] for group in groups[:4]] == [0.0, 0.1, 0.0, 0.1]
    assert matrices_alone_decay(groups)
    assert isinstance(torch.optim.AdamW(groups), torch.optim.Optimizer)


def test_frozen_layers_stay_out():
    model = small_model("clip")
    freeze_layers(model, 2)
    found = peaks(model, parameter_groups(model, 2.0, 1.0, 0.1, layer_decay=0.5))
    assert {found[name] for name in found if name.startswith("backbone.")} == {0.5, 1.0}
