"""InfoNCE between two sets of which one entails the other, words and images: by angle at the parent and by cosine."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.losses.info_nce import multi_positive_info_nce


def entailment_contrast(
    parents: Tensor,
    children: Tensor,
    positives: Tensor,
    curvature: Tensor | float,
    temperature: Tensor | float,
    geometry: str,
    similarity_weight: float,
    similarity_temperature: Tensor | float,
) -> tuple[Tensor, Tensor]:
    """The loss from (P, D) parents to (C, D) children, and from children to parents, (P, C) bool being positive.

    Raises:
        ValueError: an unknown geometry.
    """
    if geometry not in ("lorentz", "euclidean"):
        raise ValueError(f"geometry must be 'lorentz' or 'euclidean', got {geometry!r}")
    space = lorentz if geometry == "lorentz" else euclidean
    angle = (math.pi - space.pairwise_exterior_angle(parents, children, curvature)) / temperature
    down, up = _directions(angle, positives)
    if similarity_weight:
        cosine = F.normalize(parents.float(), dim=-1) @ F.normalize(children.float(), dim=-1).T
        more_down, more_up = _directions(cosine / similarity_temperature, positives)
        down, up = down + similarity_weight * more_down, up + similarity_weight * more_up
    return down, up


def _directions(logits: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    every = torch.ones_like(positives)
    return multi_positive_info_nce(logits, positives, every), multi_positive_info_nce(logits.T, positives.T, every.T)
