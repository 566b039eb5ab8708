"""How tree-like a metric is: Gromov's four-point delta.

A tree has delta 0. In a space of curvature -c it is bounded whatever the diameter, in a flat space it grows with the
diameter, so it is reported relative to it: `2 delta / diameter` lies in [0, 1] (Khrulkov et al. 2020, "Hyperbolic image
embeddings").
"""

import numpy as np


def gromov_delta(distances: np.ndarray, base: int = 0) -> float:
    """Delta of a metric seen from one base point.

    The largest `min((x|z), (z|y)) - (x|y)` over all x, y, z, with the Gromov product
    `(x|y) = (d(x, b) + d(y, b) - d(x, y)) / 2` at the base b (Fournier et al. 2015). Another base changes it by
    a factor of 2 at most. Takes n^3 steps and n^2 memory.

    Args:
        distances: (n, n) symmetric, zero diagonal.
        base: the base point.

    Returns:
        Delta, at least 0, in the unit of the distances.

    Raises:
        ValueError: distances are not square, hold NaN or infinity, or are not symmetric.
    """
    d = np.asarray(distances, dtype=np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or not len(d):
        raise ValueError(f"distances must be a square matrix, got shape {d.shape}")
    if not np.isfinite(d).all() or not np.allclose(d, d.T, rtol=1e-6, atol=1e-9):
        raise ValueError("distances must be finite and symmetric")
    product = (d[base][:, None] + d[base][None, :] - d) / 2
    largest = 0.0
    for row in range(len(d)):
        # over z: min((x|z), (z|y)) for the x of this row and every y
        best = np.minimum(product[row][:, None], product).max(axis=0)
        largest = max(largest, float((best - product[row]).max()))
    return largest


def relative_delta(distances: np.ndarray, base: int = 0) -> float:
    """`2 delta / diameter`, in [0, 1]: 0 for a tree. 0 as well where all points are one."""
    diameter = float(np.max(distances))
    return 2 * gromov_delta(distances, base) / diameter if diameter > 0 else 0.0
