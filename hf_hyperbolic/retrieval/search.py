"""Exact search by angle, distance or cosine: the k best items of a gallery for every query.

The gallery is read in tiles, and no more than a tile of scores exists at a time. A float32 product and a few passes
over it, while it lies in the cache, find the items that may still enter a query's top-k (`keys`); those few are kept
with bounds (`shortlist`), and what remains at the end is scored to the last digit (`exact`) and sorted. So the result
is that of scoring every pair in float64, rounding to float32 and sorting, whatever the tiles, and the order of equal
scores is that of the gallery. Queries whose items float32 cannot tell apart are searched once more by float64
products; a k that is a good part of the gallery is scored exactly throughout.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval.embedding_rows import EmbeddingRows
from hf_hyperbolic.retrieval.exact import Scoring, pair_scores, tile_scores
from hf_hyperbolic.retrieval.keys import Key, key_of
from hf_hyperbolic.retrieval.matmul_precision import full_float32
from hf_hyperbolic.retrieval.measures import HYPERBOLIC_MEASURES, check_arguments
from hf_hyperbolic.retrieval.shortlist import Shortlist

Embeddings = Tensor | np.ndarray

# A k beyond this share of the gallery is not worth a shortlist.
_LARGE_SHARE = 1 / 16
_QUERIES = 512
_EXACT_QUERIES = 32
# Thresholds start from a sample: each item costs as much as any, a better start saves k G / sample items a query.
_SAMPLE = 4096
# Of few queries that is less than what the sample itself costs.
_FEW_QUERIES = 16
_SMALL_SAMPLE = 1024
# A query for which this share of a sample may be as good as its k-th best is not worth a search in float32.
_HOPELESS_SHARE = 1 / 8
# Items are looked at one by one only in blocks of so many that hold a maximum above the threshold.
_BLOCK = 32
_PAIRS = 8192


class SearchResult(NamedTuple):
    """Best first: (Q, min(k, G)) float32 scores and the (Q, min(k, G)) int64 gallery rows they belong to."""

    scores: Tensor
    indices: Tensor


def search(
    queries: Embeddings,
    gallery: Embeddings,
    k: int,
    measure: str = "beta",
    direction: str = "children",
    curvature: lorentz.Curvature | None = None,
    rows: Tensor | np.ndarray | None = None,
    tile_rows: int | None = None,
) -> SearchResult:
    """The k best gallery items for every query, exact: equal to scoring all pairs in float64 and sorting.

    Scores equal in float32 are ties, and go to the lower gallery row. Neither depends on `tile_rows`, the number of
    queries or the device's way of multiplying. Half-precision embeddings are taken as the numbers they are, so that the
    only loss is the rounding of what was stored. Beside its arguments and its result it needs a few tiles of memory.

    Time is that of a float32 product and some passes over it while few items lie within its rounding error of the k-th
    best. Where more do (a gallery of near-duplicates, or all in one narrow cone), the queries concerned are searched
    again in float64. The worst are items that float64 does not tell apart either, such as thousands on the query's own
    ray: each is scored as a pair, as slow as a loop over pairs.

    Args:
        queries: (Q, D) embeddings; for a hyperbolic model, space components. Tensor or numpy array, float16 to float64.
        gallery: (G, D) embeddings; may be mapped from a file, or lie on another device than the queries.
        k: any number from 1 on; beyond G all items are ranked.
        measure: one of `MEASURES`; see `scores` for what each means and its range.
        direction: "children" where queries are parents and gallery items candidate children, or "parents".
        curvature: finite c > 0 of the space of curvature -c; needed by `HYPERBOLIC_MEASURES` alone.
        rows: (m,) gallery rows that compete, in any order; all if None. `indices` are gallery rows nevertheless.
        tile_rows: gallery rows read at a time; chosen by the device and the number of queries if None.

    Returns:
        `SearchResult` on the accelerator that queries or gallery lie on, or else the CPU (MPS, without float64, too).

    Raises:
        ValueError: for an unknown measure or direction, shapes that do not match, a hyperbolic measure without
            curvature or with one that is not positive and finite, k or `tile_rows` below 1, NaN or infinite embeddings,
            or rows that are not in the gallery.
    """
    check_arguments(queries, gallery, measure, direction, curvature)
    _check_counts(k, tile_rows)
    scoring = Scoring(
        measure, direction, float(curvature) if curvature is not None and measure in HYPERBOLIC_MEASURES else None
    )
    device = _device(queries, gallery)
    asked = EmbeddingRows("queries", queries, device)
    items = EmbeddingRows("gallery", gallery, device, rows)
    k = min(k, len(items))
    scores = torch.empty(len(asked), k, dtype=torch.float32, device=device)
    indices = torch.empty(len(asked), k, dtype=torch.int64, device=device)
    shortlisted = k < _LARGE_SHARE * len(items)
    step = max(16, min(_QUERIES, 2**21 // max(k, 1))) if shortlisted else _EXACT_QUERIES
    with torch.no_grad(), torch.autocast(device.type, enabled=False), full_float32(device):
        for start in range(0, len(asked), step):
            part = slice(start, start + step)
            x, _ = asked.tile(start, start + step)
            if k == 0:
                continue
            if shortlisted:
                scores[part], positions = _search_shortlisted(x, items, k, scoring, tile_rows)
            else:
                scores[part], positions = _search_exactly(x, items, k, scoring, tile_rows)
            indices[part] = items.numbers(positions)
    return SearchResult(scores, indices)


def _search_shortlisted(
    x: Tensor,
    items: EmbeddingRows,
    k: int,
    scoring: Scoring,
    tile_rows: int | None,
    precision: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """(Q, D) queries -> (Q, k) scores and positions."""
    is_last = precision == torch.float64

    def score(rows: Tensor, positions: Tensor) -> Tensor:
        return _exact_scores(x, items, scoring, rows, positions)

    key = key_of(x, scoring, precision)
    thresholds, hopeless = _sample_thresholds(key, items, k, precision)
    # scoring a pair costs as much as some hundred of a product
    shortlist = Shortlist(key, k, thresholds, score, torch.inf if is_last else max(4 * k + 2048, len(items) / 64))
    if not is_last:
        shortlist.give_up(hopeless)
    step = tile_rows or _tile_length(len(x) * (2 if is_last else 1), x.device)
    buffers = torch.empty(3, len(x) * _whole_blocks(min(step, len(items))), dtype=precision, device=x.device)
    for start in range(0, 0 if shortlist.crowded.all() else len(items), step):
        part, norms = items.tile(start, start + step, precision)
        tile = key.tile(part.to(precision), norms)
        real, width = len(part), _whole_blocks(len(part))
        product, *work = buffers[:, : len(x) * width].view(3, len(x), width)
        tile.product(key.matrix, out=product[:, :real])
        columns = tile.columns
        if real < width:  # filled up, for the blocks
            product[:, real:] = 0
            columns = torch.nn.functional.pad(columns, (0, width - real), value=1.0)
        found, positions = _reaching(*key.test(product, columns, shortlist.thresholds, (work[0], work[1])))
        inside = positions < real
        found, positions = found[inside], positions[inside]
        low, high = key.bounds(product[found, positions], found, columns[:, positions])
        near = (high >= shortlist.thresholds[found]).nonzero().flatten()
        shortlist.add(found[near], positions[near] + start, low[near], high[near])
    scores, positions = _ranked(k, score, *shortlist.items())
    crowded = shortlist.crowded.nonzero().flatten()
    if len(crowded):
        scores[crowded], positions[crowded] = _search_shortlisted(
            x[crowded], items, k, scoring, tile_rows, torch.float64
        )
    return scores, positions


def _whole_blocks(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK


def _sample_thresholds(key: Key, items: EmbeddingRows, k: int, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """(Q,) keys that k items spread over the gallery reach, for certain, and where so many may reach them that it is
    hopeless."""
    few = len(key.matrix) <= _FEW_QUERIES
    size = min(len(items), max(_SMALL_SAMPLE if few else _SAMPLE, 4 * k))
    # spread, since a gallery may be stored sorted by category or radius
    chosen = torch.arange(size) * len(items) // size
    part, norms = items.checked(items.take(chosen), precision)
    tile = key.tile(part.to(precision), norms)
    columns = tile.columns
    product = tile.product(key.matrix)
    best = key.estimate(product, columns).topk(k, dim=1).indices
    rows = torch.arange(len(product), device=product.device)[:, None].expand_as(best).flatten()
    low, _ = key.bounds(product.gather(1, best).flatten(), rows, columns[:, best.flatten()])
    thresholds = low.view(best.shape).min(dim=1).values
    work = (torch.empty_like(product), torch.empty_like(product))
    values, floors = key.test(product, columns, key.loosen(thresholds), work)
    return thresholds, (values >= floors).sum(dim=1) - k > _HOPELESS_SHARE * size


def _reaching(values: Tensor, floors: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of those few of (Q, T) values that reach the (Q, 1) floors, T a multiple of `_BLOCK`."""
    queries, width = values.shape
    blocks = width // _BLOCK
    # block b is the columns b, b + blocks, ...: a maximum over them runs along contiguous memory
    blocked = values.view(queries, _BLOCK, blocks)
    rows, block = (blocked.amax(dim=1) >= floors).nonzero(as_tuple=True)
    hit, inside = (blocked[rows, :, block] >= floors[rows]).nonzero(as_tuple=True)
    return rows[hit], inside * blocks + block[hit]


def _exact_scores(x: Tensor, items: EmbeddingRows, scoring: Scoring, rows: Tensor, positions: Tensor) -> Tensor:
    """Scores of the (n,) queries `rows` for the items at (n,) positions."""
    exact = [
        pair_scores(x[row], items.take(position), scoring)
        for row, position in zip(rows.split(_PAIRS), positions.split(_PAIRS), strict=True)
    ]
    return torch.cat(exact) if exact else x.new_zeros(0, dtype=torch.float32)


def _ranked(
    k: int, score: Callable[[Tensor, Tensor], Tensor], positions: Tensor, real: Tensor
) -> tuple[Tensor, Tensor]:
    """The k best of (Q, W) increasing positions, where they are `real`: at least k for all but crowded queries."""
    rows, slots = real.nonzero(as_tuple=True)
    width = max(k, positions.shape[1])
    scores = torch.full((len(real), width), -torch.inf, dtype=torch.float32, device=real.device)
    scores[rows, slots] = score(rows, positions[rows, slots])
    # a stable sort: ties stay in the order of the gallery
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    positions = torch.nn.functional.pad(positions, (0, width - positions.shape[1])).clamp(min=0)
    return scores[:, :k], positions.gather(1, order[:, :k])


def _search_exactly(
    x: Tensor, items: EmbeddingRows, k: int, scoring: Scoring, tile_rows: int | None
) -> tuple[Tensor, Tensor]:
    """(Q, D) queries -> (Q, k) scores and positions, every pair scored exactly."""
    scores = torch.empty(len(x), 0, dtype=torch.float32, device=x.device)
    positions = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
    # merging sorts k + step items a tile: with less than k new ones a time, most of it would be the old ones again
    step = tile_rows or max(k, 4096)
    for start in range(0, len(items), step):
        part, _ = items.tile(start, start + step)
        # of the width of a cache again, whatever k
        new = torch.cat([tile_scores(x, some, scoring) for some in part.split(4096)], dim=1)
        numbers = torch.arange(start, start + len(part), device=x.device).expand(len(x), -1)
        # a stable sort, later items behind: ties stay in the order of the gallery
        scores, order = torch.cat([scores, new], dim=1).sort(dim=1, descending=True, stable=True)
        scores, order = scores[:, :k], order[:, :k]
        positions = torch.cat([positions, numbers], dim=1).gather(1, order)
    return scores, positions


def _tile_length(queries: int, device: torch.device) -> int:
    """Gallery rows a tile: its scores fill the processor's cache, or on an accelerator a small part of its memory."""
    if device.type == "cpu":
        return max(1024, min(2**20 // queries, 16384))
    return max(8192, min(2**25 // queries, 2**17))


def _device(queries: Embeddings, gallery: Embeddings) -> torch.device:
    for embeddings in (queries, gallery):
        # MPS has no float64
        if isinstance(embeddings, Tensor) and embeddings.device.type not in ("cpu", "mps"):
            return embeddings.device
    return torch.device("cpu")


def _check_counts(k: int, tile_rows: int | None) -> None:
    if k < 1:
        raise ValueError(f"k is {k}: ask for at least 1 item")
    if tile_rows is not None and tile_rows < 1:
        raise ValueError(f"tile_rows is {tile_rows}: a tile has at least 1 row")
