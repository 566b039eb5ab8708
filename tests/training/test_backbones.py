"""Models to start from."""

import pytest
import torch
from transformers import CLIPVisionConfig, Dinov2Config, ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.training.backbones import freeze_unused

VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
BACKBONES = {
    "clip": (CLIPVisionConfig(**VIT), []),
    "dinov2": (Dinov2Config(**VIT), ["backbone.embeddings.mask_token"]),
    "resnet": (ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"), []),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_freeze_unused_freezes_what_training_would_not_reach(name):
    backbone, expected = BACKBONES[name]
    torch.manual_seed(0)
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=8)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert freeze_unused(model, image_size=32) == expected
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    # what a step of training reaches
    model(pixel_values=torch.randn(2, 3, 32, 32)).embeds.square().sum().backward()
    without = [key for key, parameter in model.backbone.named_parameters() if parameter.grad is None]
    assert [f"backbone.{key}" for key in without] == expected
    assert all(not model.get_parameter(key).requires_grad for key in expected)
