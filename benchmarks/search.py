"""Exact search by every measure beside the bare matrix product, FAISS and the printed formula: time, memory, recall.

python benchmarks/search.py
python benchmarks/search.py --quick
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from exterior_angle import pairwise_printed
from machine import peak_memory, processor
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, search

DIMENSION = 128
CURVATURE = 1.0
TILE = 4096


def embeddings(queries: int, length: int) -> tuple[Tensor, Tensor]:
    """Queries of radius 0.5 to 1; each item lies around the direction of one of them, at radius 0.5 to 3."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(queries, DIMENSION, generator=generator))
    x = lorentz.exp_map0(centres * (0.5 + 0.5 * torch.rand(queries, 1, generator=generator)), CURVATURE)
    y = torch.empty(length, DIMENSION)
    # in pieces, so that making the gallery does not need more memory than holding it
    for part in y.split(1000):
        around = centres[torch.randint(queries, (len(part),), generator=generator)]
        noise = torch.randn(part.shape, generator=generator) / DIMENSION**0.5
        radii = 0.5 + 2.5 * torch.rand(len(part), 1, generator=generator)
        part.copy_(lorentz.exp_map0(torch.nn.functional.normalize(around + noise) * radii, CURVATURE))
    return x, y


def product_in_tiles(x: Tensor, y: Tensor) -> None:
    """The product alone, each tile written over the one before."""
    out = torch.empty(len(x), TILE)
    for tile in y.split(TILE):
        torch.mm(x, tile.T, out=out[:, : len(tile)])


def printed_formula(x: Tensor, y: Tensor, k: int) -> None:
    """Beta by acos, in tiles, with a running top-k."""
    best = torch.empty(len(x), 0)
    for tile in y.split(TILE):
        merged = torch.cat([best, -pairwise_printed(x, tile, CURVATURE)], dim=1)
        best = merged.topk(min(k, merged.shape[1]), dim=1).values


def faiss_flat(x: Tensor, y: Tensor, k: int) -> tuple[Callable[[], object] | None, str]:
    try:
        import faiss
    except ImportError:
        return None, "not installed"
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(y.numpy())
    return lambda: index.search(x.numpy(), k), faiss.__version__


def medians(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, the tasks taking turns so that a busy moment hits all alike; after a round unmeasured."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def recall(found: Tensor, truth: Tensor) -> float:
    """Share of each row of `truth` that is in the same row of `found`, mean over rows."""
    together = torch.cat([found, truth], dim=1).sort(dim=1).values
    return (together[:, 1:] == together[:, :-1]).sum().item() / truth.numel()


def megabytes_beside_the_gallery(queries: int, length: int, k: int) -> float:
    """In this process: how much the peak of resident memory grows by a search in a gallery that is there already."""
    x, y = embeddings(queries, length)
    search(x[:2], y[:5000], 1, curvature=CURVATURE)  # what the libraries load on first use
    before = peak_memory()
    search(x, y, k, curvature=CURVATURE)
    return (peak_memory() - before) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 queries, 20,000 items, 2 rounds")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)  # what this script calls itself with
    args = parser.parse_args()
    queries, length, k, rounds = (64, 20_000, 100, 2) if args.quick else (512, 300_000, 100, 5)
    if args.memory is not None:
        print(megabytes_beside_the_gallery(queries, args.memory, k))
        return
    x, y = embeddings(queries, length)
    flat, version = faiss_flat(x, y, k)
    print(f"{processor()}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, faiss {version}, python {platform.python_version()}")
    print(f"{queries} queries x {length} items x {DIMENSION}, top-{k}, float32; median of {rounds} rounds\n")

    tasks: dict[str, Callable[[], object]] = {
        "product, materialised": lambda: x @ y.T,
        "product, in tiles": lambda: product_in_tiles(x, y),
    }
    if flat is not None:
        tasks["FAISS flat inner product"] = flat
    tasks["beta by the printed formula"] = lambda: printed_formula(x, y, k)
    settings = [
        (measure, direction)
        for measure in MEASURES
        for direction in DIRECTIONS
        if direction == "children" or measure not in ("cosine", "distance")
    ]
    for measure, direction in settings:
        tasks[f"search, {measure}, {direction}"] = lambda m=measure, d=direction: search(  # type: ignore[misc]
            x, y, k, m, d, CURVATURE
        )
    seconds = medians(tasks, rounds)
    against = [name for name in list(tasks)[:3] if name in seconds and "beta" not in name]
    print(f"{'':34}{'seconds':>9}" + "".join(f"{'x ' + name:>28}" for name in against))
    for name, taken in seconds.items():
        print(f"{name:34}{taken:9.3f}" + "".join(f"{taken / seconds[base]:28.2f}" for base in against))

    print(f"\nrecall@{k} of a gallery stored in half precision, against float32")
    print(f"{'':34}{'float16':>9}{'bfloat16':>10}")
    for measure, direction in settings:
        truth = search(x, y, k, measure, direction, CURVATURE).indices
        shares = [
            recall(search(x, y.to(dtype), k, measure, direction, CURVATURE).indices, truth)
            for dtype in (torch.float16, torch.bfloat16)
        ]
        print(f"{measure + ', ' + direction:34}{shares[0]:9.4f}{shares[1]:10.4f}")

    print("\npeak memory of a search beside gallery and queries, beta, children")
    for some in (length // 4, length):
        command = [sys.executable, __file__, "--memory", str(some), *(["--quick"] if args.quick else [])]
        grown = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{some:>9} items of {some * DIMENSION * 4 / 2**20:.0f} MiB: {grown:.0f} MiB")


if __name__ == "__main__":
    main()
