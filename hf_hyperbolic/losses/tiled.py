"""Bidirectional InfoNCE over the pairs of a batch, some rows at a time, with its gradient written out.

A tile is some rows against all columns. The forward pass takes from each the value of its rows, and for each column the
logarithm of a sum over those rows; the backward pass, which knows the sums of rows and columns, gives the gradient of
each tile's scores in a few passes over it, and autograd carries it on to the nodes. A tile is small enough for a
processor's cache. Either all scores are kept between the passes, or each tile's are computed once more (Chen et al.
2016): memory then grows with N times the rows of a tile.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, Positives, check_own_weight
from hf_hyperbolic.pairwise_angle import without_autocast

if TYPE_CHECKING:  # losses need its blocks, not the readers behind them
    from hf_hyperbolic.data.relations import SparseRelations

# a tile has about so many pairs in all its shares: on a CPU what fits its cache, elsewhere what fills the device
_PAIRS_OF_TILE = {"cpu": 2**18}
_PAIRS_ELSEWHERE = 2**24
# but no fewer rows: the gradients of all N nodes are added up tile by tile
_FEWEST_ROWS = 128


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


@dataclass(frozen=True)
class PairScores:
    """A score of every pair of N nodes, and what the two directions of the loss make of it.

    Attributes:
        nodes: what the score of a pair is computed of, (N, ...) each.
        of: rows of `nodes` and all of `nodes` -> (r, N) scores, differentiable once. It must not keep its result for
            its own backward pass: that is changed in place.
        sign: of the score of a parent (row) and a child (column): 1, or -1 where a low one means that they are related.
        upward: child -> parent looks at `"same"` scores, by columns; at `"reverse"` ones: with its sign turned, at the
            score of the child (row) and the parent (column); or the score is `"symmetric"`, and the reverse of a
            positive pair no negative (see `undirected`).
    """

    nodes: tuple[Tensor, ...]
    of: Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], Tensor]
    sign: int
    upward: Literal["same", "reverse", "symmetric"]


def tiled_info_nce(
    scores: PairScores,
    masks: Masks,
    temperature: Tensor | float,
    own_weight: float = 0.0,
    where: Positives = "outside",
    tile: int = 0,
) -> LossOutput:
    """`bidirectional_info_nce` of scores divided by a temperature; gradients flow to the nodes and the temperature.

    There is no second derivative: asking for one is an error.

    Args:
        scores: of the pairs.
        masks: relations among the nodes.
        temperature: tau, positive; of a tensor one element.
        own_weight: see `bidirectional_info_nce`.
        where: see `multi_positive_info_nce`.
        tile: at most so many rows are held at a time; 0 to keep the scores of all pairs.

    Raises:
        ValueError: `tile` is negative, `own_weight` lies outside [0, 1], or `temperature` has several elements.
    """
    if tile < 0:
        raise ValueError(f"a tile needs at least 1 row, got {tile}")
    check_own_weight(own_weight)
    if isinstance(temperature, Tensor):
        if temperature.numel() != 1:
            raise ValueError(f"temperature must be one number, got a tensor of shape {tuple(temperature.shape)}")
        temperature = temperature.reshape(()).to(scores.nodes[0].dtype)
    down, up = _Loss.apply(_Work(scores, masks, own_weight, where, tile), temperature, *scores.nodes)
    return LossOutput(loss=down + up, parent_to_child=down, child_to_parent=up)


@dataclass(frozen=True)
class _Shares:
    """A tile's pairs in each of S parts of the loss: that of all relatives, and that of those of one image alone.

    Attributes:
        positives: (S, r, N) bool.
        left_out: (S, r, N) bool, what is no candidate.
    """

    positives: Tensor
    left_out: Tensor


@dataclass
class _Sums:
    """What one direction of each share is made of, for each of n nodes in the role of its anchor.

    Attributes:
        among: (S, n) log of the sum over candidates, infinite for a node without a positive.
        given: (S, n) mean of the positives' logits, or the logarithm of their sum; 0 or infinite without one.
        positives: (S, n) how many there are.
        used: (S, 1) how many nodes have one, at least 1.
    """

    among: Tensor
    given: Tensor
    positives: Tensor
    used: Tensor

    @classmethod
    def of(cls, among: Tensor, given: Tensor, positives: Tensor, where: Positives) -> "_Sums":
        none = positives == 0
        if where == "outside":
            given = given / positives.clamp(min=1)
        return cls(
            among.masked_fill(none, math.inf),
            given.masked_fill(none, 0.0 if where == "outside" else math.inf),
            positives,
            (~none).sum(1, keepdim=True).clamp(min=1),
        )

    def rows(self, rows: slice) -> "_Sums":
        """Of some nodes, to be set against the (S, r, N) pairs of which they are the rows."""
        among, given, positives = (part[:, rows, None] for part in (self.among, self.given, self.positives))
        return _Sums(among, given, positives, self.used[..., None])

    def columns(self) -> "_Sums":
        """Of all nodes, to be set against (S, r, N) pairs of which they are the columns."""
        among, given, positives = (part[:, None] for part in (self.among, self.given, self.positives))
        return _Sums(among, given, positives, self.used[..., None])

    def value(self, weights: list[float]) -> Tensor:
        """0-d, of each share the mean over the nodes that have a positive, weighed."""
        means = ((self.among - self.given).masked_fill(self.positives == 0, 0.0) / self.used).sum(1)
        return torch.stack([weight * mean for weight, mean in zip(weights, means, strict=True)]).sum()


class _Work:
    """One loss: how its tiles are made and what is known of them after the forward pass."""

    def __init__(self, scores: PairScores, masks: Masks, own_weight: float, where: Positives, tile: int) -> None:
        self.scores, self.masks, self.where = scores, masks, where
        self.count = len(scores.nodes[0])
        self.shares = [share for share, weight in (("all", 1 - own_weight), ("own", own_weight)) if weight]
        self.weights = [weight for weight in (1 - own_weight, own_weight) if weight]
        self.keeps = not tile and torch.is_grad_enabled()
        pairs = _PAIRS_OF_TILE.get(scores.nodes[0].device.type, _PAIRS_ELSEWHERE)
        self.rows = max(_FEWEST_ROWS, pairs // max(1, self.count * len(self.shares)))
        if tile:
            self.rows = min(self.rows, tile)

    def tiles(self) -> Iterator[slice]:
        for start in range(0, max(1, self.count), self.rows):  # of no node one, empty
            yield slice(start, min(start + self.rows, self.count))

    def pairs(self, rows: slice) -> tuple[_Shares, _Shares | None]:
        """Of a tile's rows as parents; and as children, where these are rows of their own."""
        mine, reverse = self.masks.block(rows), None
        if self.scores.upward != "same":
            other = self.masks.block(slice(None), rows)
            reverse = PairMasks(other.own.T, other.cross.T, other.ignored.T)
        if self.scores.upward == "symmetric":
            assert reverse is not None
            related = mine.own | mine.cross
            mine = PairMasks(mine.own, mine.cross, mine.ignored | ((reverse.own | reverse.cross) & ~related))
        turned = self._shares(reverse) if self.scores.upward == "reverse" and reverse is not None else None
        return self._shares(mine), turned

    def _shares(self, block: PairMasks) -> _Shares:
        parts = {
            "all": (block.own | block.cross, block.ignored),
            "own": (block.own, block.ignored | block.cross),
        }
        chosen = [parts[share] for share in self.shares]
        return _Shares(torch.stack([part[0] for part in chosen]), torch.stack([part[1] for part in chosen]))

    def score(self, rows: slice, nodes: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """(r, N) scores of a tile with the graph from new leaves: rows of each of the nodes, then all of each."""
        with torch.enable_grad():
            leaves = [node.detach().requires_grad_() for node in (*(node[rows] for node in nodes), *nodes)]
            return self.scores.of(tuple(leaves[: len(nodes)]), tuple(leaves[len(nodes) :])), leaves


class _Loss(torch.autograd.Function):
    """(down, up), 0-d each, of a `_Work`, a temperature and the nodes."""

    @staticmethod
    @without_autocast
    def forward(ctx: Any, work: _Work, temperature: Tensor | float, *nodes: Tensor) -> tuple[Tensor, Tensor]:
        factor = work.scores.sign / temperature
        keeps = work.keeps and any(ctx.needs_input_grad)
        directed = work.scores.upward == "reverse"
        tiles, kept = list(work.tiles()), []
        # made before the first tile: what is left of each, where its large tensors were, would leave no room for others
        below = nodes[0].new_empty(3, len(work.shares), work.count)
        beside = nodes[0].new_empty(1 if directed else len(tiles), *below.shape)
        for number, rows in enumerate(tiles):
            if keeps:
                found, leaves = work.score(rows, nodes)
            else:
                found = work.scores.of(tuple(node[rows] for node in nodes), nodes)
            logits = found.detach().mul_(factor)
            mine, reverse = work.pairs(rows)
            if reverse is None:
                _over(logits, mine, work.where, {2: below[..., rows], 1: beside[number]})
            else:
                _over(logits, mine, work.where, {2: below[..., rows]})
                _over(logits.neg(), reverse, work.where, {2: beside[0, ..., rows]})
            if keeps:
                kept.append((found, leaves, mine, reverse))
        down, up = (_Sums.of(one[0], one[1], one[2], work.where) for one in (below, _whole(beside, work.where)))
        ctx.work, ctx.kept, ctx.sums = work, kept, (down, up)
        tau = temperature if isinstance(temperature, Tensor) else None
        ctx.save_for_backward(tau, *nodes)
        ctx.temperature = None if tau is not None else temperature
        return down.value(work.weights), up.value(work.weights)

    @staticmethod
    @without_autocast
    def backward(ctx: Any, of_down: Tensor, of_up: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "this loss has a first derivative alone (create_graph=True asks for more): bidirectional_info_nce on "
                "logits of your own has them all"
            )
        work: _Work = ctx.work
        tau, *nodes = ctx.saved_tensors
        temperature = ctx.temperature if tau is None else tau
        factor = work.scores.sign / temperature
        down, up = ctx.sums
        kept, ctx.kept = ctx.kept, []  # used up: with retain_graph another backward pass computes each tile once more
        gradients = [torch.zeros_like(node) for node in nodes]
        of_temperature = torch.zeros_like(of_down)
        scales = [
            torch.stack([weight * of for weight in work.weights])[:, None] / sums.used
            for of, sums in ((of_down, down), (of_up, up))
        ]
        for number, rows in enumerate(work.tiles()):
            if kept:
                found, leaves, mine, reverse = kept[number]
                kept[number] = None  # its memory is free once this tile is done
                logits = found.detach()
            else:
                found, leaves = work.score(rows, tuple(nodes))
                mine, reverse = work.pairs(rows)
                logits = found.detach().mul_(factor)
            below, beside = (down.rows(rows), scales[0]), (up.columns(), scales[1])
            if reverse is None:
                gradient = _gradient(logits, mine, [below, beside], work.where)
            else:
                gradient = _gradient(logits, mine, [below], work.where)
                gradient -= _gradient(-logits, reverse, [(up.rows(rows), scales[1])], work.where)
            if ctx.needs_input_grad[1]:
                of_temperature -= torch.dot(gradient.view(-1), logits.view(-1)) / temperature
            gradient.mul_(factor)
            for place, part in enumerate(torch.autograd.grad(found, leaves, gradient, allow_unused=True)):
                if part is not None:
                    whole = gradients[place % len(nodes)]
                    (whole[rows] if place < len(nodes) else whole).add_(part)
        return None, of_temperature if ctx.needs_input_grad[1] else None, *gradients


def _over(logits: Tensor, shares: _Shares, where: Positives, into: dict[int, Tensor]) -> None:
    """Of rows, over dimension 2 `into` (3, S, r), and of columns in part, over 1 into (3, S, N).

    The log of the sum over candidates, what the positives give, and their number.
    """
    among = logits.masked_fill(shares.left_out, -math.inf)
    inside = where == "inside"
    given = logits.masked_fill(~shares.positives, -math.inf) if inside else logits * shares.positives
    for dim, place in into.items():
        place[0] = among.logsumexp(dim)
        place[1] = given.logsumexp(dim) if inside else given.sum(dim)
        place[2] = shares.positives.sum(dim)


def _whole(tiles: Tensor, where: Positives) -> Tensor:
    """(3, S, N) that (T, 3, S, N) of T tiles come to."""
    if len(tiles) == 1:
        return tiles[0]
    among, given, positives = tiles.unbind(1)
    given = given.logsumexp(0) if where == "inside" else given.sum(0)
    return torch.stack([among.logsumexp(0), given, positives.sum(0)])


def _gradient(logits: Tensor, shares: _Shares, anchors: list[tuple[_Sums, Tensor]], where: Positives) -> Tensor:
    """(r, N) gradient with respect to a tile's logits.

    Args:
        logits: (r, N) of the tile.
        shares: its pairs.
        anchors: sums of its rows, of its columns, or of both, and (S, 1) what the means of each share count.
        where: the sum over positives stands.
    """
    candidates = logits.masked_fill(shares.left_out, -math.inf)
    # softmax over the candidates; an anchor without positives has an infinite sum, and so none
    parts = [(candidates - sums.among).exp_().mul_(scale[..., None]) for sums, scale in anchors]
    if where == "inside":
        wanted = logits.masked_fill(~shares.positives, -math.inf)
        parts += [(wanted - sums.given).exp_().mul_(-scale[..., None]) for sums, scale in anchors]
    total = parts[0]
    for part in parts[1:]:
        total += part
    if where == "outside":
        per_positive = [scale[..., None] / sums.positives.clamp(min=1) for sums, scale in anchors]
        total.addcmul_(shares.positives.to(logits.dtype), sum(per_positive[1:], per_positive[0]), value=-1)
    return total.sum(0) if len(total) > 1 else total[0]
