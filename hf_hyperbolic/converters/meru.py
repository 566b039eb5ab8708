"""MERU and HyCoCLIP as models of this library, with their text tower where the file has one.

MERU: Desai et al. 2023, Hyperbolic Image-Text Representations (arXiv 2304.09172). HyCoCLIP: Pal et al. 2025,
Compositional Entailment Learning for Hyperbolic Vision-Language Models (arXiv 2410.06912). Both have one layout of
weights, and embed an image alike: `exp_map0(exp(visual_alpha) * visual_proj(ViT(image)))`, space components on the
hyperboloid of curvature `-exp(curv)`, which is the convention of this library too; and a text as
`exp_map0(exp(textual_alpha) * textual_proj(textual(text)))` on the same one.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

# by the package's own name, which makes the code travel with what is saved, at the command line too
from hf_hyperbolic import HyperbolicCLIPModel, HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, __version__
from hf_hyperbolic.converters.meru_text import clip_text_from_meru
from hf_hyperbolic.converters.published import load_published
from hf_hyperbolic.converters.timm_vit import named, vit_from_timm
from hf_hyperbolic.data.files import folder_written_aside, sha256
from hf_hyperbolic.encoder import CONVERSION_FILE
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.phrases import load_tokenizer, save_processors


@dataclass(frozen=True)
class Published:
    """A model that is published in the layout of MERU.

    Attributes:
        name: as its authors call it.
        repository: on GitHub.
        paper: its number on arXiv.
        general: what lies on the general side, the apex of the cones it was trained by.
        specific: what is asked to lie in those cones.
        direction: the same in words, and what follows for images here.
    """

    name: str
    repository: str
    paper: str
    general: str
    specific: str
    direction: str


PUBLISHED = {
    "meru": Published(
        "MERU",
        "facebookresearch/meru",
        "2304.09172",
        "text",
        "image",
        "The text is the general side and entails its image; no image was trained to entail another image. So an angle "
        "between two images says nothing of whole and part: rank by distance, which knows no direction.",
    ),
    "hycoclip": Published(
        "HyCoCLIP",
        "PalAvik/hycoclip",
        "2410.06912",
        "box",
        "full image",
        "The box is the general side and entails the full image, as texts entail images: the reverse of hf_hyperbolic, "
        "where the full image is the root and entails its boxes. So angles at the whole are those at the wrong end: "
        "rank by distance, which knows no direction.",
    ),
}
_SCALARS = ("visual_alpha", "curv", "logit_scale")
_NEEDED = ("visual_proj.weight", *_SCALARS, "pixel_mean", "pixel_std")
_TEXT = ("textual.", "textual_proj.", "textual_alpha")
# exp_map0 of both clamps the radius to this before sinh
_MAX_RADIUS = math.asinh(2**15)


@dataclass(frozen=True)
class Converted:
    """A converted model.

    Attributes:
        model: in evaluation mode, float32; a `HyperbolicCLIPModel` where the checkpoint has a text tower.
        mean: three channel means of the pixels, for values in [0, 1].
        std: three standard deviations.
    """

    model: HyperbolicCLIPVisionModel
    mean: list[float]
    std: list[float]

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower."""
        return isinstance(self.model, HyperbolicCLIPModel)

    @property
    def image_size(self) -> int:
        """Side of the square that the model sees, in pixels."""
        return int(self.model.config.backbone_config.image_size)


def convert_meru(checkpoint: Mapping[str, Any], heads: int | None = None) -> Converted:
    """A MERU or HyCoCLIP checkpoint, to the same embeddings of images and texts.

    Args:
        checkpoint: as published, `{"model": {"visual.cls_token": ..., "visual_proj.weight": ..., "curv": ...}, ...}`,
            or the state dict alone.
        heads: attention heads of the ViT; None for those of the published model of that width.

    Returns:
        The model with the channel means it was trained with.

    Raises:
        ValueError: weights are missing, unknown, of another shape or not finite, or see `vit_from_timm` and
            `clip_text_from_meru`.
    """
    state = _state_dict(checkpoint)
    vit = vit_from_timm({k.removeprefix("visual."): v for k, v in state.items() if k.startswith("visual.")}, heads)
    projection, width = state["visual_proj.weight"], vit.config.hidden_size
    if projection.ndim != 2 or projection.shape[1] != width:
        raise ValueError(f"visual_proj.weight has shape {tuple(projection.shape)}, expected (dimension, {width})")
    curvature, alpha, inverse_temperature = (
        _exp(name, state[name]) for name in ("curv", "visual_alpha", "logit_scale")
    )
    temperature = 1 / inverse_temperature
    config = HyperbolicCLIPVisionConfig(
        backbone_config=vit.config,
        projection_dim=projection.shape[0],
        curvature_init=curvature,
        # clamped while training alone, and after that the optimiser takes another step
        curvature_bounds=(min(0.1, curvature), max(10.0, curvature)),
        alpha_init=alpha,
        temperature_init=temperature,
        temperature_bounds=(min(0.01, temperature), max(1.0, temperature)),
        max_radius=_MAX_RADIUS,
    )
    model = HyperbolicCLIPVisionModel(config)
    model.backbone = vit
    model.config.backbone_config = vit.config
    with torch.no_grad():
        model.projection.get_parameter("0.weight").copy_(projection)
        model.log_curvature.copy_(state["curv"].view(()))
        model.log_alpha.copy_(state["visual_alpha"].view(()))
        model.log_temperature.copy_(-state["logit_scale"].view(()))
    if any(name.startswith(_TEXT) for name in state):
        model = _with_text(model, state)
    return Converted(model.eval(), _channels(state, "pixel_mean"), _channels(state, "pixel_std"))


def _with_text(image_model: HyperbolicCLIPVisionModel, state: Mapping[str, Tensor]) -> HyperbolicCLIPModel:
    needed = ("textual_proj.weight", "textual_alpha")
    if missing := [name for name in needed if name not in state]:
        raise ValueError(f"it lacks {named(missing)}, and has other weights of a text tower")
    text = clip_text_from_meru({k.removeprefix("textual."): v for k, v in state.items() if k.startswith("textual.")})
    projection, dim = state["textual_proj.weight"], image_model.config.projection_dim
    if tuple(projection.shape) != (dim, text.config.hidden_size):
        raise ValueError(
            f"textual_proj.weight has shape {tuple(projection.shape)}, expected {(dim, text.config.hidden_size)}"
        )
    model = HyperbolicCLIPModel.from_image_model(image_model, text, _exp("textual_alpha", state["textual_alpha"]))
    with torch.no_grad():
        model.text_projection.get_parameter("0.weight").copy_(projection)
        model.log_text_alpha.copy_(state["textual_alpha"].view(()))
    return model


def convert_meru_file(
    path: str | Path,
    output: str | Path,
    kind: str = "meru",
    heads: int | None = None,
    tokenizer: str | Path | None = None,
) -> Converted:
    """Writes a published file as a folder that `HyperbolicCLIPVisionModel` and `ImageEncoder` load.

    Beside weights, configuration, code and image processor lies `conversion.json`: where the weights came from, which
    side is the general one, and by what the model ranks.

    Args:
        path: the `.pth` file.
        output: folder to write, aside first and then in place.
        kind: "meru" or "hycoclip": the files look alike, and do not say.
        heads: see `convert_meru`.
        tokenizer: folder or Hub name of a tokenizer to save beside a text tower: CLIP's, whose vocabulary the published
            models have. None for none: phrases can then not be embedded until one lies there.

    Returns:
        What was written.

    Raises:
        FileExistsError: `output` is there already.
        ValueError: see `load_published` and `convert_meru`; or the tokenizer is not there, or of other words.
    """
    path, output, published = Path(path), Path(output), PUBLISHED[kind]
    if output.exists():
        raise FileExistsError(f"{output} exists already: choose another folder, or remove it")
    checkpoint = load_published(path)
    try:
        converted = convert_meru(checkpoint, heads)
    except ValueError as error:
        raise ValueError(f"{path} cannot be converted as a checkpoint of {published.name}: {error}") from error
    words = _clip_tokenizer(tokenizer, converted) if tokenizer is not None else None
    images = make_image_processor(converted.image_size, converted.mean, converted.std)
    record = _record(published, path, converted)
    with folder_written_aside(output) as aside:
        converted.model.save_pretrained(aside)
        if words is None:
            images.save_pretrained(aside)
        else:
            save_processors(aside, images, words)
        (aside / CONVERSION_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return converted


def _clip_tokenizer(name: str | Path, converted: Converted) -> PreTrainedTokenizerBase:
    if not isinstance(converted.model, HyperbolicCLIPModel):
        raise ValueError(f"--tokenizer {name}: the checkpoint has no text tower to use it")
    found = load_tokenizer(name)
    if found is None:
        raise ValueError(f"--tokenizer {name}: there is none; give a CLIP model, such as openai/clip-vit-base-patch16")
    config = converted.model.config.text_config
    if (len(found), found.eos_token_id) != (config.vocab_size, config.eos_token_id):
        raise ValueError(
            f"--tokenizer {name} has {len(found)} tokens and ends a text by {found.eos_token_id}; the text tower has "
            f"{config.vocab_size} and {config.eos_token_id}: give CLIP's"
        )
    return found


def _record(published: Published, path: Path, converted: Converted) -> dict[str, Any]:
    return {
        "source": {
            "model": published.name,
            "repository": published.repository,
            "paper": f"arXiv:{published.paper}",
            "file": path.name,
            "sha256": sha256(path),
        },
        "converted_by": f"hf_hyperbolic {__version__}",
        "text_tower": "converted too, for phrases in the same space" if converted.has_text else "none in the file",
        "general": published.general,
        "specific": published.specific,
        "direction": published.direction,
        "measures": dict.fromkeys(("children", "parents", "pairs"), "distance"),
    }


def _state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    state = checkpoint.get("model", checkpoint)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise ValueError("it holds no state dict of named weights, neither under 'model' nor by itself")
    if missing := [name for name in _NEEDED if name not in state]:
        euclidean = {"visual_proj.weight", "logit_scale"} <= set(state)
        hint = ": is it a CLIP baseline of the same code, which is Euclidean?" if euclidean else ""
        raise ValueError(f"it lacks {named(missing)}{hint}")
    known = ("visual.", *_TEXT)
    if unknown := sorted(name for name in state if name not in _NEEDED and not name.startswith(known)):
        raise ValueError(
            f"it has {named(unknown)}, which the published model has not: what it does to an embedding is not known"
        )
    if strange := [name for name, value in state.items() if not isinstance(value, Tensor) or not _finite(value)]:
        raise ValueError(f"it holds values that are no finite numbers in {named(strange)}")
    return dict(state)


def _finite(value: Tensor) -> bool:
    return value.dtype == torch.bool or bool(value.isfinite().all())


def _exp(name: str, value: Tensor) -> float:
    """e to the power of a scalar of the checkpoint."""
    if value.numel() != 1:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected one number, the logarithm")
    found = value.float().exp().item()
    if not 0 < found < math.inf:
        raise ValueError(f"{name} is {value.item()}, which is no logarithm of a float32 number")
    return found


def _channels(state: Mapping[str, Tensor], name: str) -> list[float]:
    if state[name].numel() != 3:
        raise ValueError(f"{name} has shape {tuple(state[name].shape)}, expected one value for each of three channels")
    # the shortest decimals that are this float32, as its authors wrote them
    return [float(str(value)) for value in state[name].detach().float().flatten().numpy()]
