"""Class prototypes: the mean of a class's embeddings in the space of the measure that will compare with it."""

import torch
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval.measures import MEASURES

_TINY = 1e-12


def class_prototypes(
    embeds: Tensor, labels: Tensor, num_classes: int, measure: str, curvature: float | None = None
) -> Tensor:
    """One point a class.

    - `cosine`: the sum of unit vectors, of length 1: the mean direction.
    - `euclidean_alpha`, `euclidean_beta`, `euclidean_combined`: the mean vector.
    - `alpha`, `beta`, `combined`, `distance`: the Lorentz centroid, the mean in the ambient space brought back to the
      hyperboloid along its ray (Law, Liao, Snell & Zemel 2019). In the Klein model it is the Einstein midpoint, the
      mean weighted by Lorentz factors. It lies nearer the origin than what it is the mean of, as a whole should.

    Args:
        embeds: (n, D) embeddings; for a hyperbolic measure, space components.
        labels: (n,) int64, class of each.
        num_classes: C; each class needs at least one embedding.
        measure: one of `MEASURES`.
        curvature: c > 0 of the space of curvature -c, for a hyperbolic measure.

    Returns:
        (C, D) float32 prototypes (float64 for float64 embeddings), points of the same space.

    Raises:
        ValueError: an unknown measure, a class without an embedding, or a hyperbolic measure without curvature.
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: choose one of {', '.join(MEASURES)}")
    counts = torch.bincount(labels, minlength=num_classes)
    if len(counts) != num_classes or not counts.all():
        raise ValueError("every class needs at least one embedding, and labels must lie below num_classes")
    # sums of many long vectors: float32 would lose what tells neighbours apart
    vectors = embeds.double()
    if measure == "cosine":
        units = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=_TINY)
        mean = _class_means(units, labels, counts)
        return (mean / mean.norm(dim=1, keepdim=True).clamp(min=_TINY)).to(embeds.dtype)
    if measure.startswith("euclidean"):
        return _class_means(vectors, labels, counts).to(embeds.dtype)
    if curvature is None or not curvature > 0:
        raise ValueError(f"measure {measure!r} is hyperbolic: pass the curvature c > 0, got {curvature}")
    space = _class_means(vectors, labels, counts)
    time = _class_means(lorentz.time_component(vectors, curvature)[:, None], labels, counts)
    # c (time^2 - |space|^2) is at least 1, by the reversed Cauchy-Schwarz inequality of timelike vectors
    length = (curvature * (time.square() - space.square().sum(1, keepdim=True))).clamp(min=_TINY).sqrt()
    return (space / length).to(embeds.dtype)


def _class_means(vectors: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    sums = vectors.new_zeros(len(counts), vectors.shape[1]).index_add_(0, labels, vectors)
    return sums / counts[:, None]
