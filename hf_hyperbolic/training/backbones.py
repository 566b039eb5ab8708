"""Models to start a run from: a checkpoint's vision tower, or a small network from scratch."""

from typing import Any

from transformers import AutoImageProcessor, CLIPImageProcessorPil, ResNetConfig

from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPVisionConfig
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments

# 1.2 million parameters; a CPU core takes it forward and backward over 600 crops of 64 px a second
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "resnet-tiny": {
        "embedding_size": 32,
        "hidden_sizes": [32, 64, 128, 256],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
}


def build_processor(args: TrainArguments) -> CLIPImageProcessorPil:
    """Resizes whole images to `args.image_size`, with the channel means that the backbone was trained with."""
    if args.backbone in FROM_SCRATCH:
        return make_image_processor(args.image_size)
    try:
        found = AutoImageProcessor.from_pretrained(args.backbone)
    except (OSError, ValueError):  # a checkpoint without one
        return make_image_processor(args.image_size)
    return make_image_processor(args.image_size, found.image_mean, found.image_std)


def build_model(args: TrainArguments) -> HyperbolicCLIPVisionModel:
    """The model that `args` asks for, its backbone from scratch or from a checkpoint."""
    head: dict[str, Any] = {
        "projection_dim": args.projection_dim,
        "projection_norm": args.projection_norm,
        "geometry": args.geometry,
        "curvature_init": args.curvature_init,
        "learn_curvature": args.learn_curvature,
        "temperature_init": args.temperature_init,
    }
    if args.backbone in FROM_SCRATCH:
        backbone = ResNetConfig(**FROM_SCRATCH[args.backbone])
        return HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, **head))
    return HyperbolicCLIPVisionModel.from_backbone_pretrained(args.backbone, **head)
