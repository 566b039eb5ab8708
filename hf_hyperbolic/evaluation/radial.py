"""Radial order: is the parent nearer the origin than the child?

The norm of the space components grows with the hyperbolic radius at any curvature, so the order needs no curvature.
"""

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.bootstrap import image_pseudo_values
from hf_hyperbolic.evaluation.nodes import active_ancestry


def radial_order(norms: np.ndarray, hierarchy: Hierarchy) -> dict[str, np.ndarray]:
    """Share of ancestry pairs whose ancestor has the smaller norm (equal norms count half), as per-image values.

    Args:
        norms: (N,) norms of the embeddings.
        hierarchy: the split.

    Returns:
        `all`, and `boxes` without the scenes: (I,) float64 whose mean over images with a pair is the share; NaN for
        images without one.
    """
    pairs = active_ancestry(hierarchy)
    values = {}
    for name, chosen in (("all", pairs), ("boxes", pairs[pairs[:, 0] >= hierarchy.num_images])):
        if not len(chosen):
            values[name] = np.full(hierarchy.num_images, np.nan)
            continue
        ancestor, descendant = norms[chosen[:, 0]], norms[chosen[:, 1]]
        nearer = (ancestor < descendant) + 0.5 * (ancestor == descendant)
        share = float(nearer.mean())
        influence = (nearer - share) / len(nearer)
        images = hierarchy.node_image[chosen[:, 0]]
        values[name] = image_pseudo_values(share, influence, images, hierarchy.num_images)
    return values


def mean_norm_by_level(norms: np.ndarray, hierarchy: Hierarchy) -> list[float | None]:
    """Mean norm of the nodes at depth 0 (the scene), 1, 2, ...; None for a depth without a node."""
    active = hierarchy.active()
    level, norm = hierarchy.level[active], norms[active]
    counts = np.bincount(level)
    sums = np.bincount(level, weights=norm)
    return [float(total / count) if count else None for total, count in zip(sums, counts, strict=True)]
