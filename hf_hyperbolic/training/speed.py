"""What makes a step of the same run faster, or smaller: compiled code, recomputed activations, a fused optimiser."""

from typing import Any

import torch
from transformers import PreTrainedModel

from hf_hyperbolic.training.run_arguments import RunArguments


def speed_up(backbone: PreTrainedModel, args: RunArguments) -> list[str]:
    """Does to `backbone`, in place, what `args.torch_compile` and `args.gradient_checkpointing` ask for.

    Its weights and their names stay as they are, and a copy of it is neither compiled nor slower.

    Returns:
        What was done, in lines to be printed.

    Raises:
        ValueError: the backbone's architecture cannot recompute its activations.
    """
    said = []
    if args.gradient_checkpointing:
        if not backbone.supports_gradient_checkpointing:
            raise ValueError(
                f"--gradient_checkpointing: {type(backbone).__name__} has no blocks that transformers could recompute; "
                "--micro_batch_size lowers the memory of any backbone"
            )
        # so named from transformers 5.23 on
        enable = getattr(backbone, "activation_checkpointing_enable", None) or backbone.gradient_checkpointing_enable
        # the reentrant kind gives frozen lower blocks no gradient to pass on
        enable({"use_reentrant": False})
        said.append("activations of the backbone's blocks are computed once more in the backward pass")
    if args.torch_compile:
        backbone.compile()
        said.append("the backbone is compiled in the first steps, which takes a minute or so")
    return said


def adamw(groups: list[dict[str, Any]], device: torch.device | str, **settings: Any) -> torch.optim.AdamW:
    """`AdamW` of parameter groups: on a GPU one kernel for all parameters of a group, elsewhere the plain loop.

    Args:
        groups: see `parameter_groups`.
        device: that the parameters are, or will be, on.
        **settings: of `torch.optim.AdamW`.
    """
    return torch.optim.AdamW(groups, fused=True if torch.device(device).type == "cuda" else None, **settings)
