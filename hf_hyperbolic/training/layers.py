"""The layers of a backbone, counted from its input, by which they are frozen and their learning rates fall off.

Layer 0 is all that comes before the first block (patch and position embeddings, a stem), layer b is block b counted
from 1, and the layer after the last block holds what follows it (a last norm, a pooler). A block is a transformer's
layer or a residual block, whatever stage it lies in.
"""

import re

from torch import nn

# encoder.layers.3 of CLIP, layers.3 of ViT, encoder.layer.3 of DINOv2; in stages encoder.stages.1.layers.0 of ResNet
# and ConvNeXt, encoder.layers.1.blocks.0 of Swin
_BLOCK = re.compile(r"(vision_model\.)?(encoder\.)?(layers?|stages)\.\d+(\.(layers|blocks)\.\d+)?")


def block_names(backbone: nn.Module) -> list[str]:
    """Names of the submodules that are blocks, from the input on.

    Raises:
        ValueError: none of a known name is there.
    """
    found = [name for name, _ in backbone.named_modules() if _BLOCK.fullmatch(name)]
    # a stage is none where it holds blocks
    blocks = [name for name in found if not any(other.startswith(f"{name}.") for other in found)]
    if not blocks:
        raise ValueError(
            f"the blocks of {type(backbone).__name__} are not known: --freeze_layers, --layer_decay and --lora_rank "
            "are for backbones that keep them as ViT, CLIP, DINOv2, Swin, ResNet and ConvNeXt do"
        )
    return blocks


def layer_numbers(backbone: nn.Module) -> dict[str, int]:
    """The layer of every parameter, frozen or not, by its name in the backbone: 0 to the number of blocks + 1.

    What lies between two blocks, as the pooling of a stage does, goes with the block before it.

    Raises:
        ValueError: as `block_names`.
    """
    blocks = block_names(backbone)
    place = {name: number for number, name in enumerate(blocks, 1)}
    numbers, last = {}, 0
    for name, _ in backbone.named_parameters():
        words = name.split(".")
        own = next((place[head] for n in range(len(words)) if (head := ".".join(words[:n])) in place), None)
        last = last if own is None else own
        numbers[name] = last if own is not None or last < len(blocks) else len(blocks) + 1
    return numbers
