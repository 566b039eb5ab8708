"""How far embeddings computed elsewhere are from those of the model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hf_hyperbolic.retrieval.search import search

NEIGHBOURS = 10


@dataclass(frozen=True)
class Agreement:
    """
    Attributes:
        count: embeddings compared.
        largest_difference: of two components, over the larger of 1 and the largest component of that embedding:
            far out float32 holds no more than seven digits of a component.
        mean_cosine: mean cosine similarity of an embedding and its counterpart.
        least_cosine: the smallest.
        kept: by direction, share of an item's ten best among all others that are its ten best by the other
            embeddings too; None where there were too few.
    """

    count: int
    largest_difference: float
    mean_cosine: float
    least_cosine: float
    kept: dict[str, float] | None = None

    def __str__(self) -> str:
        text = (
            f"{self.count:,} embeddings: largest difference {self.largest_difference:.2g}, cosine "
            f"{self.mean_cosine:.6f} in the mean, {self.least_cosine:.6f} at least"
        )
        for direction, share in (self.kept or {}).items():
            text += f"; {100 * share:.1f} % of the top-{NEIGHBOURS} {direction} kept"
        return text


def compare(
    ours: np.ndarray,
    theirs: np.ndarray,
    measures: Mapping[str, str] | None = None,
    curvature: float | None = None,
) -> Agreement:
    """Compares embeddings of the same images.

    Args:
        ours: (n, D) of the model.
        theirs: (n, D).
        measures: by direction, to compare neighbours as well; None for embeddings alone.
        curvature: c > 0 where a measure is hyperbolic.

    Raises:
        ValueError: shapes differ, there is nothing to compare, or `theirs` is not finite.
    """
    if ours.shape != theirs.shape or not len(ours):
        raise ValueError(f"embeddings of shape {theirs.shape} cannot be compared with {ours.shape}")
    if not np.isfinite(theirs).all():
        raise ValueError(f"{(~np.isfinite(theirs)).any(axis=1).sum()} of {len(theirs)} embeddings are NaN or infinite")
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    differences = np.abs(a - b).max(axis=1) / np.maximum(1.0, np.abs(a).max(axis=1))
    cosines = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)
    kept = None
    if measures is not None and len(ours) > NEIGHBOURS + 1:
        kept = {
            direction: float(np.mean(_shared(*(_neighbours(x, measure, direction, curvature) for x in (ours, theirs)))))
            for direction, measure in measures.items()
        }
    return Agreement(len(ours), float(differences.max()), float(cosines.mean()), float(cosines.min()), kept)


def _neighbours(embeds: np.ndarray, measure: str, direction: str, curvature: float | None) -> np.ndarray:
    """(n, 10) rows of every item's best among the others."""
    rows = torch.from_numpy(np.ascontiguousarray(embeds, dtype=np.float32))
    found = search(rows, rows, NEIGHBOURS + 1, measure, direction, curvature).indices.numpy()
    others = found != np.arange(len(found))[:, None]
    # an item need not be among its own best: then the last is one too many
    others[others.all(axis=1), -1] = False
    return found[others].reshape(len(found), NEIGHBOURS)


def _shared(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(n,) share of a row of `ours` that is in the same row of `theirs`."""
    return (ours[:, :, None] == theirs[:, None, :]).any(axis=2).mean(axis=1)
