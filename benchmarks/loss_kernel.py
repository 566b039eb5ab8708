"""The angle loss alone, forward and backward: the printed formula, the stable form, and the stable form by tiles.

    python benchmarks/loss_kernel.py                       # 640, 1984 and 8192 embeddings
    python benchmarks/loss_kernel.py --sizes 640
    python benchmarks/loss_kernel.py --sizes 16384 --forms tiled

Both dense forms keep a number for each of N x N pairs. "printed" is `acos` of the formula as papers print it, clamped
as implementations do, by autograd. Masks are part of what is timed where they are made within the loss (tiles), and
stand ready otherwise. A peak is beyond what stood when the loss began: on a GPU what torch had allocated, on a CPU the
resident set of a process of its own. The time is the best of `--steps`, after one that does not count.
"""

import argparse
import json
import platform
import subprocess
import sys
import time

import torch
from exterior_angle import pairwise_printed
from machine import peak_memory, processor
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.relations import SparseRelations
from hf_hyperbolic.losses import LossOutput, Masks, PairMasks, TiledMasks, angle_loss, bidirectional_info_nce

DIMENSION, CLASSES, BOXES = 128, 600, 7
OWN_WEIGHT, TEMPERATURE = 0.75, 0.1
FORMS = ("printed", "dense", "tiled")


def random_relations(count: int, classes: int) -> SparseRelations:
    """Scenes of `BOXES` boxes each, every box below its scene and every second one below the one before it."""
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(count)
    image, within = place // (BOXES + 1), place % (BOXES + 1)
    labels = torch.randint(0, classes, (count,), generator=generator).masked_fill(within == 0, -1)
    boxes = place[within > 0]
    nested = place[(within > 0) & (within % 2 == 0)]
    own = torch.cat([torch.stack([boxes - within[boxes], boxes], 1), torch.stack([nested - 1, nested], 1)])
    holds = torch.zeros(count, classes, dtype=torch.bool)
    holds[own[:, 0], labels[own[:, 1]]] = True
    none = torch.zeros(0, 2, dtype=torch.long)
    return SparseRelations(own, none, image, labels, holds, "scene")


def printed_loss(embeds: Tensor, masks: Masks, curvature: Tensor, temperature: Tensor) -> LossOutput:
    interior = torch.pi - pairwise_printed(embeds, embeds, curvature)  # type: ignore[arg-type]
    return bidirectional_info_nce(interior / temperature, interior.T / temperature, masks.block(), OWN_WEIGHT)


def measure(form: str, count: int, tile: int, steps: int, device: torch.device) -> dict[str, float]:
    """Peak memory in MiB and the best time in milliseconds; runs in a process of its own."""
    generator = torch.Generator().manual_seed(0)
    tangent = torch.randn(count, DIMENSION, generator=generator) / 8
    curvature = torch.tensor(1.0, device=device, requires_grad=True)
    temperature = torch.tensor(TEMPERATURE, device=device, requires_grad=True)
    embeds = lorentz.exp_map0(tangent, 1.0).to(device).requires_grad_()
    relations = random_relations(count, CLASSES).to(device)
    masks: Masks = TiledMasks(relations) if form == "tiled" else PairMasks(*relations.block())

    def step() -> float:
        if form == "printed":
            loss = printed_loss(embeds, masks, curvature, temperature).loss
        else:
            rows = tile if form == "tiled" else 0
            loss = angle_loss(
                embeds, masks, curvature, temperature, own_weight=OWN_WEIGHT, upward="beta", tile=rows
            ).loss
        loss.backward()
        return loss.item()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = peak_memory(device)
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        value = step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return {"peak": (peak_memory(device) - before) / 2**20, "milliseconds": min(times[1:]), "loss": value}


def in_a_process(form: str, count: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    # of an option that is given twice the last counts
    command = [sys.executable, *sys.argv, "--sizes", str(count), "--forms", form, "--alone"]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise RuntimeError((finished.stderr.strip().splitlines() or [f"ended with {finished.returncode}"])[-1])
    found: dict[str, float] = json.loads(finished.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[640, 1984, 8192])
    parser.add_argument("--forms", choices=FORMS, nargs="+", default=list(FORMS))
    parser.add_argument("--tile", type=int, default=256, help="rows at a time")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    if args.alone:
        print(json.dumps(measure(args.forms[0], args.sizes[0], args.tile, args.steps, device)))
        return
    where = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, python {platform.python_version()}")
    print(f"float32, dimension {DIMENSION}, angle at the parent in both directions, tiles of {args.tile} rows\n")
    print(f"{'embeddings':>11}{'form':>9}{'peak, MiB':>12}{'time, ms':>10}{'ratio':>8}{'loss':>10}")
    for count in args.sizes:
        first = 0.0
        for form in args.forms:
            try:
                # the peak of a process cannot be taken back, that of a GPU's allocator can
                if device.type == "cuda":
                    found = measure(form, count, args.tile, args.steps, device)
                else:
                    found = in_a_process(form, count)
            except RuntimeError as error:
                print(f"{count:>11}{form:>9}  failed: {str(error).splitlines()[0]}")
                continue
            first = first or found["milliseconds"]
            ratio = found["milliseconds"] / first
            print(
                f"{count:>11}{form:>9}{found['peak']:12.0f}{found['milliseconds']:10.1f}{ratio:8.2f}"
                f"{found['loss']:10.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
