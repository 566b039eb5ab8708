"""Hubs and cones: does one gallery item serve everybody, do all embeddings point one way?

k-occurrence N_k(g) is the number of queries that have item g in their top k (Radovanović et al. 2010, "Hubs in space").
Reported are its largest value as a share of the queries and its skewness, and apart from both the mean cosine between
embeddings: near 1 they have collapsed into a cone.
"""

import numpy as np
import torch

from hf_hyperbolic.evaluation.figures import Figure, figure
from hf_hyperbolic.evaluation.nodes import Direction, NodeScorer
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_tiles
from hf_hyperbolic.evaluation.ranking import top_k
from hf_hyperbolic.evaluation.threads import cache_blocks, spread


def occurrences(
    scorer: NodeScorer,
    queries: np.ndarray,
    gallery: np.ndarray,
    direction: Direction,
    k: int = 10,
    processes: Processes = ALONE,
) -> np.ndarray:
    """(G,) int64: how many queries have each gallery item in their top k. A node is never retrieved for itself."""

    def of_tile(rows: slice) -> np.ndarray:
        tile = scorer(queries[rows], gallery, direction)

        def of_block(block: slice) -> np.ndarray:
            scores = tile[block]
            itself = torch.from_numpy(queries[rows][block][:, None] == gallery).to(scores.device)
            if itself.any():
                scores = scores.masked_fill(itself, -torch.inf)
            order = top_k(scores, k)
            return order[scores.gather(1, order) > -torch.inf].cpu().numpy()

        return np.concatenate(spread(of_block, cache_blocks(tile)))

    retrieved = map_tiles(of_tile, len(queries), len(gallery), processes, "hubness")
    return np.bincount(np.concatenate(retrieved) if retrieved else [], minlength=len(gallery))


def largest_share(counts: np.ndarray, queries: int) -> float:
    """Share of the queries that the busiest item serves, in [0, 1]."""
    return float(counts.max(initial=0) / max(queries, 1))


def skewness(counts: np.ndarray) -> float:
    """Third standardised moment of the k-occurrences; 0 when all are equal."""
    centred = counts - counts.mean()
    deviation = np.sqrt((centred**2).mean())
    return float((centred**3).mean() / deviation**3) if deviation > 0 else 0.0


def hubness_figures(counts: np.ndarray, queries: int, k: int = 10, seed: int = 0) -> dict[str, Figure]:
    """`largest_share` and `skewness` with their chance and ceiling (the best possible); lower is better.

    Chance: items of random rankings are in a query's top k with probability k / G, so that N_k is binomial; the
    largest share is the simulated mean of the largest of G such draws, the skewness that of the binomial. Best
    possible: every item serves as many queries as every other.
    """
    gallery = len(counts)
    cut = min(k, gallery)
    p = cut / gallery
    rng = np.random.default_rng(seed)
    largest = np.array([rng.binomial(queries, p, size=gallery).max() for _ in range(200)])
    variance = queries * p * (1 - p)
    skew = (1 - 2 * p) / np.sqrt(variance) if variance > 0 else 0.0
    even = int(np.ceil(queries * p)) / max(queries, 1)
    return {
        "largest_share": figure(
            largest_share(counts, queries), chance=float(largest.mean() / max(queries, 1)), ceiling=even
        ),
        "skewness": figure(skewness(counts), chance=float(skew), ceiling=0.0),
    }


def mean_cosine(embeds: torch.Tensor) -> float:
    """Mean cosine over all pairs of different embeddings, exactly, without the N x N matrix.

    Args:
        embeds: (N, D); a zero vector counts as cosine 0 to all.

    Returns:
        In [-1, 1]; NaN for fewer than two embeddings.
    """
    count = len(embeds)
    if count < 2:
        return float("nan")
    vectors = embeds.double()
    norms = vectors.norm(dim=1, keepdim=True)
    units = vectors / torch.where(norms > 0, norms, 1.0)
    # sum over pairs i != j of u_i . u_j = |sum u|^2 - sum |u|^2
    return float((units.sum(0).square().sum() - units.square().sum()) / (count * (count - 1)))
