"""What a training step costs beside its backbone alone, and how long it waits for data.

    python benchmarks/train_step.py                                     # ViT-B/16 at 224 px, 64 crops
    python benchmarks/train_step.py --backbone tiny --image_size 32 --crops 640
    python benchmarks/train_step.py --backbone tiny --image_size 64 --crops 280 --data scenes
    python benchmarks/train_step.py --crops 640 --mixed_precision bf16 --torch_compile

"backbone" is forward and backward of the backbone, of whose pooled features the sum is taken. "similarity" puts a
linear layer and a plain contrastive loss over pairs of crops on it, as CLIP does. "default" is the whole model with
the default recipe: projection, relations of the batch, angles, cosines and proxies. The same crops go through all, in
turn, so that a machine that slows down slows all; times are medians over `--steps` rounds after one that does not
count, the ratio is the median of the rounds' ratios. None of them has the optimiser's step, which is of the
backbone's size in all.

The rate in TFLOP/s counts the backbone's matrix products and convolutions, forward and backward, once each, whatever
is recomputed; "of peak" sets it against a large matrix product of the same precision, timed on the same machine.

With `--data` the default recipe also trains from the data pipeline, and the share of time it waited for the next
batch is printed, after the first ten steps.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from loss_kernel import random_relations
from machine import processor
from models import BACKBONES, build
from torch.utils.flop_counter import FlopCounterMode

from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.losses import PairMasks
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.feeds import make_feed
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.sources import load_split
from hf_hyperbolic.training.speed import adamw, speed_up

CLASSES = 600
HALF = (0.5, 0.5, 0.5)
STEPS_OF_DATA, WARM_UP = 60, 10


def main() -> None:
    args = parse()
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=args.cpu, mixed_precision=args.mixed_precision)
    device = accelerator.device
    where = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, python {platform.python_version()}")
    print(
        f"{args.backbone} at {args.image_size} px, {args.crops} crops, mixed precision {args.mixed_precision}"
        + ", compiled" * args.torch_compile
        + ", activations recomputed" * args.gradient_checkpointing
    )
    peak = matrix_product_rate(device, args.mixed_precision)
    print(f"a large matrix product runs at {peak / 1e12:.2f} TFLOP/s\n")

    model = build(args.backbone, args.image_size, CLASSES).to(device)
    backbone = model.backbone
    linear = torch.nn.Linear(BACKBONES[args.backbone]["hidden_size"], 128, bias=False).to(device)
    relations = random_relations(args.crops, CLASSES).to(device)
    settings = TrainArguments()
    pixels = torch.randint(0, 256, (args.crops, 3, args.image_size, args.image_size), dtype=torch.uint8, device=device)

    def features() -> torch.Tensor:
        return backbone(pixel_values=normalise(pixels, HALF, HALF)).pooler_output

    def alone() -> torch.Tensor:
        with accelerator.autocast():
            return features().sum()

    def similarity() -> torch.Tensor:
        with accelerator.autocast():
            embeds = linear(features())
        unit = F.normalize(embeds.float(), dim=1)
        logits = unit[0::2] @ unit[1::2].T / 0.07
        target = torch.arange(len(logits), device=device)
        return F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)

    def default() -> torch.Tensor:
        with accelerator.autocast():
            embeds = model(pixel_values=normalise(pixels, HALF, HALF)).embeds
        masks = PairMasks(*relations.block())
        return objective(model, embeds, masks, settings, relations.categories, relations.is_scene)[0]

    with FlopCounterMode(display=False) as counter:
        accelerator.backward(alone())
    work = counter.get_total_flops()
    speed_up(backbone, settings_of(args))

    steps: dict[str, Callable[[], torch.Tensor]] = {"backbone": alone, "similarity": similarity, "default": default}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.steps + 1):
        for name, forward in steps.items():
            model.zero_grad()
            start = time.perf_counter()
            accelerator.backward(forward())
            _wait_for(device)
            times[name].append(time.perf_counter() - start)
    first = times["backbone"][1:]
    print(f"{'step':>12}{'time, s':>10}{'crops/s':>10}{'TFLOP/s':>10}{'of peak':>9}{'of backbone':>13}")
    for name, taken in times.items():
        middle = statistics.median(taken[1:])
        ratio = statistics.median(one / other for one, other in zip(taken[1:], first, strict=True))
        rate = work / middle
        print(f"{name:>12}{middle:10.3f}{args.crops / middle:10.1f}{rate / 1e12:10.2f}{rate / peak:9.1%}{ratio:13.3f}")
    if args.data:
        _with_data(args, accelerator)


def settings_of(args: argparse.Namespace) -> TrainArguments:
    return TrainArguments(torch_compile=args.torch_compile, gradient_checkpointing=args.gradient_checkpointing)


def matrix_product_rate(device: torch.device, mixed_precision: str) -> float:
    """Operations a second of the best of ten products of square matrices, of random numbers."""
    size = 8192 if device.type == "cuda" else 2048
    dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[mixed_precision]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        _wait_for(device)
        start = time.perf_counter()
        left @ right
        _wait_for(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _with_data(args: argparse.Namespace, accelerator: Accelerator) -> None:
    """Trains from the data pipeline, and prints the share of time that the loop waited for a batch."""
    # scenes of seven boxes, as many as make up the crops asked for
    settings = TrainArguments(
        data=args.data,
        scenes_dir=args.scenes_dir,
        image_size=args.image_size,
        scenes_per_batch=max(2, args.crops // 8),
        max_steps=STEPS_OF_DATA,
        num_workers=args.num_workers,
    )
    split = load_split(settings, "train")
    model = build(args.backbone, args.image_size, len(split.hierarchy.class_names)).to(accelerator.device)
    speed_up(model.backbone, settings_of(args))
    optimizer = adamw([{"params": list(model.parameters())}], accelerator.device, lr=1e-4)
    feed = make_feed(split, settings, (0, 1), pin_memory=accelerator.device.type == "cuda")
    waited, crops, begun = 0.0, 0, time.perf_counter()
    batches = feed.loader(0)
    for step in range(STEPS_OF_DATA):
        if step == WARM_UP:
            waited, crops, begun = 0.0, 0, time.perf_counter()
        start = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - start
        pixels = batch["pixel_values"].to(accelerator.device, non_blocking=True)
        with accelerator.autocast():
            embeds = model(pixel_values=normalise(pixels, HALF, HALF)).embeds
        relations = feed.relations(batch, np.asarray(batch["nodes"])).to(embeds.device)
        masks = PairMasks(*relations.block())
        loss, _ = objective(model, embeds, masks, settings, relations.categories, relations.is_scene)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        _wait_for(accelerator.device)
        crops += len(pixels)
    whole = time.perf_counter() - begun
    print(
        f"\nfrom {args.data} with {args.num_workers} workers: {crops / whole:.1f} crops/s, "
        f"{100 * waited / whole:.1f} % of the time waiting for a batch"
    )


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=64)
    parser.add_argument("--backbone", choices=BACKBONES, default="vit-b-16")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--torch_compile", action="store_true", help="compile the backbone, of all rows")
    parser.add_argument("--gradient_checkpointing", action="store_true", help="recompute activations, in all rows")
    parser.add_argument("--data", help="scenes, or a folder of photographs with boxes")
    parser.add_argument("--scenes_dir", default="outputs/scenes")
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--cpu", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
