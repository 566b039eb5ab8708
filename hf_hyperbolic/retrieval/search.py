"""Exact top-k of a gallery for each query."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval.measures import scores

_CHUNK = 1 << 16


class SearchResult(NamedTuple):
    """
    Attributes:
        scores: (Q, min(k, G)) float32, best first.
        indices: (Q, min(k, G)) int64 gallery rows.
    """

    scores: Tensor
    indices: Tensor


def search(
    queries: Tensor | np.ndarray,
    gallery: Tensor | np.ndarray,
    k: int,
    measure: str = "beta",
    direction: str = "children",
    curvature: lorentz.Curvature | None = None,
    rows: Tensor | np.ndarray | None = None,
) -> SearchResult:
    """The k best gallery items for each query, ties to the lower index."""
    queries, gallery = torch.as_tensor(queries), torch.as_tensor(gallery)
    scores(queries, gallery[:0], measure, direction, curvature)
    chosen = torch.arange(len(gallery)) if rows is None else torch.as_tensor(rows)
    best = SearchResult(torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64))
    for start in range(0, len(chosen), _CHUNK):
        part = chosen[start : start + _CHUNK]
        found = scores(queries, gallery[part], measure, direction, curvature).float()
        joined = torch.cat([best.scores, found], 1)
        indices = torch.cat([best.indices, part.expand(len(queries), -1)], 1)
        order = joined.sort(dim=1, descending=True, stable=True).indices[:, :k]
        best = SearchResult(joined.gather(1, order), indices.gather(1, order))
    return best
