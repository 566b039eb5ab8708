"""A trained model with the way it looks at images: PIL images -> embeddings, and phrases where it has a text tower.

What is embedded here is cut and scaled as the crops of training and evaluation are (`hf_hyperbolic.data.crop`), so that
a query and the items of an index lie in one space.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from transformers import AutoImageProcessor, PreTrainedConfig, PreTrainedTokenizerBase

from hf_hyperbolic.checkpoint_names import check_checkpoint_name, not_on_the_hub
from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
from hf_hyperbolic.data.crops import CropMode, crop
from hf_hyperbolic.data.images import to_rgb
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.modeling_hyperbolic_clip_text import TEXT_WEIGHTS, HyperbolicCLIPModel
from hf_hyperbolic.phrases import encode_phrases, load_tokenizer, no_text
from hf_hyperbolic.plain_vision import PlainVisionModel, load_plain
from hf_hyperbolic.vision_backbone import HUB_ARGUMENTS

Box = Sequence[float] | np.ndarray
# what a run was told, and of a model that others trained, where it came from and by what it ranks
_SETTINGS_FILE, CONVERSION_FILE = "arguments.json", "conversion.json"

# what a configuration says of how it was saved rather than of what the model computes
_IMMATERIAL = frozenset(
    {
        "_name_or_path", "_attn_implementation", "architectures", "auto_map", "dtype", "torch_dtype", "name_or_path",
        "transformers_version", "id2label", "label2id", "output_attentions", "output_hidden_states", "return_dict",
        "problem_type", "is_encoder_decoder", "chunk_size_feed_forward",
        # where training starts, or what the loss alone looks at: the weights hold what became of it
        "alpha_init", "curvature_init", "learn_curvature", "temperature_init", "temperature_bounds",
    }
)  # fmt: skip


class ImageEncoder:
    """Turns images, or boxes of images, into embeddings.

    Attributes:
        model: in evaluation mode.
        name: what it was loaded from, a folder as an absolute path.
        image_size: side of the crops it sees, in pixels.
        context: share of a box's side shown beyond it on each side.
        crop_mode: "resize" squashes a crop to a square, "pad" keeps its proportions.
        mean: three channel means, for values in [0, 1].
        std: three channel standard deviations.
        measures: `{"children": measure, "parents": measure}`, by which the model ranks in either direction.
        settings: what the run saved that trained it; empty where nothing is known.
        conversion: of a model converted from what others published, what `conversion.json` says; else empty.
        tokenizer: of a model with a text tower; None where there is none.
    """

    def __init__(
        self,
        model: HyperbolicCLIPVisionModel | PlainVisionModel,
        name: str,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        context: float = 0.0,
        crop_mode: CropMode = "resize",
        measures: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        conversion: Mapping[str, Any] | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        self.model, self.name = model.eval(), name
        self.image_size, self.context, self.crop_mode = image_size, context, crop_mode
        self.mean, self.std = [float(value) for value in mean], [float(value) for value in std]
        self.measures = dict(measures) if measures is not None else ranking_measures({}, self.geometry)
        self.settings, self.conversion = dict(settings or {}), dict(conversion or {})
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        device: torch.device | str | None = None,
        dtype: torch.dtype | str = torch.float32,
        **hub: Any,
    ) -> "ImageEncoder":
        """Loads a checkpoint of this library, or the vision tower of any other as a model that ranks by cosine.

        A CLIP checkpoint gives its projected image embeddings, another vision model its pooled feature. The settings
        that a run saved with its checkpoint (`arguments.json`) say how crops are made and by what it ranks; without
        them crops have no context, are squashed to a square, and an angle model ranks by beta; a model that was
        converted from MERU or HyCoCLIP by what its `conversion.json` says. Channel means are those of the image
        processor, without one CLIP's.

        Args:
            name_or_path: folder, or name on the Hub.
            device: where it computes; default: a GPU where there is one.
            dtype: of the backbone. Embeddings are float32 whatever it is, but a model loaded in another precision
                is another model: its fingerprint differs.
            **hub: `revision`, `token`, `cache_dir`, ... of the Hub.

        Raises:
            FileNotFoundError: a path that is not there, or no such model on the Hub.
            OSError: a folder without weights.
            ValueError: the checkpoint has no vision tower, or the device is not to be had.
        """
        unknown = sorted(set(hub) - set(HUB_ARGUMENTS))
        if unknown:
            raise TypeError(f"from_pretrained takes no {', '.join(unknown)}; of the Hub: {', '.join(HUB_ARGUMENTS)}")
        name = os.fspath(name_or_path)
        if os.path.isdir(name):
            name = os.path.abspath(name)
        check_checkpoint_name(name, cache_dir=hub.get("cache_dir"), revision=hub.get("revision"))
        try:
            model = load_model(name, dtype=dtype, **hub)
        except OSError as error:
            if os.path.isdir(name):
                raise
            raise not_on_the_hub(name, error) from error
        try:
            processor = AutoImageProcessor.from_pretrained(name, **hub)
        except (OSError, ValueError):  # a checkpoint without one
            processor = make_image_processor()
        settings = _saved_beside(name, _SETTINGS_FILE, **hub)
        conversion = {} if settings else _saved_beside(name, CONVERSION_FILE, **hub)
        geometry = model.config.geometry if isinstance(model, HyperbolicCLIPVisionModel) else None
        backbone = getattr(model.config, "backbone_config", model.config)
        torch.nn.Module.to(model, _device(device))
        return cls(
            model,
            name,
            int(settings.get("image_size") or input_size(name, backbone, **hub)),
            processor.image_mean,
            processor.image_std,
            float(settings.get("context", 0.0)),
            settings.get("crop_mode", "resize"),
            _measures(settings, conversion, geometry),
            settings,
            conversion,
            load_tokenizer(name, **hub) if isinstance(model, HyperbolicCLIPModel) else None,
        )

    @property
    def geometry(self) -> str | None:
        """`"lorentz"` or `"euclidean"`; None for a model of another kind, whose embeddings have only a direction."""
        return self.model.config.geometry if isinstance(self.model, HyperbolicCLIPVisionModel) else None

    @property
    def curvature(self) -> float | None:
        """c > 0 of the hyperboloid of curvature -c; None where the space is not hyperbolic."""
        if isinstance(self.model, HyperbolicCLIPVisionModel) and self.geometry == "lorentz":
            return self.model.curvature.item()
        return None

    @cached_property
    def dim(self) -> int:
        """Dimension of the embeddings."""
        return self.encode([Image.new("RGB", (self.image_size, self.image_size))]).shape[1]

    @property
    def dtype(self) -> str:
        """Of the backbone, `"float32"` or another."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How crops are made, in plain values: equal dicts see an image alike."""
        return {
            "image_size": self.image_size,
            "context": self.context,
            "crop_mode": self.crop_mode,
            "mean": self.mean,
            "std": self.std,
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration and preprocessing: equal where embeddings of images may be compared.

        A text tower has no part in it: an index that was made before a model had words is its index still.
        """
        digest = hashlib.sha256()
        config = self.model.config
        if isinstance(config, HyperbolicCLIPConfig):
            config = config.image_config()
        # what differs from the defaults: a new setting in a later transformers must not make it another model
        config = _material(config.to_diff_dict())
        digest.update(json.dumps([config, self.preprocessing], sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            if isinstance(self.model, HyperbolicCLIPModel) and name.startswith(TEXT_WEIGHTS):
                continue
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def encode(
        self, images: Sequence[Image.Image], boxes: Sequence[Box | None] | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """Embeds images, or a box of each.

        Args:
            images: PIL images of any mode; turned as their EXIF tag says.
            boxes: for each image x0 y0 x1 y1 in pixels of the image as shown, or None for all of it.
            batch_size: crops the model sees at once.

        Returns:
            (n, D) float32, for a hyperbolic model space components.

        Raises:
            ValueError: as many boxes as images are needed; a box without area or outside its image.
        """
        if boxes is not None and len(boxes) != len(images):
            raise ValueError(f"boxes: {len(boxes)} for {len(images)} images: give one for each, None for a whole image")
        crops = np.empty((len(images), self.image_size, self.image_size, 3), dtype=np.uint8)
        for place, image in enumerate(images):
            shown = to_rgb(ImageOps.exif_transpose(image))
            box = None if boxes is None else boxes[place]
            whole = (0.0, 0.0, float(shown.width), float(shown.height))
            crops[place] = crop(
                shown, whole if box is None else np.asarray(box), self.image_size, self.context, self.crop_mode
            )
        return self.encode_crops(crops, batch_size)

    @torch.inference_mode()
    def encode_crops(self, crops: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """(n, size, size, 3) uint8 crops, as `hf_hyperbolic.data.crop` makes them -> (n, D) float32 embeddings."""
        found = []
        for start in range(0, len(crops), batch_size):
            pixels = torch.from_numpy(crops[start : start + batch_size].transpose(0, 3, 1, 2)).to(self.model.device)
            embeds = self.model(pixel_values=normalise(pixels, self.mean, self.std)).embeds
            assert embeds is not None
            found.append(embeds.float().cpu().numpy())
        return np.concatenate(found) if found else np.empty((0, self.dim), dtype=np.float32)

    @property
    def has_text(self) -> bool:
        """Whether the model has a text tower."""
        return isinstance(self.model, HyperbolicCLIPModel)

    def encode_text(self, phrases: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Embeds phrases in the space of the images.

        Args:
            phrases: any number of texts.
            batch_size: phrases the model sees at once.

        Returns:
            (n, D) float32, for a hyperbolic model space components.

        Raises:
            ValueError: the model has no text tower, no tokenizer lies beside it, or see `encode_phrases`.
        """
        if not isinstance(self.model, HyperbolicCLIPModel):
            raise no_text(self.name)
        if self.tokenizer is None:
            raise ValueError(
                f"no tokenizer lies beside {self.name}: save that of its text tower into the folder, for a CLIP text "
                "tower AutoTokenizer.from_pretrained('openai/clip-vit-base-patch16').save_pretrained(FOLDER)"
            )
        return encode_phrases(self.model, self.tokenizer, phrases, batch_size)

    def __repr__(self) -> str:
        space = f"curvature -{self.curvature:.4g}" if self.curvature else self.geometry or "compared by cosine"
        return f"ImageEncoder({self.name!r}, {space}, {self.image_size} px, {self.dtype} on {self.model.device})"


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(n, 3, H, W) uint8 -> float32 as the image processor of the same mean and standard deviation makes it."""
    shift = torch.tensor(mean, device=pixels.device)[:, None, None] * 255
    scale = torch.tensor(std, device=pixels.device)[:, None, None] * 255
    return (pixels - shift) / scale


def ranking_measures(settings: Mapping[str, Any], geometry: str | None) -> dict[str, str]:
    """`{"children": measure, "parents": measure}` of a model, from the settings its run saved.

    Where the run does not name another, angle models rank by the angle at the parent in both directions: `combined`
    with the similarity where they were trained by that too, `beta` where by angles alone. Alpha,
    the angle at the child, tends to pi for every item near the origin, and these then come back for every child.

    Args:
        settings: `loss`, `similarity_weight`, `children_measure` and `parents_measure` are looked at; may be empty.
        geometry: of the model, None for one that was not made by this library.
    """
    loss = settings.get("loss", "angle")
    angle = "combined" if loss == "angle" and settings.get("similarity_weight") else "beta"
    if geometry == "euclidean":
        angle = f"euclidean_{angle}"
    # a contrast ranks by what it contrasts; HyCoCLIP's cones open from part to whole, and HCL has none
    contrasts = {"cosine": "cosine", "hcl": "distance", "meru": "distance", "hycoclip": "distance"}
    default = "cosine" if geometry is None else contrasts.get(loss, angle)
    return {direction: settings.get(f"{direction}_measure") or default for direction in ("children", "parents")}


def load_model(name: str, **kwargs: Any) -> HyperbolicCLIPVisionModel | PlainVisionModel:
    """A model of this library as what it is, with or without text, or the vision tower of any other; safetensors alone.

    Args:
        name: folder or Hub name.
        **kwargs: passed to `from_pretrained`.

    Raises:
        ValueError: its weights are cut short, or else no whole safetensors file.
    """
    hub = {key: kwargs[key] for key in HUB_ARGUMENTS if key in kwargs}
    kwargs["use_safetensors"] = True  # no pickle, whoever named the checkpoint
    # not `model_type`: where the Hub cannot be reached, asking it again takes as long again
    found = PreTrainedConfig.get_config_dict(name, **hub)[0].get("model_type")
    try:
        match found:
            case HyperbolicCLIPVisionConfig.model_type:
                return HyperbolicCLIPVisionModel.from_pretrained(name, **kwargs)
            case HyperbolicCLIPConfig.model_type:
                return HyperbolicCLIPModel.from_pretrained(name, **kwargs)
        return load_plain(name, **kwargs)
    except SafetensorError as error:
        raise ValueError(
            f"{name}: its weights are no whole safetensors file ({error}): copy or download the model again"
        ) from error


def input_size(checkpoint: str, config: PreTrainedConfig, **hub: Any) -> int:
    """Side of the square that a model sees, in pixels: that of its image processor, else of its configuration.

    Args:
        checkpoint: folder or Hub name.
        config: of the backbone.
        **hub: `revision`, `token`, ... of the Hub.
    """
    sizes: list[Any] = []
    try:
        processor = AutoImageProcessor.from_pretrained(checkpoint, **hub)
        sizes.append(processor.crop_size if getattr(processor, "do_center_crop", False) else processor.size)
    except (OSError, ValueError):  # a checkpoint without one
        pass
    for size in (*sizes, getattr(config, "image_size", None)):
        if isinstance(size, int):
            return size
        if size is not None and not isinstance(size, list | tuple):
            size = [size[name] for name in ("height", "width", "shortest_edge") if size.get(name)]
        if size and len({*size}) == 1:
            return int(size[0])
    return 224


def _measures(settings: Mapping[str, Any], conversion: Mapping[str, Any], geometry: str | None) -> dict[str, str]:
    measures = ranking_measures(settings, geometry)
    return {
        direction: conversion.get("measures", {}).get(direction, default) for direction, default in measures.items()
    }


def _saved_beside(name: str, file: str, **hub: Any) -> dict[str, Any]:
    """The mapping in a JSON file beside the checkpoint; empty where there is none."""
    from transformers.utils import cached_file

    found = cached_file(
        name,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **hub,
    )
    if found is None:
        return {}
    try:
        settings = json.loads(Path(found).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{found} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{found} must hold one mapping of settings to values")
    return settings


def _device(device: torch.device | str | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device)
    except (AssertionError, RuntimeError) as error:  # torch raises either
        raise ValueError(f"device {device}: not to be had here: {str(error).splitlines()[0]}") from error
    return torch.device(device)


def _material(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _material(value) for key, value in config.items() if key not in _IMMATERIAL}
    return config
