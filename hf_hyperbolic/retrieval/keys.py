"""Which items of a tile can still enter a top-k: a float32 matrix product and bounds on what it rounds away.

A key orders items as their score does, for one query, and needs no inverse function. With theta the angle between the
directions of query and item, and a, b the dimensionless radii of the apex and of the other point,

    cot ext = (cosh(a) cos theta - sinh(a) coth(b)) / sin theta        (Euclidean: (cos theta - |x| / |y|) / sin theta)

falls as the exterior angle grows, over its whole range: nothing saturates where the loss is heading. As
`(u - p q) / (r sqrt(1 - u^2))`, u = cos theta, it has one number p a query and two numbers q, r an item. An item beats
the threshold t where `u - p q - t r sqrt(1 - u^2) >= 0`: no division, a few passes over a tile that stays in the cache.
Unit directions are multiplied, not Klein coordinates, which lose the radius in float32 beyond 8.

Distance is a maximum inner product, `tanh(a) sinh(b) u - cosh(b) = -cosh(sqrt(c) d) / cosh(a)`, and so is the cosine.

Every product is taken to be wrong by up to `(D + 8) 2^-24`, the bound for any order of summation. The test of a tile
lets through whatever may pass within that error; `bounds` then brackets the key of what came through.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hf_hyperbolic.lorentz import MIN_NORM
from hf_hyperbolic.retrieval.exact import Scoring

ROUNDING = 2.0**-24
# Scores within this are one float32 number or neighbours: at pi float32 has steps of 2.4e-7.
_SCORE_STEP = 3e-7
# Stands for infinity in thresholds: times zero it is zero.
HUGE = 1e30


class Tile(NamedTuple):
    """Part of a gallery, ready for a product with queries.

    matrix: (T, D) float32; columns: (2, T) float64, what the key needs of each item beside the product.
    """

    matrix: Tensor
    columns: Tensor


class Key(Protocol):
    """Keys of a batch of queries; thresholds are (Q,) float64 keys."""

    matrix: Tensor
    """(Q, D) float32, multiplied with `Tile.matrix`."""

    def tile(self, items: Tensor, norms: Tensor) -> Tile:
        """(T, D) float32 items and their (T,) float64 lengths -> what is multiplied."""

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


def key_of(queries: Tensor, scoring: Scoring) -> Key:
    """The key of (Q, D) queries for a scoring."""
    return AngleKey(queries, scoring) if scoring.is_angle else ProductKey(queries, scoring)


class AngleKey:
    """`+-(u - p q) / (r sqrt(1 - u^2))`, the sign chosen so that larger is better."""

    def __init__(self, queries: Tensor, scoring: Scoring) -> None:
        x = queries.double()
        norms = torch.linalg.vector_norm(x, dim=1).clamp(min=MIN_NORM)
        self.scoring = scoring
        self.sign = 1.0 if scoring.is_beta else -1.0
        self.error = (x.shape[1] + 8) * ROUNDING
        self.matrix = (self.sign * x / norms[:, None]).float()
        p, self.scale = self._query_numbers(norms)
        self.p = self.sign * p
        # rounding of p q in float32 goes in the item's favour
        self._p32 = (self.p - 8 * ROUNDING * p).float()[:, None]

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
        norms = norms.clamp(min=MIN_NORM)
        return Tile(items * (1 / norms).float()[:, None], self._item_numbers(norms))

    def estimate(self, product: Tensor, columns: Tensor) -> Tensor:
        q, r = columns.float()
        sine = (1 - product.square()).clamp_(min=self.error).sqrt_()
        return torch.addcmul(product, self._p32, q, value=-1).div_(sine.mul_(r))

    def test(
        self, product: Tensor, columns: Tensor, thresholds: Tensor, work: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        sine, result = work
        q, r = columns.float()
        # the sine may be wrong either way: which way favours the item depends on the sign of the threshold
        doubt = torch.where(thresholds > 0, -1.0, 1.0)
        t = (thresholds.clamp(-HUGE, HUGE) * (1 + doubt * 8 * ROUNDING)).float()[:, None]
        one = (1 + doubt * 3 * self.error).float()[:, None]
        torch.addcmul(one, product, product, value=-1, out=sine)
        sine.clamp_(min=0).sqrt_()
        if self.scoring.is_hyperbolic and not self.scoring.apex_is_query:
            sine.mul_(r)
        torch.addcmul(product, self._p32, q, value=-1, out=result)
        return result.addcmul_(t, sine, value=-1), torch.full_like(t, -2 * self.error)

    def bounds(self, product: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        u = product.double()
        q, r = columns
        middle = u - self.p[rows] * q
        square = 1 - u.square()
        least = r * (square - 3 * self.error).clamp(min=0).sqrt().clamp(min=1 / HUGE)
        most = r * (square + 3 * self.error).clamp(max=1).sqrt()
        low, high = middle - self.error, middle + self.error
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


class ProductKey:
    """Cosine, `u`, and distance, `tanh(a) sinh(b) u - cosh(b)`: the key is a product less a number of the item."""

    def __init__(self, queries: Tensor, scoring: Scoring) -> None:
        x = queries.double()
        norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        unit = x / norms.clamp(min=MIN_NORM)
        sinh = scoring.root_c * norms
        cosh = (1 + sinh.square()).sqrt()
        self.is_cosine = scoring.measure == "cosine"
        self.root_c = scoring.root_c
        self.cosh = cosh.squeeze(1)
        self.error = (x.shape[1] + 8) * ROUNDING
        self.matrix = (unit if self.is_cosine else scoring.root_c * sinh / cosh * unit).float()

    def tile(self, items: Tensor, norms: Tensor) -> Tile:
        if self.is_cosine:
            nothing = torch.stack([torch.zeros_like(norms), torch.ones_like(norms)])
            return Tile(items * (1 / norms.clamp(min=MIN_NORM)).float()[:, None], nothing)
        cosh = (1 + (self.root_c * norms).square()).sqrt()
        return Tile(items, torch.stack([cosh, cosh]))

    def estimate(self, product: Tensor, columns: Tensor) -> Tensor:
        return product - columns[0].float()

    def test(
        self, product: Tensor, columns: Tensor, thresholds: Tensor, work: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        t = thresholds.clamp(-HUGE, HUGE)
        floor = t - 4 * ROUNDING * t.abs()
        if self.is_cosine:
            return product, (floor - 3 * self.error).float()[:, None]
        cosh = columns[0]
        return torch.sub(product, (cosh - 3 * self.error * cosh).float(), out=work[0]), floor.float()[:, None]

    def bounds(self, product: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        less, scale = columns
        key = product.double() - less
        return key - self.error * scale, key + self.error * scale

    def loosen(self, thresholds: Tensor) -> Tensor:
        if self.is_cosine:
            return thresholds - _SCORE_STEP
        distance = (-thresholds * self.cosh).clamp(min=1).acosh()
        return torch.minimum(-(distance * (1 + _SCORE_STEP)).cosh() / self.cosh * (1 + 1e-14), thresholds)
