"""Bidirectional InfoNCE tile by tile: the N x N matrices of logits and masks, and their graph, never exist.

A tile is some rows against all columns. Its forward pass keeps one sum for each term of the loss, and its backward pass
computes the tile once more (Chen et al. 2016): memory grows with N times the rows of a tile.
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

# rows of the batch -> (r, N) logits with these rows as parents, and with these rows as children
TileScores = Callable[[slice], tuple[Tensor, Tensor]]


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

    def terms(rows: slice) -> tuple[Tensor, Tensor]:
        """(2, 2) sums over the rows that have a positive, and how many these are: direction, all or own positives."""
        as_parents, as_children = masks.block(rows), _transposed(masks.block(slice(None), rows))
        sums, counts = [], []
        for logits, mine, other in zip(scores(rows), (as_parents, as_children), (as_children, as_parents), strict=True):
            related = mine.own | mine.cross
            ignored = mine.ignored if directed else mine.ignored | ((other.own | other.cross) & ~related)
            for share, positives, left_out in (
                (1 - own_weight, related, ignored),
                (own_weight, mine.own, ignored | mine.cross),
            ):
                if share:
                    values, rows_used = row_terms(logits, positives, ~left_out, where)
                    sums.append(values.sum())
                    counts.append(rows_used.sum())
                else:
                    sums.append(logits.new_zeros(()))
                    counts.append(torch.zeros((), dtype=torch.long, device=logits.device))
        return torch.stack(sums).view(2, 2), torch.stack(counts).view(2, 2)

    found = [
        checkpoint(terms, slice(start, min(start + tile, count)), use_reentrant=False, preserve_rng_state=False)
        for start in range(0, count, tile)
    ]
    total, used = (torch.stack(parts).sum(0) for parts in zip(*found, strict=True))
    down, up = -(total / used.clamp(min=1)) @ total.new_tensor([1 - own_weight, own_weight])
    return LossOutput(loss=down + up, parent_to_child=down, child_to_parent=up)


def _transposed(masks: PairMasks) -> PairMasks:
    return PairMasks(masks.own.T, masks.cross.T, masks.ignored.T)
