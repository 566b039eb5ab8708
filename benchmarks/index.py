"""An index on disk: how long it takes to open, to search, and what half precision costs.

python benchmarks/index.py [--rows 300000]
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor

from hf_hyperbolic.lorentz import exp_map0
from hf_hyperbolic.retrieval import search
from hf_hyperbolic.retrieval.index import Index

DIM, CURVATURE, K = 128, 1.0, 10
CLASSES = [f"class {number}" for number in range(600)]


class Nobody:
    """Stands in for the model: embeddings are given."""

    name, dim, curvature, dtype, fingerprint = "nobody", DIM, CURVATURE, "float32", "0" * 64
    measures = {"children": "beta", "parents": "beta"}  # noqa: RUF012
    preprocessing = {"image_size": 224, "context": 0.0, "crop_mode": "resize"}  # noqa: RUF012

    def encode(self, *arguments: Any) -> np.ndarray:
        raise NotImplementedError

    def encode_crops(self, *arguments: Any) -> np.ndarray:
        raise NotImplementedError


def embeddings(count: int, seed: int) -> np.ndarray:
    """Directions in 600 clusters, radii from 0.2 to 4."""
    centres = np.random.default_rng(0).normal(size=(len(CLASSES), DIM))
    rng = np.random.default_rng(seed)
    tangent = centres[rng.integers(0, len(CLASSES), count)] + rng.normal(size=(count, DIM))
    tangent *= rng.uniform(0.2, 4, (count, 1)) / np.linalg.norm(tangent, axis=1, keepdims=True)
    return exp_map0(torch.from_numpy(tangent.astype(np.float32)), CURVATURE).numpy()


def milliseconds(function: Callable[[], object], times: int) -> float:
    """Best of `times`, in processor time of all threads: the machine may be shared."""
    found = []
    for _ in range(times):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return 1000 * min(found)


def open_and_search(folder: Path, queries: np.ndarray) -> None:
    Index.open(folder).search(queries, K)


def write(folder: Path, gallery: np.ndarray, dtype: str) -> None:
    with Index.create(folder, Nobody(), dtype) as writer:
        for start in range(0, len(gallery), 1 << 15):
            part = gallery[start : start + (1 << 15)]
            rows = range(start, start + len(part))
            writer.add(
                embeddings=part,
                ids=[f"image-{row}" for row in rows],
                labels=[CLASSES[row % len(CLASSES)] for row in rows],
                files=[f"/images/{row // 8:08d}.jpg" for row in rows],
                boxes=[(0.0, 0.0, 10.0, 10.0)] * len(part),
            )


def main(rows: int) -> None:
    gallery, queries = embeddings(rows, 1), embeddings(64, 2)
    print(
        f"{processor()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, torch "
        f"{torch.__version__}\n{rows:,} rows, {DIM} dimensions, top {K} by beta; processor time, files in the page "
        "cache"
    )
    figures: dict[str, dict[str, float]] = {}
    best: dict[str, list[list[int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float16"):
            path = Path(folder) / dtype
            write(path, gallery, dtype)
            index = Index.open(path)
            one, one_class = queries[:1], {"class": "class 7"}
            figures[dtype] = {
                "size on disk, MB": sum(file.stat().st_size for file in path.iterdir()) / 1e6,
                "open, ms": milliseconds(partial(Index.open, path), 20),
                "open and first query, ms": milliseconds(partial(open_and_search, path, one), 3),
                "1 query, ms": milliseconds(partial(index.search, one, K), 3),
                "1 query of one class, ms": milliseconds(partial(index.search, one, K, where=one_class), 3),
                "64 queries, ms": milliseconds(partial(index.search, queries, K), 2),
                "path of 50 steps, ms": milliseconds(partial(index.path, 0), 2),
            }
            best[dtype] = [[item.row for item in found] for found in index.search(queries, K)]
    in_memory = {
        "1 query, ms": milliseconds(lambda: search(queries[:1], gallery, K, curvature=CURVATURE), 3),
        "64 queries, ms": milliseconds(lambda: search(queries, gallery, K, curvature=CURVATURE), 3),
    }
    print(f"{'':28} {'float32':>9} {'float16':>9} {'one array':>10} {'float32 / one array':>20}")
    for name, figure in figures["float32"].items():
        memory = in_memory.get(name)
        ratio = f"{memory:10.2f} {figure / memory:20.2f}" if memory else ""
        print(f"{name:28} {figure:9.2f} {figures['float16'][name]:9.2f} {ratio}")
    shared = np.mean([len(set(a) & set(b)) / K for a, b in zip(best["float32"], best["float16"], strict=True)])
    print(f"float16 finds {100 * shared:.1f} % of the top {K} of float32")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    main(parser.parse_args().rows)
