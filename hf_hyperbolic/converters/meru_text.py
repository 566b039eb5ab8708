"""The text tower of MERU and HyCoCLIP as a transformers `CLIPTextModel`.

It is CLIP's: pre-norm blocks that look back alone, and as feature of a text that of its end token. Two things differ
from the CLIP of OpenAI: the activation is the exact GELU, and what fills up a text is token 0. The latter changes
nothing, since no token looks ahead.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from hf_hyperbolic.converters.timm_vit import named

# attention heads, which the weights do not tell: the published code has one for each 64 dimensions
_HEAD_WIDTH = 64
_BLOCK = re.compile(r"^resblocks\.(\d+)\.")
# the mask of what lies ahead, which is saved with the published weights and made anew here
_NOT_NEEDED = ("attn_mask",)
_TOP = {
    "token_embed.weight": "embeddings.token_embedding.weight",
    "posit_embed": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def clip_text_from_meru(weights: Mapping[str, Tensor]) -> CLIPTextModel:
    """The text encoder that gives, as pooled feature, what the published `textual` gives at the end token.

    Args:
        weights: the state dict of `textual` (`token_embed.weight`, `posit_embed`, `resblocks.N.*`, `ln_final.*`).

    Returns:
        The encoder in evaluation mode, float32. Its end token is the largest number of the vocabulary, as published.

    Raises:
        ValueError: weights are missing, unknown, of another shape, or of a width that is no multiple of 64.
    """
    weights = {name: value for name, value in weights.items() if name not in _NOT_NEEDED}
    for name in ("token_embed.weight", "posit_embed", "resblocks.0.mlp.c_fc.weight"):
        if name not in weights or weights[name].ndim != 2:
            raise ValueError(f"the text tower lacks {name} as a matrix: it is none of the published layout")
    vocabulary, width = weights["token_embed.weight"].shape
    if width % _HEAD_WIDTH:
        raise ValueError(
            f"the text tower is {width} wide; the published code has an attention head for each {_HEAD_WIDTH} "
            "dimensions, and of another width the weights do not tell how many"
        )
    expected = _expected(weights)
    missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or unknown:
        raise ValueError(f"the text tower {'lacks' if missing else 'has'} textual.{named(missing or unknown)}")
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(f"textual.{name} has shape {tuple(weights[name].shape)}, expected {shape}")
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=weights["resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=_depth(weights),
        num_attention_heads=width // _HEAD_WIDTH,
        max_position_embeddings=weights["posit_embed"].shape[0],
        hidden_act="gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    state: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        state.update({f"text_model.{new}": value for new, value in _by_hub_name(name, tensor.float()).items()})
    loaded: Any = CLIPTextModel.from_pretrained(None, config=config, state_dict=state, output_loading_info=True)
    model: CLIPTextModel = loaded[0]
    info: dict[str, Any] = loaded[1]
    if wrong := {kind: sorted(names) for kind, names in info.items() if names}:
        raise ValueError(f"this transformers does not take the weights of CLIP's text tower by their names: {wrong}")
    return model.eval()


def _by_hub_name(name: str, tensor: Tensor) -> dict[str, Tensor]:
    if name in _TOP:
        return {_TOP[name]: tensor}
    _, number, rest = name.split(".", 2)
    layer = f"encoder.layers.{number}"
    if rest.startswith("attn.in_proj_"):  # one matrix: queries, keys, values
        kind = rest.removeprefix("attn.in_proj_")
        names = (f"{layer}.self_attn.{which}_proj.{kind}" for which in ("q", "k", "v"))
        return {name: piece.contiguous() for name, piece in zip(names, tensor.chunk(3), strict=True)}
    part, _, kind = rest.rpartition(".")
    return {f"{layer}.{_IN_BLOCK[part]}.{kind}": tensor}


def _expected(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    vocabulary, width = weights["token_embed.weight"].shape
    hidden = weights["resblocks.0.mlp.c_fc.weight"].shape[0]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embed.weight": (vocabulary, width),
        "posit_embed": (weights["posit_embed"].shape[0], width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }
    for number in range(_depth(weights)):
        block = f"resblocks.{number}"
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        sizes = {
            "attn.out_proj": (width, width), "mlp.c_fc": (hidden, width), "mlp.c_proj": (width, hidden),
            "ln_1": (width, 0), "ln_2": (width, 0),
        }  # fmt: skip
        for part, (out, into) in sizes.items():
            shapes[f"{block}.{part}.weight"] = (out, into) if into else (out,)
            shapes[f"{block}.{part}.bias"] = (out,)
    return shapes


def _depth(weights: Mapping[str, Tensor]) -> int:
    return 1 + max(int(match.group(1)) for name in weights if (match := _BLOCK.match(name)))
