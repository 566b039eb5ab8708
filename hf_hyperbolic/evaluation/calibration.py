"""Scores freed of hubs: what an item scores with everybody is taken off what it scores with a query.

An item that is near all queries (or, under an angle, near the origin) tops every ranking. Its mean score over a set of
reference queries says by how much. The reference queries are never the labels under test: they are the gallery's own
items, or queries of the training split. Corrections work in one direction at a time.
"""

from dataclasses import dataclass
from typing import Literal

import torch

Correction = Literal["centred", "zscored", "csls"]
CORRECTIONS: tuple[Correction, ...] = ("centred", "zscored", "csls")


@dataclass(frozen=True)
class GalleryCalibration:
    """What is known of each gallery item: `(score - offset) / scale` is its corrected score.

    Attributes:
        offset: (G,) float.
        scale: (G,) float, positive.
    """

    offset: torch.Tensor
    scale: torch.Tensor

    def apply(self, scores: torch.Tensor) -> torch.Tensor:
        """(Q, G) scores -> (Q, G) corrected scores."""
        return (scores - self.offset) / self.scale


def calibrate(reference_scores: torch.Tensor, correction: Correction, neighbours: int = 10) -> GalleryCalibration:
    """Offset and scale of each gallery item from its scores with reference queries.

    Args:
        reference_scores: (R, G); NaN where a reference query is the item itself, which is left out. An item without
            any score is left as it is.
        correction: `"centred"` takes off the mean; `"zscored"` divides by the standard deviation too; `"csls"` takes
            off half the mean of the `neighbours` best (CSLS of Conneau et al. 2018, "Word translation without
            parallel data", halved and less the query's own term: the ranking is the same). It removes half of an
            item's lead over all queries, where centring removes all of it.
        neighbours: of `"csls"`.

    Raises:
        ValueError: the correction is unknown.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"unknown correction {correction!r}: choose one of {', '.join(CORRECTIONS)}")
    known = ~torch.isnan(reference_scores)
    count = known.sum(0)
    values = torch.where(known, reference_scores, 0.0)
    mean = values.sum(0) / count.clamp(min=1)
    scale = torch.ones_like(mean)
    if correction == "csls":
        best = torch.where(known, reference_scores, -torch.inf).topk(min(neighbours, len(values)), dim=0).values
        found = best > -torch.inf
        mean = torch.where(found, best, 0.0).sum(0) / found.sum(0).clamp(min=1) / 2
    elif correction == "zscored":
        squares = torch.where(known, (reference_scores - mean).square(), 0.0).sum(0) / count.clamp(min=1)
        # an item that scores alike with every reference tells nothing of its spread
        scale = torch.where(squares > 0, squares.sqrt(), 1.0)
    return GalleryCalibration(mean, scale)


def centre(scores: torch.Tensor, reference_scores: torch.Tensor, scale: bool = False) -> torch.Tensor:
    """(Q, G) scores less each item's mean over (R, G) reference scores; with `scale`, divided by its deviation too."""
    return calibrate(reference_scores, "zscored" if scale else "centred").apply(scores)


def csls(scores: torch.Tensor, reference_scores: torch.Tensor, neighbours: int = 10) -> torch.Tensor:
    """(Q, G) scores less half the mean of each item's best `neighbours` reference scores; see `calibrate`."""
    return calibrate(reference_scores, "csls", neighbours).apply(scores)
