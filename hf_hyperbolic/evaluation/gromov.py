"""How tree-like a metric is: Gromov's four-point delta.

A tree has delta 0. In a space of curvature -c it is bounded whatever the diameter, in a flat space it grows with the
diameter, so it is reported relative to it: `2 delta / diameter` lies in [0, 1] (Khrulkov et al. 2020, "Hyperbolic image
embeddings").
"""

from typing import Any

import numpy as np
import torch

from hf_hyperbolic.lorentz import pairwise_distance


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


def delta_beside_random(
    embeds: np.ndarray, curvature: float | None, points: int = 200, draws: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Relative delta of embeddings, beside that of points as far from the origin in random directions.

    A small delta alone shows no hierarchy. In many dimensions random directions stand at right angles to each other, so
    that points in random directions make a star, itself a tree; and far out in hyperbolic space any points do.

    Args:
        embeds: (N, D) embeddings.
        curvature: c > 0 measures hyperbolic distances at curvature -c; None or 0 Euclidean ones.
        points: in a draw, at most.
        draws: of points; one where all points are drawn.
        seed: of the draws and the directions.

    Returns:
        `value`, the mean over draws, with `smallest` and `largest`; `random_directions`, the mean under random
        directions; `points`, `draws`, and `metric`, `"hyperbolic"` or `"euclidean"`. A tree has 0. Values are None for
        fewer than four points, which have delta 0 in any metric.
    """
    vectors = np.asarray(embeds, dtype=np.float64)
    rng = np.random.default_rng(seed)
    points, draws = min(points, len(vectors)), draws if len(vectors) > points else 1
    about = {"points": points, "draws": draws, "metric": "hyperbolic" if curvature else "euclidean"}
    if points < 4:
        return dict.fromkeys(("value", "smallest", "largest", "random_directions")) | about
    found, random = [], []
    for _ in range(draws):
        chosen = vectors[rng.choice(len(vectors), points, replace=False)]
        directions = rng.normal(size=chosen.shape)
        directions *= np.linalg.norm(chosen, axis=1, keepdims=True) / np.linalg.norm(directions, axis=1, keepdims=True)
        found.append(relative_delta(_distances(chosen, curvature)))
        random.append(relative_delta(_distances(directions, curvature)))
    return {
        "value": float(np.mean(found)),
        "smallest": float(np.min(found)),
        "largest": float(np.max(found)),
        "random_directions": float(np.mean(random)),
    } | about


def _distances(vectors: np.ndarray, curvature: float | None) -> np.ndarray:
    points = torch.from_numpy(vectors)
    distances = pairwise_distance(points, points, curvature) if curvature else torch.cdist(points, points)
    found: np.ndarray = distances.numpy()
    found = (found + found.T) / 2
    np.fill_diagonal(found, 0.0)
    return found
