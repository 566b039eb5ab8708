"""The best few items of each query, cut-offs, and the precision at them; for the whole ranking see `full_ranking`.

Everything works on a tile of queries, so that a (Q, G) matrix of a large set need never be held. Ties go to the lower
gallery index, so a figure does not depend on a sorting routine's whims. An item of score `-inf` is excluded: it is
never retrieved, never relevant, and not counted in the gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hf_hyperbolic.evaluation.full_ranking import descending_order

K = int | float


@dataclass(frozen=True)
class Ranking:
    """The best `depth` items of each query, best first.

    Attributes:
        order: (Q, depth) int64, gallery indices; excluded items come last, in no particular order.
        relevant: (Q, depth) bool, relevance in that order.
        hits: (Q, depth) int64, relevant items among the first 1, 2, ... of the ranking.
        total: (Q,) int64, relevant items in the whole gallery of a query.
        eligible: (Q,) int64, items in the gallery of a query, excluded ones not counted.
    """

    order: torch.Tensor
    relevant: torch.Tensor
    hits: torch.Tensor
    total: torch.Tensor
    eligible: torch.Tensor


def top_k(scores: torch.Tensor, k: int) -> torch.Tensor:
    """The k best items of each row, best first, ties to the lower index.

    Args:
        scores: (Q, G), larger is better, `-inf` for excluded items.
        k: at least 1; more than G means G.

    Returns:
        (Q, min(k, G)) int64.

    Raises:
        ValueError: a score is NaN, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    refuse_nan(scores)
    gallery = scores.shape[1]
    if k >= gallery:
        return torch.sort(scores, dim=1, descending=True, stable=True).indices
    # one item more than asked for shows whether a tie straddles the cut; only then does a row need to be sorted whole
    values, order = torch.topk(scores, k + 1, dim=1)
    equal = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)
    order = order[:, :k]
    tied = equal.any(dim=1).nonzero().flatten()
    if len(tied):
        by_index = order[tied].sort(dim=1).values
        best_first = scores[tied[:, None], by_index].sort(dim=1, descending=True, stable=True).indices
        order[tied] = by_index.gather(1, best_first)
    for row in equal[:, -1].nonzero().flatten().tolist():
        order[row] = torch.from_numpy(descending_order(scores[row])[:k]).to(order.device)
    return order


def refuse_nan(scores: torch.Tensor) -> None:
    """Raises ValueError, naming rows of the (Q, G) scores, where one is NaN."""
    # the largest of a row is NaN where any is, and no matrix of flags is made
    rows = torch.isnan(scores.amax(dim=1)).nonzero().flatten()[:5].tolist() if scores.numel() else []
    if rows:
        raise ValueError(f"scores are NaN, first in rows {rows}: NaN cannot be ranked")


def rank(scores: torch.Tensor, relevance: torch.Tensor, depth: int | None = None) -> Ranking:
    """Ranks the gallery for each query.

    Args:
        scores: (Q, G), larger is better, `-inf` for excluded items.
        relevance: (Q, G) bool.
        depth: how many items of the ranking are wanted; all when None.

    Raises:
        ValueError: shapes differ, or a score is NaN.
    """
    if scores.shape != relevance.shape or scores.ndim != 2:
        raise ValueError(f"scores {tuple(scores.shape)} and relevance {tuple(relevance.shape)} must both be (Q, G)")
    allowed = scores > -torch.inf
    relevance = relevance & allowed
    order = top_k(scores, scores.shape[1] if depth is None else depth)
    relevant = relevance.gather(1, order)
    return Ranking(order, relevant, relevant.cumsum(1), relevance.sum(1), allowed.sum(1))


def rank_leaving_out(
    scores: torch.Tensor, relevance: torch.Tensor, left_out: Sequence[torch.Tensor], depth: int
) -> list[Ranking]:
    """Rankings of one tile under several choices of what to leave out, from a single selection of the best.

    Args:
        scores: (Q, G), larger is better.
        relevance: (Q, G) bool.
        left_out: masks (Q, G) bool of items to exclude, few a row.
        depth: how many items of each ranking are wanted.

    Returns:
        For each mask what `rank` returns with the masked scores at `-inf`.
    """
    most = max(int(mask.sum(1).max()) for mask in left_out)
    best = top_k(scores, depth + most)
    rankings = []
    for mask in left_out:
        allowed = (scores > -torch.inf) & ~mask
        kept_first = mask.gather(1, best).byte().sort(dim=1, stable=True).indices[:, :depth]
        order = best.gather(1, kept_first)
        counted = relevance & allowed
        relevant = counted.gather(1, order)
        rankings.append(Ranking(order, relevant, relevant.cumsum(1), counted.sum(1), allowed.sum(1)))
    return rankings


def resolve_k(k: K, gallery: int) -> int:
    """A cut-off as a number of items: an int is taken as it is, a float in (0, 1] as a share; clamped to the gallery.

    Raises:
        ValueError: an int below 1 or a share outside (0, 1].
    """
    if isinstance(k, bool) or not isinstance(k, int | float | np.integer | np.floating):
        raise ValueError(f"a cut-off is an int (items) or a float in (0, 1] (share of the gallery), got {k!r}")
    if isinstance(k, float | np.floating):
        if not 0 < k <= 1:
            raise ValueError(f"a cut-off given as a share must lie in (0, 1], got {k}; write items as an int")
        return max(1, min(gallery, round(float(k) * gallery)))
    if k < 1:
        raise ValueError(f"a cut-off must be at least 1, got {k}")
    return min(int(k), gallery)


def k_name(k: K) -> str:
    """`10` for ten items, `50%` for half the gallery: the part of a figure's name after `@`."""
    return f"{100 * k:g}%" if isinstance(k, float | np.floating) else str(k)


def named_cuts(ks: Sequence[K]) -> dict[str, K]:
    """Cut-offs by the name that their figures have after `@`; each once.

    Raises:
        ValueError: two that differ would have one name, as 0.3333331 and 0.3333332.
    """
    named: dict[str, K] = {}
    for k in ks:
        k = float(k) if isinstance(k, float | np.floating) else int(k)
        if named.setdefault(k_name(k), k) != k:
            raise ValueError(f"the cut-offs {named[k_name(k)]} and {k} would both be called {k_name(k)}: drop one")
    return named


def precision_at(ranking: Ranking, k: int) -> torch.Tensor:
    """Share of the first k that is relevant, (Q,) float64.

    A query whose gallery holds fewer than k items is judged on all of them; NaN when it holds none.
    """
    used = ranking.eligible.clamp(max=min(k, ranking.hits.shape[1]))
    hits = ranking.hits.gather(1, (used - 1).clamp(min=0)[:, None]).squeeze(1)
    return hits.double() / used.double()


def expected_average_precision(relevant: np.ndarray, gallery: np.ndarray | int) -> np.ndarray:
    """Average precision that a random ranking is expected to reach.

    `(H_G + (R - 1) (G - H_G) / (G - 1)) / G` for R relevant of G items, H_G the harmonic number.

    Args:
        relevant: (Q,) R, at least 1.
        gallery: G, for all queries or for each.

    Returns:
        (Q,) float64.
    """
    size = np.broadcast_to(np.asarray(gallery, dtype=np.int64), np.shape(relevant))
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, max(1, size.max(initial=1)) + 1))])[size]
    return (harmonic + (relevant - 1) * (size - harmonic) / np.maximum(size - 1, 1)) / size
