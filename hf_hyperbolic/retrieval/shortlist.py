"""Running top-k of items whose keys are known within bounds."""

from collections.abc import Callable

import torch
from torch import Tensor

from hf_hyperbolic.retrieval.keys import HUGE, Key


class Shortlist:
    """Items that may still be among the k best of each query.

    An item whose upper bound lies below k lower bounds is out for good. Where so many items lie within each other's
    bounds that the list would grow beyond `2 k + 1024`, they are scored exactly and the k best stay; a later item is
    then wanted only if it beats the last of those, since ties go to the earlier one. A query that comes to this again
    and again, more than `patience` items in all, is given up as `crowded`.

    Args:
        key: of the queries.
        k: how many are wanted.
        thresholds: (Q,) float64 keys that at least k items are known to reach.
        score: (n,) queries and (n,) positions -> (n,) exact float32 scores.
        patience: items a query that may be scored before the end; infinity for all it takes.
    """

    def __init__(
        self, key: Key, k: int, thresholds: Tensor, score: Callable[[Tensor, Tensor], Tensor], patience: float
    ) -> None:
        self.key = key
        self.k = k
        self.thresholds = key.loosen(thresholds)
        self.score = score
        self.limit = 2 * k + 1024
        self.patience = patience
        self.crowded = torch.zeros(len(thresholds), dtype=torch.bool, device=thresholds.device)
        self._scored = torch.zeros(len(thresholds), dtype=torch.int64, device=thresholds.device)
        self._low = thresholds.new_zeros(len(thresholds), 0)
        self._high = self._low
        self._positions = self._low.long()
        self._pending: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._pending_count = 0

    def give_up(self, crowded: Tensor) -> None:
        """(Q,) flags of queries whose items are not told apart: nothing more is kept for them."""
        self.crowded |= crowded
        self.thresholds = self.thresholds.masked_fill(self.crowded, torch.inf)

    def add(self, rows: Tensor, positions: Tensor, low: Tensor, high: Tensor) -> None:
        """(n,) queries, items, and the bounds of their keys; `rows` increasing, the items behind all before."""
        self._pending.append((rows, positions, low, high))
        self._pending_count += len(rows)
        # merging costs as much as about so many items a query
        if self._pending_count > len(self.thresholds) * max(self.k // 2, 64):
            self.compact()

    def compact(self) -> None:
        """Raise the thresholds by what was added, and drop what lies below them."""
        if not self._pending:
            return
        # each piece has its rows in order, so an item's slot is known without a sort
        filled = torch.zeros(len(self.thresholds), dtype=torch.int64, device=self.thresholds.device)
        pieces = []
        for rows, *_ in self._pending:
            counts = rows.bincount(minlength=len(filled))
            pieces.append(torch.arange(len(rows), device=rows.device) + (filled - counts.cumsum(0) + counts)[rows])
            filled += counts
        slots = torch.cat(pieces)
        rows, positions, low, high = (torch.cat(column) for column in zip(*self._pending, strict=True))
        self._pending, self._pending_count = [], 0

        def append(table: Tensor, values: Tensor, empty: float) -> Tensor:
            new = table.new_full((len(table), int(filled.max())), empty)
            new[rows, slots] = values
            return torch.cat([table, new], dim=1)

        low = append(self._low, low, -torch.inf)
        high = append(self._high, high, -torch.inf)
        positions = append(self._positions, positions, -1)
        if low.shape[1] >= self.k:
            kth = low.topk(self.k, dim=1).values[:, -1]
            self.thresholds = torch.maximum(self.thresholds, self.key.loosen(kth.clamp(min=-HUGE)))
        high = high.masked_fill(high < self.thresholds[:, None], -torch.inf)
        counts = (high > -torch.inf).sum(1)
        full = counts > self.limit
        if full.any():
            self._scored += counts.masked_fill(~full, 0)
            self.give_up(full & (self._scored > self.patience))
            high = self._trimmed((full & ~self.crowded).nonzero().flatten(), positions, high)
            high = high.masked_fill(self.crowded[:, None], -torch.inf)
            counts = (high > -torch.inf).sum(1)
        self._high, kept = high.topk(int(counts.max()), dim=1)
        self._low, self._positions = low.gather(1, kept), positions.gather(1, kept)

    def _trimmed(self, full: Tensor, positions: Tensor, high: Tensor) -> Tensor:
        """Upper bounds after scoring what the (m,) queries `full` hold: infinity for the k best, nothing for others."""
        if not len(full):
            return high
        positions, order = positions[full].sort(dim=1)
        rows, slots = (high[full].gather(1, order) > -torch.inf).nonzero(as_tuple=True)
        scores = torch.full(positions.shape, -torch.inf, dtype=torch.float32, device=high.device)
        scores[rows, slots] = self.score(full[rows], positions[rows, slots])
        best = scores.sort(dim=1, descending=True, stable=True)
        kth = torch.full((len(high),), -torch.inf, dtype=torch.float32, device=high.device)
        kth[full] = best.values[:, self.k - 1]
        reached = torch.full_like(self.thresholds, -torch.inf)
        reached[full] = self.key.beyond(kth)[full]
        self.thresholds = torch.maximum(self.thresholds, reached)
        bounds = torch.full_like(high[full], -torch.inf)
        bounds.scatter_(1, order.gather(1, best.indices[:, : self.k]), torch.inf)
        high = high.clone()
        high[full] = bounds
        return high

    def items(self) -> tuple[Tensor, Tensor]:
        """(Q, W) positions of all that may be among the k best of a query that is not crowded, increasing, and which of
        them are items."""
        self.compact()
        positions, order = self._positions.sort(dim=1)
        return positions, self._high.gather(1, order) > -torch.inf
