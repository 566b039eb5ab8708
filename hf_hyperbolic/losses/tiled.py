"""Bidirectional InfoNCE tile by tile: the N x N matrices of logits and masks, and their graph, never exist.

A tile is some rows against all columns. Its forward pass keeps sums, and for each column the logarithm of a sum over
its rows; its backward pass computes the tile once more (Chen et al. 2016). Memory grows with N times the rows of a
tile, and with N times the number of tiles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, Positives, check_own_weight, row_terms

if TYPE_CHECKING:  # losses need its blocks, not the readers behind them
    from hf_hyperbolic.data.relations import SparseRelations

# rows of the batch -> (r, N) logits with these rows as parents, and (r, N) with these rows as children, or None where a
# pair has one logit in both directions
TileScores = Callable[[slice], tuple[Tensor, Tensor | None]]
# stands for a logit that is left out; minus infinity would give a column without candidates in a tile a gradient of NaN
_LEFT_OUT = -1e30


class Masks(Protocol):
    """The relations among N nodes, of which any block can be had: `PairMasks` or `TiledMasks`."""

    def block(self, rows: slice = slice(None), columns: slice = slice(None)) -> PairMasks:
        """Relations of a range of nodes (as parents) to a range of nodes, (r, c) each."""


@dataclass(frozen=True)
class TiledMasks:
    """Masks that are made block by block from what they follow from, on its device."""

    relations: "SparseRelations"

    def block(self, rows: slice = slice(None), columns: slice = slice(None)) -> PairMasks:
        return PairMasks(*self.relations.block(rows, columns))


def tiled_info_nce(
    scores: TileScores,
    count: int,
    masks: Masks,
    tile: int,
    own_weight: float = 0.0,
    where: Positives = "outside",
    directed: bool = True,
) -> LossOutput:
    """`bidirectional_info_nce` with rows taken `tile` at a time; gradients flow through `scores`.

    Args:
        scores: gives the logits of some rows; called once forward and once more backward.
        count: N, the nodes of the batch.
        masks: relations among them.
        tile: rows at a time, at least 1.
        own_weight: see `bidirectional_info_nce`.
        where: see `multi_positive_info_nce`.
        directed: False for a score that is the same in both directions, see `undirected`.

    Raises:
        ValueError: `tile` is less than 1, or `own_weight` lies outside [0, 1].
    """
    if tile < 1:
        raise ValueError(f"a tile needs at least 1 row, got {tile}")
    check_own_weight(own_weight)
    shares = [share for share in (1 - own_weight, own_weight) if share]

    def parts(block: PairMasks) -> list[tuple[Tensor, Tensor]]:
        """Positives and candidates of each share: all relatives, those of one image."""
        both = [(block.own | block.cross, ~block.ignored), (block.own, ~(block.ignored | block.cross))]
        return [part for part, share in zip(both, (1 - own_weight, own_weight), strict=True) if share]

    def terms(rows: slice) -> tuple[Tensor, Tensor]:
        """Sums over rows (P, 2) or of columns (P, 3, N), for each of P shares, of either direction."""
        logits, of_children = scores(rows)
        mine = masks.block(rows)
        if of_children is not None or not directed:
            reverse = _transposed(masks.block(slice(None), rows))
        if not directed:
            related = mine.own | mine.cross
            mine = PairMasks(mine.own, mine.cross, mine.ignored | ((reverse.own | reverse.cross) & ~related))
        down = torch.stack([_over_rows(logits, *part, where) for part in parts(mine)])
        if of_children is not None:
            return down, torch.stack([_over_rows(of_children, *part, where) for part in parts(reverse)])
        # one tensor is kept: many small ones, each where a large one was, would leave no room for the next large one
        return down, torch.stack([_over_columns(logits, *part, where) for part in parts(mine)])

    found = [
        checkpoint(terms, slice(start, min(start + tile, count)), use_reentrant=False, preserve_rng_state=False)
        for start in range(0, count, tile)
    ]

    def direction(number: int) -> Tensor:
        of_shares = torch.stack([sums[number] for sums in found], dim=1)
        return torch.stack([share * _mean(sums, where) for share, sums in zip(shares, of_shares, strict=True)]).sum()

    down, up = direction(0), direction(1)
    return LossOutput(loss=down + up, parent_to_child=down, child_to_parent=up)


def _over_rows(logits: Tensor, positives: Tensor, candidates: Tensor, where: Positives) -> Tensor:
    """(2,) of rows that are whole: the sum of their values, and how many have one."""
    per_row, rows = row_terms(logits, positives, candidates, where)
    return torch.stack([per_row.sum(), rows.sum().to(logits.dtype)])


def _over_columns(logits: Tensor, positives: Tensor, candidates: Tensor, where: Positives) -> Tensor:
    """(3, N) of columns in part: log of the sum over candidates, what the positives give, and their number."""
    among = logits.masked_fill(~candidates, _LEFT_OUT).logsumexp(0)
    if where == "inside":
        given = logits.masked_fill(~positives, _LEFT_OUT).logsumexp(0)
    else:
        given = logits.masked_fill(~positives, 0.0).sum(0)
    return torch.stack([among, given, positives.sum(0).to(logits.dtype)])


def _mean(tiles: Tensor, where: Positives) -> Tensor:
    """0-d InfoNCE, the mean over what has a positive, from the (T, 2) or (T, 3, N) sums of T tiles."""
    if tiles.ndim == 2:
        total, used = tiles.sum(0)
        return -total / used.clamp(min=1)
    among, given, positives = tiles.unbind(1)
    number = positives.sum(0)
    has_one = number > 0
    mean = given.logsumexp(0) if where == "inside" else given.sum(0) / number.clamp(min=1)
    per_column = (mean - among.logsumexp(0)).masked_fill(~has_one, 0.0)
    return -per_column.sum() / has_one.sum().clamp(min=1)


def _transposed(masks: PairMasks) -> PairMasks:
    return PairMasks(masks.own.T, masks.cross.T, masks.ignored.T)
