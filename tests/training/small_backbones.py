"""Backbones of a few thousand parameters."""

import torch
from transformers import CLIPVisionConfig, Dinov2Config, PreTrainedConfig, ResNetConfig, SwinConfig, ViTConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel

_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
_SIZES |= {"image_size": 32, "patch_size": 8}

BACKBONES: dict[str, PreTrainedConfig] = {
    "clip": CLIPVisionConfig(**_SIZES),
    "vit": ViTConfig(**_SIZES, hidden_dropout_prob=0.5),
    "dinov2": Dinov2Config(**_SIZES),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic"),
    "swin": SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4),
}


def small_model(backbone: str, **head) -> HyperbolicCLIPVisionModel:
    torch.manual_seed(0)
    config = HyperbolicCLIPVisionConfig(backbone_config=BACKBONES[backbone], projection_dim=8, **head)
    return HyperbolicCLIPVisionModel(config)
