"""How much of a model a run trains, and on what: crops, or features of a backbone that stays as it is."""

from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor

from hf_hyperbolic.data.boxes import Problem, drop_images
from hf_hyperbolic.evaluation.processes import ALONE, Processes
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import freeze_unused, starts_from_scratch
from hf_hyperbolic.training.cached_features import FeatureTable, cached_features
from hf_hyperbolic.training.continued import is_own, what_is_taken
from hf_hyperbolic.training.feature_feed import FeatureFeed
from hf_hyperbolic.training.feeds import Feed
from hf_hyperbolic.training.freezing import freeze_backbone, freeze_layers
from hf_hyperbolic.training.lora import add_adapters
from hf_hyperbolic.training.sources import Split, hierarchy_for


def restrict_training(model: HyperbolicCLIPVisionModel, args: TrainArguments) -> list[str]:
    """Freezes what `args` say, and what would get no gradient; adds adapters where they ask for them.

    Returns:
        What the model starts from, where that is one of this library, and what was done: in lines to be printed.

    Raises:
        ImportError: adapters are asked for, and peft is not installed.
        ValueError: the backbone has not the layers that `args` name.
    """
    said = []
    if not starts_from_scratch(args.backbone) and is_own(args.backbone):
        said.append(what_is_taken(args.backbone, model.config))
    if unused := freeze_unused(model, args.image_size):
        said.append(f"not trained, as the embedding does not depend on them: {', '.join(unused)}")
    whole = sum(parameter.numel() for parameter in model.parameters())
    if args.lora_rank:
        base = None if starts_from_scratch(args.backbone) else args.backbone
        adapted = add_adapters(model, args.lora_rank, args.lora_alpha, args.lora_targets, args.freeze_layers, base)
        said.append(f"adapters of rank {args.lora_rank} in {len(adapted)} layers of the backbone, else frozen")
    if args.freeze_layers:
        freeze_layers(model, args.freeze_layers)
    if args.freeze_backbone:
        freeze_backbone(model)
    if args.lora_rank or args.freeze_layers or args.freeze_backbone:
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        said.append(f"{trained:,} parameters are trained, of a model of {whole:,}")
        if starts_from_scratch(args.backbone):
            said.append(f"warning: --backbone {args.backbone} has no trained weights, and some stay as they are")
    return said


def check_sharded(args: TrainArguments, sharded: bool) -> None:
    """
    Raises:
        ValueError: something is asked for that needs all weights in one process, and they are shared out (FSDP2).
    """
    # none of them was tried so
    for name in ("lora_rank", "ema_decay", "cache_features", "text_weight", "torch_compile"):
        if sharded and getattr(args, name):
            raise ValueError(f"--{name} does not go with FSDP2, which shares the weights out: train with DDP")


def feed_of_features(
    model: HyperbolicCLIPVisionModel,
    train: Split,
    val: Split,
    args: TrainArguments,
    accelerator: Accelerator,
    mean: list[float],
    std: list[float],
) -> tuple[Feed, Split, Tensor | None]:
    """The features that `cache_features` asks for, computed where they are not at hand.

    Images that could not be read are named each time. The feed leaves them out of its batches, as that of crops does.

    Returns:
        A feed of those of the training split; the validation split without images that could not be read; and the
        features of its nodes, on the process that validates.
    """
    model.to(accelerator.device)

    def features_of(split: Split, name: str, processes: Processes) -> FeatureTable:
        table, path, there = cached_features(model, split, args, mean, std, processes)
        accelerator.print(f"features of {name}: {'as they are in' if there else 'written to'} {path}")
        if table.broken:
            accelerator.print(
                f"{len(table.broken)} of the {split.hierarchy.num_images} images of {name} could not be read when "
                f"features were computed, and are left out: {'; '.join([*table.broken.values()][:3])}. Where they can "
                f"be read now, remove {path}"
            )
        return table

    shard = (accelerator.process_index, accelerator.num_processes)
    feed = FeatureFeed(train, args, shard, features_of(train, "train", Processes.of_group()))
    if not accelerator.is_main_process:
        return feed, val, None
    return feed, *without_broken(val, features_of(val, "val", ALONE), args)


def without_broken(split: Split, table: FeatureTable, args: TrainArguments) -> tuple[Split, Tensor]:
    """A split without the images that could not be read, and the features of its nodes."""
    if not table.broken:
        return split, table.features
    kept = table.readable(split.hierarchy)
    files = split.table.image_files
    problems = [Problem("broken_image", str(files[image]), why) for image, why in table.broken.items()]
    left = drop_images(split.table, list(table.broken), problems)
    hierarchy = hierarchy_for(left, args, split.exported)
    return replace(split, table=left, hierarchy=hierarchy), table.features[torch.from_numpy(kept)]
