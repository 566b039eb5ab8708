"""Qdrant, embedded: recall against the exact answer, time a query, size and time to build.

python benchmarks/qdrant.py --points 20000 200000 --out outputs/qdrant.txt
python benchmarks/qdrant.py --points 1000000 --data tree --measures beta --out outputs/qdrant-1m.txt

The galleries are random, with the shape that entailment gives to embeddings, so that recall is not flattered:

- `tree`: scenes at radius 0.4 to 1.0 around 200 directions, each with 6 objects and each of these with 3 parts, a child
  further out by 0.6 to 1.4 and turned away from its parent by about what an entailment cone at its radius spans. Scenes
  ask for children, parts for parents.
- `isotropic`: independent directions, radii from 0.2 to 3. No neighbourhoods at all: the hard case for any graph.

"Klein only" is the recall of candidates by the plain dot product with Klein coordinates, without the graph's losses.
"of a level" searches by the default number of candidates among the last level alone, the farthest from the origin.
"""

import argparse
import importlib.metadata
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import processor
from tqdm import tqdm

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, scores
from hf_hyperbolic.retrieval.qdrant import PREFETCH, QdrantIndex

DIMENSION = 128
CURVATURE = 1.0
K = 100
QUERIES = 100
PREFETCHES = (200, 1000, 4000)
TILE = 20_000
# Hyperbolic rescoring of Qdrant candidates, as published elsewhere
PUBLISHED = 0.920

Gallery = tuple[np.ndarray, np.ndarray]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tree(points: int, seed: int = 0) -> Gallery:
    """(N, D) float32 space components and (N,) levels: 0 scenes, 1 objects, 2 parts."""
    generator = np.random.default_rng(seed)

    def directions(count: int) -> np.ndarray:
        return unit(generator.standard_normal((count, DIMENSION), dtype=np.float32))

    scenes = -(-points // 25)
    centres = directions(200)
    parents = unit(centres[generator.integers(len(centres), size=scenes)] + 0.7 * directions(scenes))
    radii = generator.uniform(0.4, 1.0, scenes).astype(np.float32)
    levels = [(parents, radii)]
    for children in (6, 3):
        parents, inner = np.repeat(parents, children, 0), np.repeat(radii, children)
        radii = inner + generator.uniform(0.6, 1.4, len(inner)).astype(np.float32)
        turn = 0.9 / np.sinh(inner + 1) * generator.uniform(0.5, 1.5, len(inner))
        parents = unit(parents + turn[:, None].astype(np.float32) * directions(len(parents)))
        levels.append((parents, radii))
    embeddings = np.concatenate([np.sinh(radius)[:, None] * direction for direction, radius in levels])
    level = np.repeat(np.arange(3), [len(radius) for _, radius in levels])
    kept = np.sort(generator.permutation(len(level))[:points])
    return embeddings[kept], level[kept]


def isotropic(points: int, seed: int = 0) -> Gallery:
    """(N, D) float32 space components and (N,) levels, thirds of the radii."""
    generator = np.random.default_rng(seed)
    radii = generator.uniform(0.2, 3, points).astype(np.float32)
    directions = unit(generator.standard_normal((points, DIMENSION), dtype=np.float32))
    return np.sinh(radii)[:, None] * directions, np.digitize(radii, [1, 2])


DATA = {"tree": tree, "isotropic": isotropic}


def best(
    queries: np.ndarray, own: np.ndarray, gallery: np.ndarray, measure: str, direction: str, dtype: torch.dtype
) -> np.ndarray:
    """(Q, K) rows of the best items, every item compared, a tile at a time; a query does not find itself."""
    asked = torch.from_numpy(queries).to(dtype)
    values, rows = torch.empty(len(asked), 0, dtype=dtype), torch.empty(len(asked), 0, dtype=torch.int64)
    for start in range(0, len(gallery), TILE):
        tile = scores(asked, torch.from_numpy(gallery[start : start + TILE]).to(dtype), measure, direction, CURVATURE)
        numbers = torch.arange(start, start + tile.shape[1]).expand_as(tile)
        tile = tile.masked_fill(numbers == torch.from_numpy(own)[:, None], -torch.inf)
        values, places = torch.cat([values, tile], 1).topk(min(K, values.shape[1] + tile.shape[1]))
        rows = torch.cat([rows, numbers], 1).gather(1, places)
    return rows.numpy()


def klein_recall(queries: np.ndarray, own: np.ndarray, gallery: np.ndarray, truth: np.ndarray) -> float:
    """Share of the answers among the default number of items by plain dot product of Klein coordinates, no graph."""
    items = torch.from_numpy(gallery)
    dots = torch.nn.functional.normalize(torch.from_numpy(queries)) @ lorentz.to_klein(items, CURVATURE).T
    dots[torch.arange(len(own)), torch.from_numpy(own)] = -torch.inf
    candidates = dots.topk(min(PREFETCH, dots.shape[1])).indices.numpy()
    return sum(len(np.intersect1d(*pair)) for pair in zip(candidates, truth, strict=True)) / truth.size


def times(milliseconds: list[float]) -> str:
    return f"{np.percentile(milliseconds, 50):10.1f}{np.percentile(milliseconds, 95):9.1f}"


def ask(
    index: QdrantIndex, queries: np.ndarray, own: np.ndarray, truth: np.ndarray, **asked: Any
) -> tuple[float, list[float]]:
    """Recall@K and the milliseconds of every query, asked one by one."""
    found, elapsed = 0, []
    for query, row, expected in zip(queries, own, truth, strict=True):
        start = time.perf_counter()
        ids = index.search(query[None], K + 1, **asked).ids[0]
        elapsed.append(1000 * (time.perf_counter() - start))
        found += len(np.intersect1d(ids[ids != row][:K], expected))
    return found / truth.size, elapsed


def rows(index: QdrantIndex, gallery: np.ndarray, levels: np.ndarray, measures: Sequence[str]) -> Iterator[str]:
    """Lines of the table: recall and time of the measures in both directions, by the number of candidates."""
    generator = np.random.default_rng(1)
    for measure in measures:
        for direction in DIRECTIONS:
            pool = np.flatnonzero(levels == (0 if direction == "children" else levels.max()))
            own = generator.choice(pool, min(QUERIES, len(pool)), replace=False)
            queries = gallery[own]
            truth = best(queries, own, gallery, measure, direction, torch.float64)
            elapsed = []
            for i in range(5):
                start = time.perf_counter()
                best(queries[i : i + 1], own[i : i + 1], gallery, measure, direction, torch.float32)
                elapsed.append(1000 * (time.perf_counter() - start))
            exact = float(np.median(elapsed))
            recall = klein_recall(queries, own, gallery, truth)
            yield f"{measure:20}{direction:10}{'Klein only':>11}{recall:10.3f}{'-':>10}{'-':>9}{'-':>9}"
            yield f"{measure:20}{direction:10}{'all, exact':>11}{'-':>10}{times(elapsed)}{'1.0':>9}"
            for fetch in PREFETCHES:
                recall, elapsed = ask(index, queries, own, truth, measure=measure, direction=direction, prefetch=fetch)
                ratio = exact / float(np.median(elapsed))
                yield f"{measure:20}{direction:10}{fetch:11,}{recall:10.3f}{times(elapsed)}{ratio:9.1f}"
            kept = np.flatnonzero(levels == levels.max())
            places = np.where(np.isin(own, kept), np.searchsorted(kept, own), -1)
            truth = kept[best(queries, places, gallery[kept], measure, direction, torch.float64)]
            filtered = {"level": int(levels.max())}
            recall, elapsed = ask(index, queries, own, truth, measure=measure, direction=direction, where=filtered)
            yield f"{measure:20}{direction:10}{'of a level':>11}{recall:10.3f}{times(elapsed)}{'-':>9}"


def run(kind: str, points: int, measures: Sequence[str], folder: Path) -> Iterator[str]:
    gallery, levels = DATA[kind](points)
    with QdrantIndex.create(DIMENSION, CURVATURE, path=folder) as index:
        start = time.perf_counter()
        index.add(gallery, payload={"level": levels.tolist()}, progress=True)
        added = time.perf_counter() - start
        index.build()
        built = time.perf_counter() - start - added
        size = sum(512 * path.stat().st_blocks for path in folder.rglob("*"))
        yield (
            f"{kind}, {points:,} points: added in {added:.0f} s, graph built in {built:.0f} s, {size / 2**20:,.0f} MiB "
            f"on disk ({size / points:,.0f} bytes a point; the embeddings alone are {4 * DIMENSION})"
        )
        yield ""
        yield f"{'measure':20}{'direction':10}{'candidates':>11}{'recall':>10}{'p50, ms':>10}{'p95, ms':>9}{'ratio':>9}"
        yield from rows(index, gallery, levels, measures)
        yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[20_000, 200_000], help="sizes of the gallery")
    parser.add_argument("--data", choices=list(DATA), nargs="+", default=list(DATA), help="shapes of the gallery")
    parser.add_argument("--measures", choices=MEASURES, nargs="+", default=MEASURES, help="measures to search by")
    parser.add_argument("--out", type=Path, help="file for the table, beside the terminal")
    parser.add_argument(
        "--folder", type=Path, help="where to build the collections for a while (default: the system's)"
    )
    options = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("qdrant-edge-py", "torch", "numpy"))
    lines = [
        f"{processor()}, {torch.get_num_threads()} threads; {versions}, python {platform.python_version()}",
        f"dimension {DIMENSION}, recall@{K} of {QUERIES} queries against float64; candidates by default: {PREFETCH:,}",
        "ratio: time of comparing every item in float32 (torch, tiles), by that of the search",
        f"published recall of hyperbolic rescoring in Qdrant, on other data: {PUBLISHED:.3f}",
        "",
    ]
    print("\n".join(lines))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text("\n".join(lines) + "\n")
    for points in options.points:
        for kind in options.data:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                for line in run(kind, points, options.measures, Path(folder) / "collection"):
                    tqdm.write(line)
                    if options.out:
                        with options.out.open("a") as file:
                            file.write(line + "\n")


if __name__ == "__main__":
    main()
