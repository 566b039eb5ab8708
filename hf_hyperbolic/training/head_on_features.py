"""A model without its backbone: features in, embeddings out."""

import numpy as np
import torch
from torch import Tensor, nn

from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel, HyperbolicCLIPVisionOutput
from hf_hyperbolic.training.embed_crops import at_least_two
from hf_hyperbolic.vision_backbone import floating_dtype


class HeadOnFeatures(nn.Module):
    """What `model` does after pooling, called in the same way: with (B, F) features as `pixel_values`.

    The parameters are those of `model`.
    """

    def __init__(self, model: HyperbolicCLIPVisionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> HyperbolicCLIPVisionOutput:
        model = self.model
        projected = model.projection(pixel_values.to(floating_dtype(model.projection)))
        embeds, tangent = model.lift(projected)
        return HyperbolicCLIPVisionOutput(embeds=embeds, tangent=tangent, pooler_output=pixel_values)


def embed_features(head: nn.Module, features: Tensor) -> Tensor:
    """(n, F) features -> (n, D) embeddings with a graph, as `embed_crops` of crops.

    Args:
        head: a `HeadOnFeatures`, as it is or as `accelerator.prepare` gave it.
        features: on its device; of one or none as of one or no crop.
    """
    embeds: Tensor = head(pixel_values=at_least_two(features)).embeds
    return embeds[: len(features)]


@torch.no_grad()
def embed_all_features(model: HyperbolicCLIPVisionModel, features: Tensor, batch_size: int = 4096) -> np.ndarray:
    """(n, F) features -> (n, D) float32 embeddings in evaluation mode, as `embed_nodes` of nodes."""
    was_training, device = model.training, next(model.parameters()).device
    head = HeadOnFeatures(model).eval()
    found = [head(pixel_values=part.to(device)).embeds.float().cpu() for part in features.split(batch_size)]
    model.train(was_training)
    return torch.cat(found).numpy()
