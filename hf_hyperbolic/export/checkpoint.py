"""The model to export, and what a program that reads it has to know of it."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig

from hf_hyperbolic import __version__
from hf_hyperbolic.checkpoint_names import check_checkpoint_name, not_on_the_hub
from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.ranking_scores import SIMILARITY_SHARE


def load_checkpoint(checkpoint: str | os.PathLike[str]) -> ImageEncoder:
    """Loads what is to be exported, in float32 on the CPU.

    Args:
        checkpoint: folder, or name on the Hub.

    Raises:
        FileNotFoundError: a folder that is not there, or holds no model.
        OSError: no such model on the Hub, or no weights.
        ValueError: a model of another kind, or weights that are not finite.
    """
    check_checkpoint_name(checkpoint)
    mine = HyperbolicCLIPVisionConfig.model_type
    try:
        found = PreTrainedConfig.get_config_dict(checkpoint)[0].get("model_type")
    except OSError as error:
        raise not_on_the_hub(str(checkpoint), error) from error
    # of a model with a text tower the image encoder is exported
    if found not in (None, mine, HyperbolicCLIPConfig.model_type):
        raise ValueError(
            f"{checkpoint} holds a model of type {found!r}, not one of this library ({mine!r}): such models are "
            "exported by Optimum; what is exported here was trained by training/train.py"
        )
    encoder = ImageEncoder.from_pretrained(checkpoint, "cpu", torch.float32)
    if encoder.has_text:
        encoder.model = HyperbolicCLIPVisionModel.from_pretrained(checkpoint, use_safetensors=True).eval()
    _check_finite(encoder)
    return encoder


def _check_finite(encoder: ImageEncoder) -> None:
    bad = [
        name
        for name, tensor in encoder.model.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(
            f"{encoder.name}: its weights hold NaN or infinite values ({bad[0]}{more}): export a checkpoint from "
            "before training diverged"
        )


def description(encoder: ImageEncoder) -> dict[str, Any]:
    """What a program needs beside the embeddings to rank by them as the library does, in plain values.

    `curvature` is c of the hyperboloid of curvature -c, None in Euclidean space; `measures` are those of
    `hf_hyperbolic.retrieval.scores` by direction; `preprocessing` is how crops are cut from images.
    """
    return {
        "geometry": encoder.geometry,
        "curvature": encoder.curvature,
        "embeds": "space components" if encoder.geometry == "lorentz" else "points of Euclidean space",
        "measures": encoder.measures,
        "similarity_share": SIMILARITY_SHARE,
        "preprocessing": encoder.preprocessing,
        "hf_hyperbolic": __version__,
    }


def notes(encoder: ImageEncoder) -> list[str]:
    """What the image processor of an exported folder does not do as training did."""
    if encoder.crop_mode == "pad":
        return [
            "it was trained on crops that keep their proportions (crop_mode pad), but image processors squash an image "
            "to a square: pad images to a square with their mean colour first"
        ]
    return []


def public_name(encoder: ImageEncoder) -> str:
    """Of a folder its last part, of a model on the Hub its name."""
    return Path(encoder.name).name if os.path.isabs(encoder.name) else encoder.name
