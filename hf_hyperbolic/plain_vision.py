"""Pretrained vision models as they are, in Euclidean space: what a hyperbolic head is to be better than."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, CLIPVisionModelWithProjection, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from hf_hyperbolic.vision_backbone import HUB_ARGUMENTS, align_weights, load_backbone, pool


@dataclass
class PlainVisionOutput(ModelOutput):
    """`embeds`: (B, D) float32 image features."""

    embeds: Tensor | None = None


class PlainVisionModel(nn.Module):
    """Image features as the model's makers retrieve by them.

    Of a CLIP checkpoint with its projection, `image_embeds`: the class token projected into the space shared with
    texts. Of any other (ResNet, ViT, DINOv2, a vision tower alone) the pooled feature, as a new head would get it.

    Args:
        backbone: a vision model of the transformers library; `CLIPVisionModelWithProjection` for projected features.
    """

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        if getattr(backbone, "main_input_name", None) != "pixel_values":
            raise ValueError(
                f"{type(backbone).__name__} takes no images: give the checkpoint of a vision model, CLIP for instance"
            )
        self.backbone = backbone

    @property
    def curvature(self) -> Tensor:
        """0: Euclidean space, as of a `HyperbolicCLIPVisionModel` with that geometry."""
        return torch.zeros(())

    @property
    def config(self) -> PreTrainedConfig:
        """The backbone's."""
        return self.backbone.config

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        return self.backbone.dtype

    def forward(self, pixel_values: Tensor) -> PlainVisionOutput:
        """(B, 3, H, W) normalised images -> (B, D) features."""
        outputs: Any = self.backbone(pixel_values.to(self.backbone.dtype), return_dict=True)
        projected = getattr(outputs, "image_embeds", None)
        return PlainVisionOutput(embeds=(pool(outputs) if projected is None else projected).float())


def load_plain(name_or_path: str | os.PathLike[str], **kwargs: Any) -> PlainVisionModel:
    """Loads the vision model of a checkpoint, in evaluation mode.

    Args:
        name_or_path: folder or Hub name of a CLIP model, its vision tower, or another vision model.
        **kwargs: passed to `from_pretrained`, e.g. `dtype`, `revision`.

    Raises:
        OSError: there is no such checkpoint.
        ValueError: it is of no vision model.
    """
    config = AutoConfig.from_pretrained(name_or_path, **{key: kwargs[key] for key in HUB_ARGUMENTS if key in kwargs})
    if config.model_type in ("clip", "clip_vision_model"):
        vision = getattr(config, "vision_config", config)
        # of a two-tower model the size that counts stands with the whole
        vision.projection_dim = config.projection_dim
        loaded: Any = CLIPVisionModelWithProjection.from_pretrained(
            name_or_path, config=vision, output_loading_info=True, **kwargs
        )
        model, info = loaded
        if not info["missing_keys"]:
            return PlainVisionModel(align_weights(model)).eval()
    return PlainVisionModel(load_backbone(name_or_path, **kwargs)).eval()
