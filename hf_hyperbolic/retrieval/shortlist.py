"""Running top-k of items whose keys are known within bounds."""

import torch
from torch import Tensor

from hf_hyperbolic.retrieval.keys import HUGE, Key


class Shortlist:
    """Items that may still be among the k best of each query.

    An item whose upper bound lies below k lower bounds is out for good. Where so many items lie within each other's
    bounds that the list would grow beyond `2 k + 1024`, the query is given up as `crowded`.

    Args:
        key: of the queries.
        k: how many are wanted.
        thresholds: (Q,) float64 keys that at least k items are known to reach.
    """

    def __init__(self, key: Key, k: int, thresholds: Tensor) -> None:
        self.key = key
        self.k = k
        self.thresholds = key.loosen(thresholds)
        self.limit = 2 * k + 1024
        self.crowded = torch.zeros(len(thresholds), dtype=torch.bool, device=thresholds.device)
        self._low = thresholds.new_zeros(len(thresholds), 0)
        self._high = self._low
        self._positions = self._low.long()
        self._pending: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._pending_count = 0

    def add(self, rows: Tensor, positions: Tensor, low: Tensor, high: Tensor) -> None:
        """(n,) queries, items, and the bounds of their keys; `rows` in increasing order."""
        self._pending.append((rows, positions, low, high))
        self._pending_count += len(rows)
        # merging costs as much as about so many items a query
        if self._pending_count > len(self.thresholds) * max(self.k // 2, 64):
            self.compact()

    def compact(self) -> None:
        """Raise the thresholds by what was added, and drop what lies below them."""
        if not self._pending:
            return
        rows, positions, low, high = (torch.cat(column) for column in zip(*self._pending, strict=True))
        self._pending, self._pending_count = [], 0
        order = rows.sort(stable=True).indices
        rows = rows[order]
        counts = rows.bincount(minlength=len(self.thresholds))
        slots = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]

        def append(table: Tensor, values: Tensor, empty: float) -> Tensor:
            new = table.new_full((len(table), int(counts.max())), empty)
            new[rows, slots] = values[order]
            return torch.cat([table, new], dim=1)

        low = append(self._low, low, -torch.inf)
        high = append(self._high, high, -torch.inf)
        positions = append(self._positions, positions, -1)
        if low.shape[1] >= self.k:
            kth = low.topk(self.k, dim=1).values[:, -1]
            self.thresholds = torch.maximum(self.thresholds, self.key.loosen(kth.clamp(min=-HUGE)))
        high = high.masked_fill(high < self.thresholds[:, None], -torch.inf)
        counts = (high > -torch.inf).sum(1)
        self.crowded |= counts > self.limit
        self.thresholds = self.thresholds.masked_fill(self.crowded, HUGE)
        high = high.masked_fill(self.crowded[:, None], -torch.inf)
        width = int(counts.masked_fill(self.crowded, 0).max())
        self._high, kept = high.topk(width, dim=1)
        self._low, self._positions = low.gather(1, kept), positions.gather(1, kept)

    def items(self) -> tuple[Tensor, Tensor]:
        """Rows and positions, (n,) each, of all that may be among the k best of a query that is not crowded."""
        self.compact()
        rows, slots = (self._high > -torch.inf).nonzero(as_tuple=True)
        return rows, self._positions[rows, slots]
