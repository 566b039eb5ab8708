"""Figures of one query's ranking of its whole gallery, from the labels in that order and the ranks of what is relevant.

A gallery of 300,000 boxes is put in order for each query, so this is what an evaluation spends its time on. Average
precision and the precision-recall curve ask for nothing but the ranks of the relevant items, Recall@k and OT@k for
nothing but a count of labels at each cut. Ties go to the lower gallery index; an item of score `-inf` is excluded.
"""

from collections.abc import Sequence

import numpy as np
import torch


def descending_order(scores: torch.Tensor) -> np.ndarray:
    """Gallery indices of one query, best first, ties to the lower index, without the excluded items.

    On the CPU scores are sorted as the integers that their bits are, which is done by radix and about ten times as fast
    as a stable sort of floating-point numbers.

    Args:
        scores: (G,) without NaN, `-inf` for excluded items.

    Returns:
        (n,) int64, n <= G.
    """
    kept = None
    if scores.numel() and scores.min() == -torch.inf:
        kept = (scores > -torch.inf).nonzero().flatten()
        scores = scores[kept]
    if scores.device.type == "cpu":
        order = torch.sort(_ascending_keys(scores), stable=True).indices
    else:
        order = torch.sort(scores, descending=True, stable=True).indices
    return (order if kept is None else kept[order]).cpu().numpy()


def label_counts(labels: np.ndarray, cuts: Sequence[int], classes: int) -> np.ndarray:
    """How often each label stands among the first of a ranking.

    Args:
        labels: (n,) int in [0, C), best first.
        cuts: (K,) in any order; a cut beyond n counts all.
        classes: C.

    Returns:
        (K, C) int64.
    """
    counts = np.zeros((len(cuts), classes), dtype=np.int64)
    running, done = np.zeros(classes, dtype=np.int64), 0
    for place in np.argsort(cuts):
        cut = max(done, min(int(cuts[place]), len(labels)))
        running += np.bincount(labels[done:cut], minlength=classes)
        counts[place], done = running, cut
    return counts


def average_precision(ranks: np.ndarray) -> float:
    """Mean over the relevant items of the precision at their rank.

    Args:
        ranks: (R,) int64, ranks of the relevant items from 1, ascending.

    Returns:
        In (0, 1]; NaN without a relevant item.
    """
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else float("nan")


def precision_at_recall(ranks: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Interpolated precision: the best precision at any recall of at least the level (Manning et al. 2008, 8.4).

    Args:
        ranks: (R,) int64, ranks of the relevant items from 1, ascending.
        levels: (L,) recall levels in [0, 1].

    Returns:
        (L,) float64; NaN without a relevant item.

    Raises:
        ValueError: a level lies outside [0, 1].
    """
    if not all(0 <= level <= 1 for level in levels):
        raise ValueError(f"recall levels must lie in [0, 1], got {list(levels)}")
    found = len(ranks)
    if not found or not len(levels):
        return np.full(len(levels), np.nan)
    # the margin keeps 3 of 10 at level 0.3, whatever the last bit of 0.1 * 3
    needed = np.maximum(np.ceil(np.asarray(levels) * found - 1e-9).astype(np.int64), 1)
    # precision is at its best where a relevant item has just come
    starts, place = np.unique(needed - 1, return_inverse=True)
    best_between = np.maximum.reduceat(np.arange(1, found + 1) / ranks, starts)
    return np.maximum.accumulate(best_between[::-1])[::-1][place]


def _ascending_keys(scores: torch.Tensor) -> torch.Tensor:
    """Signed integers in the opposite order of (n,) floating-point scores, equal where scores are equal."""
    if scores.dtype not in (torch.float32, torch.float64):
        scores = scores.float()
    integer = torch.int64 if scores.dtype == torch.float64 else torch.int32
    # adding zero makes one zero of the two; bits of negative numbers ascend as the numbers descend
    bits = (scores + 0.0).view(integer)
    return ~(bits ^ ((bits >> (8 * bits.element_size() - 1)) & torch.iinfo(integer).max))
