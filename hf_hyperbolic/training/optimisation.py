"""Learning rates, and which parameters decay."""

import math

import torch

from hf_hyperbolic.training.layers import block_names, layer_numbers


def learning_rate_factor(step: int, warmup_steps: int, max_steps: int) -> float:
    """Linear warm-up, then a cosine to zero: what a peak learning rate is multiplied by at `step`, in [0, 1]."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, max_steps - warmup_steps)))


def parameter_groups(
    model: torch.nn.Module,
    learning_rate: float,
    backbone_learning_rate: float | None,
    weight_decay: float,
    layer_decay: float = 1.0,
) -> list[dict]:
    """Backbone and head at their own rates; only matrices and kernels decay, never scalars, biases or norms.

    Args:
        model: its backbones are what is named `backbone.*` and `text_backbone.*`; parameters that are frozen stay out.
        learning_rate: peak of all else.
        backbone_learning_rate: peak of the backbone; None for the same.
        weight_decay: of AdamW.
        layer_decay: factor on the peak from each block of the backbone to the one before it, in (0, 1] (Clark et al.
            2020, as in BEiT, Bao et al. 2022): of B blocks block b, counted from 1, learns at `layer_decay ** (B + 1 -
            b)` of the backbone's rate, what comes before the first at `layer_decay ** (B + 1)`, what follows the last
            at all of it.

    Returns:
        Groups for an optimiser, each with its `peak`; those of the head come first, then the backbone from its input
        on.

    Raises:
        ValueError: the blocks of the backbone are not known, with a `layer_decay` other than 1.
    """
    backbone_rate = learning_rate if backbone_learning_rate is None else backbone_learning_rate
    backbone = model.get_submodule("backbone")
    layers, top = ({}, 0) if layer_decay == 1 else (layer_numbers(backbone), len(block_names(backbone)) + 1)
    groups: dict[tuple[bool, int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_backbone = name.startswith(("backbone.", "text_backbone."))
            # a text encoder has no part in the decay
            layer = layers.get(name.removeprefix("backbone."), 0) if name.startswith("backbone.") else top * in_backbone
            groups.setdefault((in_backbone, layer, parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": backbone_rate * layer_decay ** (top - layer) if in_backbone else learning_rate,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (in_backbone, layer, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
