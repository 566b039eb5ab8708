"""A training step of each way to fine-tune: parameters that are trained, peak memory and time.

    python benchmarks/fine_tuning.py                                  # ViT-B/16 at 224 px, 128 crops
    python benchmarks/fine_tuning.py --crops 32 --backbone tiny --image_size 32 --cpu

Each row is a process of its own, so that its peak is its own: on a GPU what torch had allocated at most, on a CPU the
resident set of the whole process. Crops are noise, weights and the tree are drawn; none of them matters to memory or
time. A step is forward, the default recipe's loss, backward and AdamW's step; its time is the best of `--steps`, after
one that does not count. A step on cached features leaves out what computing them takes, once: a forward pass over each
crop of the data, whose time the last column tells in the row of the head alone.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from typing import Any

import torch
from accelerate import Accelerator
from gradient_cache import CLASSES
from loss_kernel import random_relations
from machine import peak_memory, processor
from models import BACKBONES, build

from hf_hyperbolic.losses import PairMasks
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.embed_crops import embed_crops
from hf_hyperbolic.training.fine_tuning import restrict_training
from hf_hyperbolic.training.head_on_features import HeadOnFeatures, embed_features
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.optimisation import parameter_groups
from hf_hyperbolic.training.speed import adamw, speed_up
from hf_hyperbolic.training.weight_average import WeightAverage

MEAN = STD = (0.5, 0.5, 0.5)


def ways(blocks: int) -> dict[str, dict[str, Any]]:
    """Settings of training/train.py, by name."""
    return {
        "all of it": {},
        "recomputed": {"gradient_checkpointing": True},
        "layer decay 0.75": {"layer_decay": 0.75},
        "moving average": {"ema_decay": 0.999},
        "upper half": {"freeze_layers": blocks // 2},
        "LoRA, rank 8": {"lora_rank": 8},
        "LoRA, upper half": {"lora_rank": 8, "freeze_layers": blocks // 2},
        "head alone": {"freeze_backbone": True},
        "head on features": {"cache_features": True, "flip": False},
    }


def measure(args: argparse.Namespace, name: str) -> dict[str, float]:
    """Trained parameters, peak memory in MiB, best times of step and forward pass in s; in a process of its own."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=args.cpu, mixed_precision=args.mixed_precision)
    device, blocks = accelerator.device, BACKBONES[args.backbone]["num_hidden_layers"]
    model = build(args.backbone, args.image_size, CLASSES)
    settings = TrainArguments(image_size=args.image_size, **ways(blocks)[name])
    restrict_training(model, settings)
    speed_up(model.backbone, settings)
    groups = parameter_groups(model, 1e-4, 1e-5, settings.weight_decay, settings.layer_decay)
    trained = sum(parameter.numel() for group in groups for parameter in group["params"])
    optimizer = adamw(groups, device, lr=1e-4)
    average = WeightAverage(model, settings.ema_decay) if settings.ema_decay else None
    if average:
        average.model.to(device)
    model.to(device)
    shown = HeadOnFeatures(model) if settings.cache_features else model
    prepared, optimizer = accelerator.prepare(shown, optimizer)
    if settings.cache_features:
        crops = torch.randn(args.crops, model.config.feature_dim, device=device)
    else:
        side = args.image_size
        crops = torch.randint(0, 256, (args.crops, 3, side, side), dtype=torch.uint8, device=device)
    relations = random_relations(args.crops, CLASSES).to(device)

    def embed() -> torch.Tensor:
        if settings.cache_features:
            return embed_features(prepared, crops)
        return embed_crops(prepared, crops, MEAN, STD)

    def step() -> None:
        with accelerator.autocast():
            embeds = embed()
        masks = PairMasks(*relations.block())
        loss, _ = objective(model, embeds, masks, settings, relations.categories, relations.is_scene)
        accelerator.backward(loss)
        optimizer.step()
        model.clamp_scalars_()
        if average:
            average.update(model)
        optimizer.zero_grad()

    def forward() -> None:
        with torch.no_grad(), accelerator.autocast():
            embed()

    def best(what: Any) -> float:
        times = []
        for _ in range(args.steps + 1):
            start = time.perf_counter()
            what()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return min(times[1:])

    found = {"trained": trained, "step": best(step), "peak": peak_memory(device) / 2**20}
    return {**found, "forward": best(forward)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=128)
    parser.add_argument("--backbone", choices=BACKBONES, default="vit-b-16")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse()
    if args.alone:
        print(json.dumps(measure(args, args.alone)))
        return
    where = processor() if args.cpu or not torch.cuda.is_available() else torch.cuda.get_device_name()
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, python {platform.python_version()}")
    print(
        f"{args.backbone} at {args.image_size} px, {args.crops} crops a step, mixed precision {args.mixed_precision}\n"
    )
    print(f"{'':<18}{'trained':>14}{'peak, MiB':>12}{'step, s':>10}{'forward, ms/crop':>18}")
    for name in ways(BACKBONES[args.backbone]["num_hidden_layers"]):
        finished = subprocess.run([sys.executable, *sys.argv, "--alone", name], capture_output=True, text=True)
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or [f"ended with {finished.returncode}"])[-1]
            print(f"{name:<18}  failed: {reason}", flush=True)
            continue
        found = json.loads(finished.stdout.strip().splitlines()[-1])
        each = 1000 * found["forward"] / args.crops
        print(
            f"{name:<18}{found['trained']:14,}{found['peak']:12.0f}{found['step']:10.3f}{each:18.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
