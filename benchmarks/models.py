"""Models that benchmarks train: a backbone of a usual size with random weights under the head of this library."""

from typing import Any

from transformers import CLIPVisionConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel

BACKBONES: dict[str, dict[str, Any]] = {
    "vit-b-16": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "vit-s-16": {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 6},
    "tiny": {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4},
}


def build(backbone: str, image_size: int, classes: int) -> HyperbolicCLIPVisionModel:
    """In training mode, on the CPU.

    Args:
        backbone: a name of `BACKBONES`.
        image_size: pixels of a side.
        classes: how many class proxies it has.
    """
    patch = 8 if backbone == "tiny" else 16
    vision = CLIPVisionConfig(**BACKBONES[backbone], image_size=image_size, patch_size=patch)
    return HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=vision, num_proxies=classes)).train()
