"""A training step with gradient caching against the plain step: peak memory and time.

    python benchmarks/gradient_cache.py                                  # ViT-B/16 at 224 px, 640 crops, parts of 32
    python benchmarks/gradient_cache.py --crops 64 --backbone tiny --image_size 32 --micro_batch_size 0 16
    python benchmarks/gradient_cache.py --crops 1984 --micro_batch_size 64 --loss_tile 256

Each row is a process of its own, so that its peak is its own: on a GPU what torch had allocated at most, on a CPU the
resident set of the whole process. Crops are noise and the tree is drawn; neither matters to memory or time. A step is
forward, the default recipe's loss, and backward; its time is the best of `--steps`, after one that does not count.
"""

import argparse
import json
import platform
import subprocess
import sys
import time

import torch
from accelerate import Accelerator
from loss_kernel import random_relations
from machine import peak_memory, processor
from models import BACKBONES, build

from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.losses import PairMasks, TiledMasks
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.gradient_cache import GradientCache
from hf_hyperbolic.training.objective import objective

CLASSES = 600


def measure(args: argparse.Namespace, micro_batch_size: int) -> dict[str, float]:
    """Peak memory in MiB and the best time of a step in seconds; runs in a process of its own."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=args.cpu, mixed_precision=args.mixed_precision)
    device = accelerator.device
    model = accelerator.prepare(build(args.backbone, args.image_size, CLASSES))
    crops = torch.randint(0, 256, (args.crops, 3, args.image_size, args.image_size), dtype=torch.uint8, device=device)
    relations = random_relations(args.crops, CLASSES).to(device)
    settings = TrainArguments(loss_tile=args.loss_tile)

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        return model(pixel_values=normalise(pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))).embeds

    def step() -> None:
        model.zero_grad()
        cache = GradientCache(embed, model, accelerator, micro_batch_size) if micro_batch_size else None
        with accelerator.autocast():
            embeds = cache.embed(crops) if cache else embed(crops)
        masks = TiledMasks(relations) if args.loss_tile else PairMasks(*relations.block())
        loss, _ = objective(model, embeds, masks, settings, relations.categories, relations.is_scene)
        if cache:
            cache.backward(loss)
        else:
            accelerator.backward(loss)
        if device.type == "cuda":
            torch.cuda.synchronize()

    times = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"peak": peak_memory(device) / 2**20, "seconds": min(times[1:])}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=640)
    parser.add_argument("--micro_batch_size", type=int, nargs="+", default=[0, 32], help="0 is the plain step")
    parser.add_argument("--loss_tile", type=int, default=0)
    parser.add_argument("--backbone", choices=BACKBONES, default="vit-b-16")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse()
    if args.alone:
        print(json.dumps(measure(args, args.micro_batch_size[0])))
        return
    where = processor() if args.cpu or not torch.cuda.is_available() else torch.cuda.get_device_name()
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, python {platform.python_version()}")
    print(
        f"{args.backbone} at {args.image_size} px, {args.crops} crops, mixed precision {args.mixed_precision}, "
        f"loss tile {args.loss_tile}\n"
    )
    print(f"{'crops at a time':>16}{'peak, MiB':>12}{'step, s':>10}{'crops/s':>10}")
    for size in args.micro_batch_size:
        # of an option that is given twice the last counts
        command = [sys.executable, *sys.argv, "--micro_batch_size", str(size), "--alone"]
        finished = subprocess.run(command, capture_output=True, text=True)
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or [f"ended with {finished.returncode}"])[-1]
            print(f"{size or 'all':>16}  failed: {reason}")
            continue
        found = json.loads(finished.stdout.strip().splitlines()[-1])
        rate = args.crops / found["seconds"]
        print(f"{size or 'all':>16}{found['peak']:12.0f}{found['seconds']:10.2f}{rate:10.1f}", flush=True)


if __name__ == "__main__":
    main()
