"""Small models of every kind that is exported."""

import json

import torch
from transformers import CLIPVisionConfig, ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor

SIZE = 32


def small_model(backbone: str = "resnet", **fields) -> HyperbolicCLIPVisionModel:
    torch.manual_seed(0)
    config = {
        "clip": CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIZE,
            patch_size=8,
        ),
        "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    }[backbone]
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(config, projection_dim=16, **fields)).eval()
    with torch.no_grad():
        # embeddings of a model fresh from its initialisation all lie near the origin
        model.log_alpha.add_(0.5)
        if model.config.geometry == "lorentz":
            model.log_curvature.add_(0.3)
    return model


def save(model: HyperbolicCLIPVisionModel, folder, **settings) -> None:
    model.save_pretrained(folder)
    make_image_processor(SIZE).save_pretrained(folder)
    if settings:
        (folder / "arguments.json").write_text(json.dumps(settings))
