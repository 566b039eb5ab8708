"""The forward pass of a training step, for any number of crops."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hf_hyperbolic.encoder import normalise


def embed_crops(model: torch.nn.Module, crops: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Embeds crops as they come from a feed, with a graph.

    Batch statistics of a single crop do not exist: it is shown twice. Where broken images leave a process none at all
    it shows two black ones, so that it takes part in the exchange of gradients; its embeddings are none all the same.

    Args:
        model: a `HyperbolicCLIPVisionModel`, as it is or as `accelerator.prepare` gave it.
        crops: (n, 3, H, W) uint8, on the model's device.
        mean: three channel means, for values in [0, 1].
        std: three channel standard deviations.

    Returns:
        (n, D) embeddings.
    """
    pixels = normalise(at_least_two(crops), mean, std).contiguous(memory_format=torch.channels_last)
    embeds: Tensor = model(pixel_values=pixels).embeds
    return embeds[: len(crops)]


def at_least_two(inputs: Tensor) -> Tensor:
    """(n, ...) inputs; of one, twice the same, and of none two of zeros."""
    if len(inputs) == 1:
        return inputs.repeat(2, *[1] * (inputs.ndim - 1))
    return inputs if len(inputs) else inputs.new_zeros(2, *inputs.shape[1:])
