"""The forward pass of a training step, for any number of crops."""

from collections.abc import Mapping, Sequence

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
    embeds: Tensor = model(pixel_values=_shown(crops, mean, std)).embeds
    return embeds[: len(crops)]


def embed_crops_and_names(
    model: torch.nn.Module, crops: Tensor, tokens: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """`embed_crops` and the names of the classes, in one forward pass: processes exchange gradients once for each.

    Args:
        model: a `HyperbolicCLIPModel`, as it is or as `accelerator.prepare` gave it.
        crops: as for `embed_crops`.
        tokens: `input_ids` and `attention_mask` of T names, the same ones in every process.
        mean: three channel means, for values in [0, 1].
        std: three channel standard deviations.

    Returns:
        (n, D) embeddings of crops and (T, D) of names.
    """
    output = model(pixel_values=_shown(crops, mean, std), **tokens)
    return output.embeds[: len(crops)], output.text_embeds


def _shown(crops: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return normalise(at_least_two(crops), mean, std).contiguous(memory_format=torch.channels_last)


def at_least_two(inputs: Tensor) -> Tensor:
    """(n, ...) inputs; of one, twice the same, and of none two of zeros."""
    if len(inputs) == 1:
        return inputs.repeat(2, *[1] * (inputs.ndim - 1))
    return inputs if len(inputs) else inputs.new_zeros(2, *inputs.shape[1:])
