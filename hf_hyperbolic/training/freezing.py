"""Frozen layers: no gradient, no dropout, and batch statistics that stay as they are."""

from typing import Any

from torch import nn

from hf_hyperbolic.training.layers import block_names, layer_numbers


def freeze_backbone(model: nn.Module) -> None:
    """Freezes all of `model.backbone`: the head alone is trained."""
    backbone = model.get_submodule("backbone")
    backbone.requires_grad_(False)
    _stay_in_evaluation(backbone)


def freeze_layers(model: nn.Module, blocks: int) -> None:
    """Freezes what comes before the first block of `model.backbone`, and its first `blocks` blocks.

    Raises:
        ValueError: it has fewer blocks, or its blocks are not known.
    """
    backbone = model.get_submodule("backbone")
    names = block_names(backbone)
    if not 1 <= blocks <= len(names):
        raise ValueError(
            f"--freeze_layers {blocks} freezes the first {blocks} blocks, and {type(backbone).__name__} has "
            f"{len(names)}: give at most that many, or --freeze_backbone true for the head alone"
        )
    frozen = {name for name, layer in layer_numbers(backbone).items() if layer <= blocks}
    for name, parameter in backbone.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    for module in backbone.modules():
        of_it = list(module.parameters())
        if of_it and not any(parameter.requires_grad for parameter in of_it):
            _stay_in_evaluation(module)
    for name in names[:blocks]:  # and what has no parameters, as dropout
        _stay_in_evaluation(backbone.get_submodule(name))


def _stay_in_evaluation(module: nn.Module) -> None:
    """Whatever `train()` is called on the model later, before each forward pass the module is in evaluation mode."""
    module.register_forward_pre_hook(_evaluate)


def always_in_evaluation(model: nn.Module) -> set[nn.Module]:
    """The modules of a model that are in evaluation mode in every forward pass, whatever mode the model is in."""
    kept = [module for module in model.modules() if _evaluate in module._forward_pre_hooks.values()]
    return {module for one in kept for module in one.modules()}


def _evaluate(module: nn.Module, _: Any) -> None:
    if module.training:
        module.eval()
