"""A timm Vision Transformer's weights as a transformers `ViTModel` whose pooled feature is the class token."""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import ViTConfig, ViTModel

# width -> attention heads, which the weights do not tell: of vit_small_mocov3 (MoCo v3's; timm's vit_small has 6),
# vit_base and vit_large
PUBLISHED_HEADS = {384: 12, 768: 12, 1024: 16}
# MERU and HyCoCLIP ask timm for torch's plain LayerNorm; timm's own default is 1e-6
LAYER_NORM_EPS = 1e-5
_BLOCK = re.compile(r"^blocks\.(\d+)\.")
# names under which the Hub holds a ViT, which every version of transformers reads
_TOP = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
_IN_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_NAMED = 5


def vit_from_timm(weights: Mapping[str, Tensor], heads: int | None = None) -> ViTModel:
    """The backbone that gives what timm's `VisionTransformer` gives with `global_pool="token"` and no classifier.

    The pooler of transformers' ViT is made to hand the class token on as it is (the identity, and no tanh). Position
    embeddings, also those that were fixed, are parameters.

    Args:
        weights: timm's state dict (`cls_token`, `pos_embed`, `patch_embed.proj.*`, `blocks.N.*`, `norm.*`).
        heads: attention heads; None for those of the published model of that width, see `PUBLISHED_HEADS`.

    Returns:
        The backbone in evaluation mode, float32.

    Raises:
        ValueError: weights are missing, unknown or of another shape, it is a ViT of another kind, or its width is none
            of the published ones and `heads` is not given.
    """
    state = _layout(weights)
    width, _, patch, _ = weights["patch_embed.proj.weight"].shape
    places = weights["pos_embed"].shape[1] - 1
    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=_depth(weights),
        num_attention_heads=_heads(width, heads),
        intermediate_size=weights["blocks.0.mlp.fc1.weight"].shape[0],
        layer_norm_eps=LAYER_NORM_EPS,
        image_size=math.isqrt(places) * patch,
        patch_size=patch,
        pooler_act="linear",
    )
    state |= {"pooler.dense.weight": torch.eye(width), "pooler.dense.bias": torch.zeros(width)}
    loaded: Any = ViTModel.from_pretrained(None, config=config, state_dict=state, output_loading_info=True)
    model: ViTModel = loaded[0]
    info: dict[str, Any] = loaded[1]
    if wrong := {kind: sorted(names) for kind, names in info.items() if names}:
        raise ValueError(f"this transformers does not take the weights of a ViT by the names of the Hub: {wrong}")
    return model.eval()


def _layout(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict by the Hub's names, once nothing is missing, unknown or of another shape."""
    for name in ("patch_embed.proj.weight", "pos_embed", "blocks.0.mlp.fc1.weight"):
        if name not in weights:
            raise ValueError(f"the image encoder lacks {name}: it is no Vision Transformer of timm")
    kernel, positions = weights["patch_embed.proj.weight"], weights["pos_embed"]
    if kernel.ndim != 4 or kernel.shape[1] != 3 or kernel.shape[2] != kernel.shape[3]:
        raise ValueError(f"patch_embed.proj.weight has shape {tuple(kernel.shape)}: square patches of 3 channels only")
    places = positions.shape[1] - 1 if positions.ndim == 3 else 0
    if places < 1 or math.isqrt(places) ** 2 != places:
        raise ValueError(
            f"pos_embed has shape {tuple(positions.shape)}: it must have a place for the class token and a square grid"
        )
    expected = _expected(kernel.shape[0], weights["blocks.0.mlp.fc1.weight"].shape[0], weights)
    missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or unknown:
        what = "lacks" if missing else "has"
        raise ValueError(
            f"the image encoder {what} {named(missing or unknown)}: only a plain ViT with a class token "
            '(global_pool="token") is converted'
        )
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(weights[name].shape)}, expected {shape}")
    state: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        state.update(_by_hub_name(name, tensor.float()))
    return state


def _by_hub_name(name: str, tensor: Tensor) -> dict[str, Tensor]:
    if name in _TOP:
        return {_TOP[name]: tensor}
    _, number, rest = name.split(".", 2)
    part, _, kind = rest.rpartition(".")
    layer = f"encoder.layer.{number}"
    if part == "attn.qkv":  # one matrix: queries, keys, values
        names = (f"{layer}.attention.attention.{which}.{kind}" for which in ("query", "key", "value"))
        return {name: piece.contiguous() for name, piece in zip(names, tensor.chunk(3), strict=True)}
    return {f"{layer}.{_IN_BLOCK[part]}.{kind}": tensor}


def _expected(width: int, hidden: int, weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, weights["pos_embed"].shape[1], width),
        "patch_embed.proj.weight": tuple(weights["patch_embed.proj.weight"].shape),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for number in range(_depth(weights)):
        sizes = {
            "norm1": (width, 0), "attn.qkv": (3 * width, width), "attn.proj": (width, width), "norm2": (width, 0),
            "mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden),
        }  # fmt: skip
        for part, (out, into) in sizes.items():
            shapes[f"blocks.{number}.{part}.weight"] = (out, into) if into else (out,)
            shapes[f"blocks.{number}.{part}.bias"] = (out,)
    return shapes


def _depth(weights: Mapping[str, Tensor]) -> int:
    return 1 + max(int(match.group(1)) for name in weights if (match := _BLOCK.match(name)))


def _heads(width: int, heads: int | None) -> int:
    if heads is None:
        if width not in PUBLISHED_HEADS:
            raise ValueError(
                f"the image encoder is {width} wide; those published are {', '.join(map(str, PUBLISHED_HEADS))} wide, "
                "and of another the weights do not tell how many attention heads it has: say so by --heads"
            )
        return PUBLISHED_HEADS[width]
    if heads < 1 or width % heads:
        raise ValueError(f"{heads} attention heads do not divide the width {width}")
    return heads


def named(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
