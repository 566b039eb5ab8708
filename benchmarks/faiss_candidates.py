"""FAISS as the engine that finds candidates, in place of Qdrant: recall and time of the same vectors and requests.

    python benchmarks/faiss_candidates.py --points 200000

Candidates come from an HNSW or an IVF index over the vectors that `QdrantIndex` stores (inner product), and are scored
exactly here. What a Qdrant collection has beside: filters, payloads, adding while searching, a server.
"""

import argparse
import importlib.metadata
import time
from typing import Any

import faiss
import numpy as np
import torch
from machine import processor
from qdrant import DIMENSION, QUERIES, K, best, tree

from hf_hyperbolic.retrieval import scores
from hf_hyperbolic.retrieval.qdrant_requests import candidates, place

ASKED = (("beta", "children"), ("beta", "parents"), ("alpha", "parents"))
PROBES = 32
TRAINED_ON = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000, help="size of the gallery")
    parser.add_argument("--prefetch", type=int, nargs="+", default=[200, 1000], help="candidates")
    options = parser.parse_args()
    print(
        f"{processor()}, {torch.get_num_threads()} threads; faiss {importlib.metadata.version('faiss-cpu')}; "
        f"{options.points:,} points of a tree, dimension {DIMENSION}, recall@{K} of {QUERIES} queries against float64"
    )
    gallery, levels = tree(options.points)
    vectors = place(gallery, 1.0).vectors()
    rng = np.random.default_rng(1)
    for kind in ("HNSW16,Flat", f"IVF{int(4 * options.points**0.5)},Flat"):
        started = time.perf_counter()
        index: Any = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:TRAINED_ON])
        index.add(vectors)
        print(f"{kind}: built in {time.perf_counter() - started:.1f} s")
        for measure, direction in ASKED:
            level = 0 if direction == "children" else 2
            own = rng.choice(np.flatnonzero(levels == level), QUERIES, replace=False)
            truth = best(gallery[own], own, gallery, measure, direction, torch.float64)
            asked = candidates(place(gallery[own], 1.0), measure, direction)
            for prefetch in options.prefetch:
                if kind.startswith("HNSW"):
                    index.hnsw.efSearch = prefetch
                else:
                    index.nprobe = PROBES
                hits, seconds = 0, []
                for row, query in enumerate(own):
                    started = time.perf_counter()
                    _, found = index.search(asked[row], prefetch // len(asked[row]))
                    found = np.setdiff1d(found, [-1, query])
                    apart = torch.from_numpy(gallery[[query]]), torch.from_numpy(gallery[found])
                    exact = scores(*apart, measure, direction, 1.0)
                    chosen = found[exact[0].topk(min(K, len(found))).indices.numpy()]
                    seconds.append(time.perf_counter() - started)
                    hits += len(np.intersect1d(chosen, truth[row]))
                print(
                    f"  {measure:6}{direction:10}{prefetch:>6} candidates  recall {hits / (K * QUERIES):.3f}  "
                    f"p50 {1000 * np.median(seconds):.1f} ms"
                )


if __name__ == "__main__":
    main()
