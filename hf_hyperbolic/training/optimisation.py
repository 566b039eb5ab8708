"""Learning rates, and which parameters decay."""

import math

import torch


def learning_rate_factor(step: int, warmup_steps: int, max_steps: int) -> float:
    """Linear warm-up, then a cosine to zero: what a peak learning rate is multiplied by at `step`, in [0, 1]."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, max_steps - warmup_steps)))


def parameter_groups(
    model: torch.nn.Module, learning_rate: float, backbone_learning_rate: float | None, weight_decay: float
) -> list[dict]:
    """Backbone and head at their own rates; only matrices and kernels decay, never scalars, biases or norms.

    Args:
        model: its backbones are what is named `backbone.*` and `text_backbone.*`; parameters that are frozen stay out.
        learning_rate: peak of all else.
        backbone_learning_rate: peak of the backbone; None for the same.
        weight_decay: of AdamW.

    Returns:
        Groups for an optimiser, each with its `peak`; those of the head come first.
    """
    backbone_rate = learning_rate if backbone_learning_rate is None else backbone_learning_rate
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(("backbone.", "text_backbone.")), parameter.ndim >= 2), []).append(
                parameter
            )
    return [
        {
            "params": parameters,
            "peak": backbone_rate if in_backbone else learning_rate,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
