"""Depth against radius: do embeddings lie the further out the deeper their box lies in the tree?

Spearman's rank correlation of a node's depth and its distance from the origin. Unlike the radial order it sets nodes of
different images and branches against each other: it asks for one scale of depth.
"""

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.bootstrap import multiplicities
from hf_hyperbolic.evaluation.figures import Figure, figure


def weighted_spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Spearman's correlation where observation n stands `weights[n]` times; tied values share their mean rank.

    Args:
        x: (N,) numbers, or their `np.unique` inverse: only the order counts.
        y: (N,) likewise.
        weights: (N,) at least 0.

    Returns:
        In [-1, 1]; NaN where either is constant.
    """
    total = weights.sum()
    ranks = []
    for values in (x, y):
        place = values if values.dtype.kind == "i" else np.unique(values, return_inverse=True)[1]
        held = np.bincount(place, weights=weights)
        # the mean rank of a run of ties is half its length before its end
        rank = (np.cumsum(held) - held / 2)[place]
        ranks.append(rank - (weights @ rank) / total)
    norm = np.sqrt((weights @ ranks[0] ** 2) * (weights @ ranks[1] ** 2))
    return float(weights @ (ranks[0] * ranks[1]) / norm) if norm > 1e-9 else float("nan")


def most_from_ties(depth: np.ndarray) -> float:
    """The largest Spearman correlation that radii without ties reach with depths that have them.

    `sqrt(1 - sum(t^3 - t) / (N^3 - N))` over the t nodes of each depth; NaN where there is one depth only.
    """
    counts = np.unique(depth, return_counts=True)[1].astype(np.float64)
    n = counts.sum()
    return float(np.sqrt(1 - (counts**3 - counts).sum() / (n**3 - n))) if len(counts) > 1 else float("nan")


def depth_correlation(
    radii: np.ndarray,
    hierarchy: Hierarchy,
    boxes_only: bool = False,
    max_images: int = 2000,
    resamples: int = 500,
    seed: int = 0,
) -> Figure:
    """Spearman's correlation of depth and radius over the nodes that take part.

    Args:
        radii: (N,) distances from the origin, or anything that grows with them.
        hierarchy: the split; depth is its `level`, the longest path from the scene.
        boxes_only: leave the scenes out, which are easy to tell.
        max_images: images, drawn by `seed` where there are more.
        resamples: of the bootstrap over images.
        seed: of the draw and the bootstrap.

    Returns:
        A figure in [-1, 1] with its 95 % interval over images, chance 0, and the ceiling that ties in depth leave.
    """
    nodes = np.flatnonzero(hierarchy.active())
    if boxes_only:
        nodes = nodes[nodes >= hierarchy.num_images]
    if hierarchy.num_images > max_images:
        drawn = np.random.default_rng(seed).permutation(hierarchy.num_images)[:max_images]
        nodes = nodes[np.isin(hierarchy.node_image[nodes], drawn)]
    if len(nodes) < 3:
        return figure(None, chance=0.0)
    depth = np.unique(hierarchy.level[nodes], return_inverse=True)[1]
    order = np.unique(radii[nodes], return_inverse=True)[1]
    images, image = np.unique(hierarchy.node_image[nodes], return_inverse=True)
    value = weighted_spearman(depth, order, np.ones(len(nodes)))
    if np.isnan(value):
        return figure(None, chance=0.0)
    drawn_values = [
        weighted_spearman(depth, order, times[image])
        for block in multiplicities(len(images), resamples, np.random.default_rng(seed))
        for times in block
    ]
    defined = np.array(drawn_values)[~np.isnan(drawn_values)]
    low, high = np.quantile(defined, (0.025, 0.975)) if len(defined) else (None, None)
    return figure(value, low, high, 0.0, most_from_ties(depth))
