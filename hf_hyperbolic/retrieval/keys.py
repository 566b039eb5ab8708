"""Which items of a tile can still enter a top-k: a float32 matrix product and bounds on what it rounds away.

A key orders items as their score does, for one query, and needs no inverse function. With theta the angle between the
directions of query and item, and a, b the dimensionless radii of the apex and of the other point,

    cot ext = (cosh(a) cos theta - sinh(a) coth(b)) / sin theta        (Euclidean: (cos theta - |x| / |y|) / sin theta)

falls as the exterior angle grows, over its whole range: nothing saturates where the loss is heading. As
`(u - p q) / (r sqrt(1 - u^2))`, u = cos theta, it has one number p a query and two numbers q, r an item. An item beats
the threshold t where `u - p q - t r sqrt(1 - u^2) >= 0`: no division, a few passes over a tile that stays in the cache.
Unit directions are multiplied, not Klein coordinates, which lose the radius in float32 beyond 8.

The score `cos ext + 2 u` is its own key: `cos ext = cot ext / sqrt(1 + cot^2 ext)` rises with the cotangent.

Distance is a maximum inner product, `tanh(a) sinh(b) u - cosh(b) = -cosh(sqrt(c) d) / cosh(a)`, and so is the cosine.

Every product is taken to be wrong by up to `(D + 8) 2^-24`, the bound for any order of summation, and every length of
an item by `(D / 2 + 4) 2^-24` of itself. The test of a tile lets through whatever may pass within that error; `bounds`
then brackets the key of what came through. Where float32 cannot tell items apart, the same is done in float64.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hf_hyperbolic.lorentz import MIN_NORM
from hf_hyperbolic.retrieval.exact import Scoring
from hf_hyperbolic.retrieval.measures import SIMILARITY_SHARE

# Scores within this are one float32 number or neighbours: at pi float32 has steps of 2.4e-7.
_SCORE_STEP = 3e-7
# Stands for infinity in thresholds: times zero it is zero.
HUGE = 1e30


class Tile(NamedTuple):
    """Part of a gallery, ready for a product with queries.

    matrix: (T, D); columns: (2, T) float64, what the key needs of each item beside the product; scale: (T,) by which
    the columns of the product are to be multiplied, None for 1.
    """

    matrix: Tensor
    columns: Tensor
    scale: Tensor | None

    def product(self, queries: Tensor, out: Tensor | None = None) -> Tensor:
        """(Q, D) `Key.matrix` -> (Q, T)."""
        found = torch.mm(queries, self.matrix.T, out=out)
        return found if self.scale is None else found.mul_(self.scale)


class Key(Protocol):
    """Keys of a batch of queries; thresholds are (Q,) float64 keys."""

    matrix: Tensor
    """(Q, D) of the key's precision, multiplied with `Tile.matrix`."""

    def tile(self, items: Tensor, norms: Tensor) -> Tile:
        """(T, D) items of the key's precision and their (T,) float64 lengths -> what is multiplied."""

    def estimate(self, product: Tensor, columns: Tensor) -> Tensor:
        """(Q, T) keys, as float32 has them."""

    def test(
        self, product: Tensor, columns: Tensor, thresholds: Tensor, work: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """(Q, T) values and (Q, 1) floors: a value reaches its row's floor wherever the item's true key may reach the
        row's threshold. The values may be the product itself, or lie in `work`, which is overwritten."""

    def bounds(self, product: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) products of the queries `rows` with items of (2, n) `columns` -> bounds of their keys, low and high."""

    def loosen(self, thresholds: Tensor) -> Tensor:
        """Thresholds lowered so that a key below is a lower score in float32 too, not a tie."""

    def beyond(self, scores: Tensor) -> Tensor:
        """(Q,) float32 scores -> thresholds that every item of a larger float32 score reaches; infinity for the best
        score there is."""


def key_of(queries: Tensor, scoring: Scoring, precision: torch.dtype = torch.float32) -> Key:
    """The key of (Q, D) queries for a scoring, by products in float32 or float64."""
    if scoring.is_combined:
        return CombinedKey(queries, scoring, precision)
    return (AngleKey if scoring.is_angle else ProductKey)(queries, scoring, precision)


def _unit(precision: torch.dtype) -> float:
    # of float64 four times as much, for what the exact scores round away themselves
    return 2.0**-24 if precision == torch.float32 else 2.0**-51


def _normalised(queries: int, items: Tensor, norms: Tensor, columns: Tensor) -> Tile:
    """Few queries have their products divided by the lengths, not the items."""
    scale = (1 / norms.clamp(min=MIN_NORM)).to(items.dtype)
    if 2 * queries < items.shape[1]:
        return Tile(items, columns, scale)
    return Tile(items * scale[:, None], columns, None)


def _next_scores(scores: Tensor) -> Tensor:
    """Halfway from (Q,) float32 scores to the next larger ones: what rounds to more is at least that, float64."""
    following = torch.nextafter(scores, torch.full_like(scores, torch.inf)).double()
    return (scores.double() + following) / 2


class AngleKey:
    """`+-(u - p q) / (r sqrt(1 - u^2))`, the sign chosen so that larger is better."""

    def __init__(self, queries: Tensor, scoring: Scoring, precision: torch.dtype) -> None:
        x = queries.double()
        norms = torch.linalg.vector_norm(x, dim=1).clamp(min=MIN_NORM)
        self.scoring = scoring
        self.sign = 1.0 if scoring.at_parent else -1.0
        self.unit = _unit(precision)
        self.of_lengths = (x.shape[1] / 2 + 4) * self.unit
        self.error = (x.shape[1] + 8) * self.unit + self.of_lengths
        self.matrix = (self.sign * x / norms[:, None]).to(precision)
        p, self.scale = self._query_numbers(norms)
        self.p = self.sign * p
        # rounding of p q goes in the item's favour
        self._p = (self.p - (8 * self.unit + 2 * self.of_lengths) * p).to(precision)[:, None]

    def _query_numbers(self, norms: Tensor) -> tuple[Tensor, Tensor]:
        """p, and the factor between key and cotangent: `cot ext = scale * key`."""
        ones = torch.ones_like(norms)
        if not self.scoring.is_hyperbolic:
            return (norms, ones) if self.scoring.apex_is_query else (1 / norms, ones)
        sinh = self.scoring.root_c * norms
        cosh = (1 + sinh.square()).sqrt()
        return (sinh / cosh, cosh) if self.scoring.apex_is_query else (cosh / sinh, ones)

    def _item_numbers(self, norms: Tensor) -> Tensor:
        """(2, T): q and r."""
        ones = torch.ones_like(norms)
        if not self.scoring.is_hyperbolic:
            return torch.stack([1 / norms if self.scoring.apex_is_query else norms, ones])
        sinh = self.scoring.root_c * norms
        cosh = (1 + sinh.square()).sqrt()
        return torch.stack([cosh / sinh, ones] if self.scoring.apex_is_query else [sinh / cosh, 1 / cosh])

    def tile(self, items: Tensor, norms: Tensor) -> Tile:
        return _normalised(len(self.matrix), items, norms, self._item_numbers(norms.clamp(min=MIN_NORM)))

    def estimate(self, product: Tensor, columns: Tensor) -> Tensor:
        q, r = columns.to(product.dtype)
        sine = (1 - product.square()).clamp_(min=self.error).sqrt_()
        return torch.addcmul(product, self._p, q, value=-1).div_(sine.mul_(r))

    def test(
        self, product: Tensor, columns: Tensor, thresholds: Tensor, work: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        sine, result = work
        q, r = columns.to(product.dtype)
        # the sine may be wrong either way: which way favours the item depends on the sign of the threshold
        doubt = torch.where(thresholds > 0, -1.0, 1.0)
        t = (thresholds.clamp(-HUGE, HUGE) * (1 + doubt * (8 * self.unit + 2 * self.of_lengths)))[:, None]
        t = t.to(product.dtype)
        one = (1 + doubt * 3 * self.error).to(product.dtype)[:, None]
        torch.addcmul(one, product, product, value=-1, out=sine)
        sine.clamp_(min=0).sqrt_()
        if self.scoring.is_hyperbolic and not self.scoring.apex_is_query:
            sine.mul_(r)
        torch.addcmul(product, self._p, q, value=-1, out=result)
        floors = torch.full_like(t, -2 * self.error).masked_fill_(thresholds.isposinf()[:, None], torch.inf)
        return result.addcmul_(t, sine, value=-1), floors

    def bounds(self, product: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        u = product.double()
        q, r = columns
        radial = self.p[rows] * q
        middle = u - radial
        doubt = self.error + 2 * self.of_lengths * radial.abs()
        square = 1 - u.square()
        least = r * (1 - 2 * self.of_lengths) * (square - 3 * self.error).clamp(min=0).sqrt().clamp(min=1 / HUGE)
        most = r * (1 + 2 * self.of_lengths) * (square + 3 * self.error).clamp(max=1).sqrt()
        low, high = middle - doubt, middle + doubt
        return (
            torch.where(low > 0, low / most, low / least).clamp(min=-HUGE),
            torch.where(high > 0, high / least, high / most),
        )

    def loosen(self, thresholds: Tensor) -> Tensor:
        angle = torch.atan2(torch.ones_like(thresholds), self.sign * self.scale * thresholds)
        looser = angle + self.sign * _SCORE_STEP
        everything = (looser <= 0) | (looser >= torch.pi)
        key = self.sign / (looser.tan() * self.scale)
        return torch.where(everything, -HUGE, torch.minimum(key, thresholds))

    def beyond(self, scores: Tensor) -> Tensor:
        following = _next_scores(scores) - 1e-12
        angle = torch.pi - following if self.scoring.at_parent else following
        key = self.sign / (angle.tan() * self.scale)
        return torch.where(following >= torch.pi, torch.inf, torch.where(following <= 0, -HUGE, key))


class CombinedKey(AngleKey):
    """`cos ext + SIMILARITY_SHARE u`, the score itself."""

    def estimate(self, product: Tensor, columns: Tensor) -> Tensor:
        q, r = columns.to(product.dtype)
        along = torch.addcmul(product, self._p, q, value=-1)
        square = (1 - product.square()).clamp_(min=0).mul_((r / self._scale()).square_())
        return self._sum(along, square, product)

    def test(
        self, product: Tensor, columns: Tensor, thresholds: Tensor, work: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        square, along = work
        q, r = columns.to(product.dtype)
        torch.addcmul(product, self._p, q, value=-1, out=along)
        along.add_(2 * self.error)
        # the sine may be wrong either way: which way favours the item depends on the sign of what stands over it
        doubt = 3 * self.error + 2 * self.of_lengths
        torch.addcmul(product.new_ones(()), product, product, value=-1, out=square)
        square.sub_(along.sign(), alpha=doubt).clamp_(min=0)
        square.mul_((r / self._scale()).square())
        floors = thresholds - (2 * SIMILARITY_SHARE * self.error + 64 * self.unit)
        return self._sum(along, square, product), floors.to(product.dtype)[:, None]

    def bounds(self, product: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (self.scale[rows] * cotangent for cotangent in super().bounds(product, rows, columns))
        similarity = SIMILARITY_SHARE * product.double()
        doubt = SIMILARITY_SHARE * self.error + 16 * 2.0**-53
        return (
            low / (1 + low.square()).sqrt() + similarity - doubt,
            high / (1 + high.square()).sqrt() + similarity + doubt,
        )

    def loosen(self, thresholds: Tensor) -> Tensor:
        return thresholds - _SCORE_STEP

    def beyond(self, scores: Tensor) -> Tensor:
        following = _next_scores(scores)
        return torch.where(following > 1 + SIMILARITY_SHARE, torch.inf, following - 1e-14)

    def _scale(self) -> Tensor:
        return self.scale.to(self._p.dtype)[:, None]

    @staticmethod
    def _sum(along: Tensor, square: Tensor, product: Tensor) -> Tensor:
        """Cosine of the angle whose cotangent is `along / sqrt(square)`, and the similarity; overwrites both."""
        length = square.addcmul_(along, along).clamp_(min=torch.finfo(square.dtype).tiny).sqrt_()
        return along.div_(length).add_(product, alpha=SIMILARITY_SHARE)


class ProductKey:
    """Cosine, `u`, and distance, `tanh(a) sinh(b) u - cosh(b)`: the key is a product less a number of the item."""

    def __init__(self, queries: Tensor, scoring: Scoring, precision: torch.dtype) -> None:
        x = queries.double()
        norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        unit = x / norms.clamp(min=MIN_NORM)
        sinh = scoring.root_c * norms
        cosh = (1 + sinh.square()).sqrt()
        self.is_cosine = scoring.measure == "cosine"
        self.root_c = scoring.root_c
        self.cosh = cosh.squeeze(1)
        self.unit = _unit(precision)
        self.error = (1.5 * x.shape[1] + 12) * self.unit
        self.matrix = (unit if self.is_cosine else scoring.root_c * sinh / cosh * unit).to(precision)

    def tile(self, items: Tensor, norms: Tensor) -> Tile:
        if self.is_cosine:
            nothing = torch.stack([torch.zeros_like(norms), torch.ones_like(norms)])
            return _normalised(len(self.matrix), items, norms, nothing)
        cosh = (1 + (self.root_c * norms).square()).sqrt()
        return Tile(items, torch.stack([cosh, cosh]), None)

    def estimate(self, product: Tensor, columns: Tensor) -> Tensor:
        return product - columns[0].to(product.dtype)

    def test(
        self, product: Tensor, columns: Tensor, thresholds: Tensor, work: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        t = thresholds.clamp(-HUGE, HUGE)
        floor = (t - 4 * self.unit * t.abs()).masked_fill(thresholds.isposinf(), torch.inf)
        if self.is_cosine:
            return product, (floor - 3 * self.error).to(product.dtype)[:, None]
        cosh = columns[0]
        less = (cosh - 3 * self.error * cosh).to(product.dtype)
        return torch.sub(product, less, out=work[0]), floor.to(product.dtype)[:, None]

    def bounds(self, product: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        less, scale = columns
        key = product.double() - less
        return key - self.error * scale, key + self.error * scale

    def loosen(self, thresholds: Tensor) -> Tensor:
        if self.is_cosine:
            return thresholds - _SCORE_STEP
        distance = (-thresholds * self.cosh).clamp(min=1).acosh()
        return torch.minimum(-(distance * (1 + _SCORE_STEP)).cosh() / self.cosh * (1 + 1e-14), thresholds)

    def beyond(self, scores: Tensor) -> Tensor:
        following = _next_scores(scores)
        if self.is_cosine:
            return torch.where(following > 1, torch.inf, following - 1e-15)
        distance = -following * self.root_c
        key = -(distance * (1 + 1e-12)).cosh() / self.cosh * (1 + 1e-14)
        return torch.where(scores >= 0, torch.inf, key)
