"""Layers of backbones, against numbers read off their definitions."""

import pytest
from small_backbones import small_model
from torch import nn

from hf_hyperbolic.training.layers import block_names, layer_numbers


@pytest.mark.parametrize(
    ("backbone", "blocks", "layers"),
    [
        (
            "clip",
            ["encoder.layers.0", "encoder.layers.1", "encoder.layers.2"],
            {
                "embeddings.class_embedding": 0, "embeddings.patch_embedding.weight": 0, "pre_layrnorm.weight": 0,
                "encoder.layers.0.self_attn.q_proj.weight": 1, "encoder.layers.2.mlp.fc2.bias": 3,
                "post_layernorm.weight": 4,
            },
        ),
        (
            "vit",
            ["layers.0", "layers.1", "layers.2"],
            {"embeddings.cls_token": 0, "layers.1.mlp.fc1.weight": 2, "layernorm.bias": 4, "pooler.dense.weight": 4},
        ),
        (
            "dinov2",
            ["encoder.layer.0", "encoder.layer.1", "encoder.layer.2"],
            {"embeddings.mask_token": 0, "encoder.layer.2.layer_scale2.lambda1": 3, "layernorm.weight": 4},
        ),
        (
            "resnet",
            ["encoder.stages.0.layers.0", "encoder.stages.1.layers.0", "encoder.stages.1.layers.1"],
            {
                "embedder.embedder.convolution.weight": 0, "encoder.stages.0.layers.0.layer.1.convolution.weight": 1,
                "encoder.stages.1.layers.0.shortcut.convolution.weight": 2,
                "encoder.stages.1.layers.1.layer.0.normalization.bias": 3,
            },
        ),
        (
            "swin",
            ["encoder.layers.0.blocks.0", "encoder.layers.1.blocks.0"],
            {
                "embeddings.norm.weight": 0, "encoder.layers.0.blocks.0.mlp.fc1.weight": 1,
                "encoder.layers.0.downsample.reduction.weight": 1, "encoder.layers.1.blocks.0.mlp.fc1.weight": 2,
                "layernorm.weight": 3,
            },
        ),
    ],
)  # fmt: skip
def test_layers(backbone, blocks, layers):
    model = small_model(backbone).backbone
    assert block_names(model) == blocks
    found = layer_numbers(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert {name: found[name] for name in layers} == layers


def test_a_backbone_of_another_kind_is_named():
    with pytest.raises(ValueError, match=r"the blocks of Sequential are not known: --freeze_layers"):
        block_names(nn.Sequential(nn.Linear(2, 2)))
