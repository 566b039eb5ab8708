"""MoCo v2's ResNet-50 as a transformers `ResNetModel`, to start training from."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ResNetConfig, ResNetModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from hf_hyperbolic.converters.published import load_published
from hf_hyperbolic.data.files import folder_written_aside
from hf_hyperbolic.image_processing import make_image_processor

CITATION = """@article{chen2020improved,
  title = {Improved Baselines with Momentum Contrastive Learning},
  author = {Chen, Xinlei and Fan, Haoqi and Girshick, Ross and He, Kaiming},
  journal = {arXiv:2003.04297},
  year = {2020},
}"""

# the encoder that is trained, as DistributedDataParallel names it; its momentum copy (encoder_k) and the queue stay out
_ENCODER = re.compile(r"^(?:module\.)?encoder_q\.")
_BLOCK = re.compile(r"^layer(\d)\.(\d+)\.(?:conv|bn)(\d)\.(.+)$")
_SHORTCUT = re.compile(r"^layer(\d)\.(\d+)\.downsample\.([01])\.(.+)$")


def resnet_key(key: str) -> str | None:
    """torchvision's name of a ResNet weight -> transformers' name; None for the classifier or MoCo's projection."""
    if key.startswith("fc."):
        return None
    if key.startswith(("conv1.", "bn1.")):
        layer, _, name = key.partition(".")
        return f"embedder.embedder.{'convolution' if layer == 'conv1' else 'normalization'}.{name}"
    if match := _SHORTCUT.match(key):
        stage, block, which, name = match.groups()
        kind = "convolution" if which == "0" else "normalization"
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.shortcut.{kind}.{name}"
    if match := _BLOCK.match(key):
        stage, block, place, name = match.groups()
        kind = "convolution" if ".conv" in key else "normalization"
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.layer.{int(place) - 1}.{kind}.{name}"
    raise ValueError(f"{key!r} is no weight of a ResNet with bottlenecks, as MoCo v2 publishes")


def convert_moco(checkpoint: Mapping[str, Any]) -> ResNetModel:
    """A MoCo v2 checkpoint's query encoder, without its projection.

    Args:
        checkpoint: as published, `{"arch": "resnet50", "state_dict": {"module.encoder_q.conv1.weight": ...}, ...}`, or
            the state dict alone.

    Returns:
        The backbone in evaluation mode.

    Raises:
        ValueError: there is no query encoder in it, it is not a ResNet-50, or weights are missing.
    """
    state: Mapping[str, Tensor] = checkpoint.get("state_dict", checkpoint)
    if not (isinstance(state, Mapping) and all(isinstance(key, str) for key in state)):
        raise ValueError("the checkpoint holds no state_dict of named weights: this is no MoCo v2 checkpoint")
    encoder = {_ENCODER.sub("", key): value for key, value in state.items() if _ENCODER.match(key)}
    if not encoder:
        raise ValueError(
            "no weight is named encoder_q.*: this is no MoCo v2 checkpoint (transformers loads a plain ResNet itself)"
        )
    weights = {new: value for key, value in encoder.items() if (new := resnet_key(key)) is not None}
    with torch.device("meta"):
        model = ResNetModel(ResNetConfig())
    missing = set(model.state_dict()) - set(weights)
    if missing or set(weights) - set(model.state_dict()):
        raise ValueError(
            f"the encoder is not a ResNet-50: {len(missing)} of its weights are missing, "
            f"{len(set(weights) - set(model.state_dict()))} are unknown"
        )
    for name, expected in model.state_dict().items():
        if weights[name].shape != expected.shape:
            raise ValueError(
                f"{name} has shape {tuple(weights[name].shape)}, in a ResNet-50 it has {tuple(expected.shape)}"
            )
    model.load_state_dict(weights, assign=True)
    return model.float().eval()


def convert_moco_file(path: str | Path, output: str | Path, image_size: int = 224) -> Path:
    """Writes a published MoCo v2 file as a folder for `--backbone` and `AutoModel.from_pretrained`.

    Args:
        path: the `.pth.tar` file.
        output: folder to write, aside first and then in place.
        image_size: side of the images that the saved image processor makes, in pixels.

    Returns:
        `output`.

    Raises:
        FileExistsError: `output` is there already.
        ValueError: see `load_published` and `convert_moco`.
    """
    output = Path(output)
    if output.exists():
        raise FileExistsError(f"{output} exists already: choose another folder, or remove it")
    model = convert_moco(load_published(path))
    with folder_written_aside(output) as aside:
        model.save_pretrained(aside)
        make_image_processor(image_size, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD).save_pretrained(aside)
    return output
