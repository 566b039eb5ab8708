"""Small models with a text tower, and their tokenizer."""

import torch
from transformers import CLIPTextConfig, CLIPVisionConfig

from hf_hyperbolic import HyperbolicCLIPModel, HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.training.class_phrases import word_tokenizer

WORDS = ("a wheel", "the street lamp", "car")


def image_model(**fields) -> HyperbolicCLIPVisionModel:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(vision, projection_dim=16, **fields)).eval()
    with torch.no_grad():
        model.log_curvature.add_(0.3)
    return model


def tokenizer():
    return word_tokenizer(WORDS, 16)


def text_config(**fields) -> CLIPTextConfig:
    made = tokenizer()
    return CLIPTextConfig(
        vocab_size=len(made), hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, pad_token_id=made.pad_token_id, bos_token_id=made.bos_token_id,
        eos_token_id=made.eos_token_id, **fields,
    )  # fmt: skip


def text_model(**fields) -> HyperbolicCLIPModel:
    return HyperbolicCLIPModel.from_image_model(image_model(**fields), text_config())
