"""Models to start a run from: a checkpoint's vision tower, or a small network from scratch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    CLIPImageProcessorPil,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
)

from hf_hyperbolic.checkpoint_names import check_checkpoint_name
from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPVisionConfig
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.continued import continued_model, is_own
from hf_hyperbolic.training.run_arguments import RunArguments
from hf_hyperbolic.vision_backbone import floating_dtype, load_backbone, pool

# 1.2 million parameters; a CPU core takes it forward and backward over 600 crops of 64 px a second
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "resnet-tiny": {
        "embedding_size": 32,
        "hidden_sizes": [32, 64, 128, 256],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
}


def starts_from_scratch(backbone: str) -> bool:
    """Whether a `--backbone` names no weights: a network of `FROM_SCRATCH`, or a folder with a config.json alone."""
    if backbone in FROM_SCRATCH:
        return True
    folder = Path(backbone)
    weights = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")
    return (folder / "config.json").is_file() and not any(file for kind in weights for file in folder.glob(kind))


def backbone_config(backbone: str) -> PreTrainedConfig:
    """Of a backbone that starts from scratch."""
    if backbone in FROM_SCRATCH:
        return ResNetConfig(**FROM_SCRATCH[backbone])
    config = AutoConfig.from_pretrained(backbone)
    if isinstance(config, HyperbolicCLIPVisionConfig):
        return config.backbone_config
    return getattr(config, "vision_config", config)


def build_backbone(backbone: str) -> PreTrainedModel:
    """A vision model of transformers, without a head: from scratch, or from a checkpoint, of this library too.

    Raises:
        FileNotFoundError: it is a path, and there is nothing.
        ValueError: it takes no images.
    """
    if starts_from_scratch(backbone):
        model: PreTrainedModel = AutoModel.from_config(backbone_config(backbone))
    else:
        check_path(backbone)
        own = is_own(backbone)
        model = HyperbolicCLIPVisionModel.from_pretrained(backbone).backbone if own else load_backbone(backbone)
    if getattr(model, "main_input_name", None) != "pixel_values":
        raise ValueError(f"--backbone {backbone} is a {type(model).__name__}, which takes no images")
    return model


def check_path(backbone: str, option: str = "--backbone", from_scratch: Iterable[str] = FROM_SCRATCH) -> None:
    """
    Raises:
        FileNotFoundError: it can be no name on the Hub, and there is no such folder or it holds no model.
    """
    try:
        check_checkpoint_name(backbone, f"one of {', '.join(from_scratch)}")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{option} {error}") from None


def build_processor(args: RunArguments) -> CLIPImageProcessorPil:
    """Resizes whole images to `args.image_size`, with the channel means that the backbone was trained with."""
    if args.backbone in FROM_SCRATCH:
        return make_image_processor(args.image_size)
    try:
        found = AutoImageProcessor.from_pretrained(args.backbone)
    except (OSError, ValueError):  # a checkpoint without one
        return make_image_processor(args.image_size)
    return make_image_processor(args.image_size, found.image_mean, found.image_std)


def build_model(args: TrainArguments, class_names: Sequence[str] = ()) -> HyperbolicCLIPVisionModel:
    """The model that `args` asks for, its backbone from scratch or from a checkpoint.

    Of a checkpoint of this library the head is taken too, as far as `args` agree with it (`training.continued`).

    Args:
        args: of the run.
        class_names: of the training data; with a `proxy_weight` the model gets a proxy for each.

    Raises:
        FileNotFoundError: the backbone is a path, and there is nothing.
    """
    head: dict[str, Any] = {
        "projection_dim": args.projection_dim,
        "projection_norm": args.projection_norm,
        "geometry": args.geometry,
        "curvature_init": args.curvature_init,
        "learn_curvature": args.learn_curvature,
        "temperature_init": args.temperature_init,
        "temperature_bounds": (args.temperature_min, 1.0),
        "num_proxies": len(class_names) if args.proxy_weight else 0,
    }
    if starts_from_scratch(args.backbone):
        backbone = backbone_config(args.backbone)
        model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, **head))
    else:
        check_path(args.backbone)
        if is_own(args.backbone):
            model = continued_model(args.backbone, head, class_names if args.proxy_weight else ())
        else:
            model = HyperbolicCLIPVisionModel.from_backbone_pretrained(args.backbone, **head)
    if class_names and args.proxy_weight:
        model.config.id2label = dict(enumerate(class_names))
        model.config.label2id = {name: number for number, name in enumerate(class_names)}
    return model


def freeze_unused(model: torch.nn.Module, image_size: int) -> list[str]:
    """Freezes the backbone's parameters that do not reach its pooled feature, and gives their names.

    DINOv2 has a mask token, a ViT with a pooler may be pooled without it. They would never get a gradient, and
    distributed training waits for one for every parameter.

    Args:
        model: any model with a `backbone`; left in the mode it is in.
        image_size: side of the images it will see, in pixels.
    """
    was_training = model.training
    model.eval()  # a forward pass in training mode would move batch statistics
    backbone = model.get_submodule("backbone")
    named = [(name, parameter) for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    device, dtype = next(backbone.parameters()).device, floating_dtype(backbone)
    pixels = torch.zeros(1, 3, image_size, image_size, device=device, dtype=dtype)
    pooled = pool(backbone(pixels, return_dict=True))
    gradients = torch.autograd.grad(pooled.sum(), [parameter for _, parameter in named], allow_unused=True)
    model.train(was_training)
    unused = [entry for entry, gradient in zip(named, gradients, strict=True) if gradient is None]
    for _, parameter in unused:
        parameter.requires_grad_(False)
    return [f"backbone.{name}" for name, _ in unused]
