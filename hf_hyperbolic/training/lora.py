"""Low-rank adapters in place of a backbone's weights, by peft (LoRA, Hu et al. 2022).

The head is trained as ever. What a run saves is a checkpoint like any other, the adapters merged into the weights, with
the adapters alone beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hf_hyperbolic.extras import need
from hf_hyperbolic.training.layers import block_names

ADAPTER = "adapter"  # folder of the adapters, in that of the model
_NAME = "default"


def add_adapters(
    model: nn.Module,
    rank: int,
    alpha: float | None = None,
    targets: Sequence[str] = (),
    frozen_blocks: int = 0,
    base: str | None = None,
) -> list[str]:
    """Freezes the weights of `model.backbone` and adds an adapter to each of its target modules, in place.

    The adapters change nothing at first.

    Args:
        model: with a `backbone`.
        rank: of the adapters, at least 1.
        alpha: an adapter's output is multiplied by `alpha / rank`; None for twice the rank.
        targets: last words of the names of modules of blocks, linear or convolutional; none for all linear layers of
            the blocks, as is best at equal rank (Dettmers et al. 2023, QLoRA, figure 2).
        frozen_blocks: the first so many blocks get none.
        base: where the backbone's weights came from, for the record.

    Returns:
        Names of the adapted modules in the backbone.

    Raises:
        ImportError: peft is not installed.
        ValueError: a target is no such module of an adapted block, or there is none.
    """
    peft = need("peft", "lora")
    backbone = model.get_submodule("backbone")
    adapted = [f"{name}." for name in block_names(backbone)[frozen_blocks:]]
    modules = {
        name: module for name, module in backbone.named_modules() if any(name.startswith(block) for block in adapted)
    }
    if targets:
        of_target = {target: [name for name in modules if f".{name}".endswith(f".{target}")] for target in targets}
        kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)
        for target, names in of_target.items():
            if not any(isinstance(modules[name], kinds) for name in names):
                linear = sorted(
                    {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, kinds)}
                )
                raise ValueError(
                    f"--lora_targets {target}: {type(backbone).__name__} has no linear layer or convolution of that "
                    f"name in its blocks; there is {', '.join(linear)}"
                )
        chosen = sorted({name for names in of_target.values() for name in names if isinstance(modules[name], kinds)})
    else:
        chosen = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        if not chosen:
            raise ValueError(
                f"{type(backbone).__name__} has no linear layer in its blocks for --lora_rank: name its convolutions "
                "by --lora_targets (convolution, for a ResNet), or freeze its lower blocks by --freeze_layers"
            )
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=chosen, base_model_name_or_path=base
    )
    peft.inject_adapter_in_model(config, backbone, adapter_name=_NAME)
    return chosen


@torch.no_grad()
def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model with adapters as of one without: each weight with its adapter's update added."""
    layers = need("peft.tuners.lora", "lora").LoraLayer
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, layers)}
    state = {}
    for name, tensor in model.state_dict().items():
        owner = next((owner for owner in adapted if name.startswith(f"{owner}.")), None)
        if owner is None:
            state[name] = tensor
        elif name.startswith(f"{owner}.base_layer."):
            own = name.removeprefix(f"{owner}.base_layer.")
            update = adapted[owner].get_delta_weight(_NAME) if own == "weight" else 0
            state[f"{owner}.{own}"] = tensor + update
    return state


def save_adapters(model: nn.Module, folder: Path) -> None:
    """Writes the adapters of `model.backbone` as `peft.PeftModel.from_pretrained(backbone, folder)` takes them."""
    peft = need("peft", "lora")
    backbone = model.get_submodule("backbone")
    folder.mkdir(parents=True, exist_ok=True)
    found = peft.get_peft_model_state_dict(backbone, adapter_name=_NAME, save_embedding_layers=False)
    prefix = "base_model.model."
    state = {f"{prefix}{name.removeprefix(prefix)}": tensor.contiguous() for name, tensor in found.items()}
    save_file(state, folder / "adapter_model.safetensors", {"format": "pt"})
    configs: Any = backbone.peft_config
    configs[_NAME].save_pretrained(folder)
