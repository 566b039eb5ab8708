"""Checks of what is added to an index and asked of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hf_hyperbolic.retrieval.measures import DIRECTIONS, HYPERBOLIC_MEASURES, MEASURES, bad_rows
from hf_hyperbolic.retrieval.qdrant_requests import RESERVED

Embeddings = Tensor | np.ndarray


def array(embeddings: Embeddings) -> np.ndarray:
    if isinstance(embeddings, Tensor):
        return embeddings.detach().double().cpu().numpy()
    return np.asarray(embeddings)


def slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def not_finite(embeddings: Embeddings, start: int) -> list[int]:
    return (np.flatnonzero(~np.isfinite(array(embeddings)).all(axis=1)) + start).tolist()


def refuse_rows(name: str, bad: Sequence[int], count: int) -> None:
    if bad:
        raise bad_rows(name, list(bad), count)


def refuse_reserved(name: str) -> None:
    if name in RESERVED:
        raise ValueError(f"the payload field {name!r} is taken by the index: name yours otherwise")


def checked_ids(ids: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    numbers = np.asarray(ids)
    if numbers.shape != (count,) or (count and not np.issubdtype(numbers.dtype, np.integer)):
        raise ValueError(f"ids have shape {numbers.shape} and type {numbers.dtype}: give {count} integers")
    if count and numbers.min() < 0:
        raise ValueError(f"ids hold {numbers.min()}: give numbers from 0 on")
    distinct, counts = np.unique(numbers, return_counts=True)
    if len(distinct) < count:
        raise ValueError(f"ids hold {distinct[counts > 1][0]} more than once")
    return numbers.astype(np.int64)


def checked_columns(
    payload: Mapping[str, Sequence[Any]], count: int, fields: Mapping[str, str]
) -> dict[str, list[Any]]:
    columns = {}
    for name, values in payload.items():
        refuse_reserved(name)
        column = [value.item() if isinstance(value, np.generic) else value for value in values]
        if len(column) != count:
            raise ValueError(f"payload {name!r} has {len(column)} values for {count} embeddings")
        kind = {"keyword": str, "integer": int}.get(fields.get(name, ""), object)
        for row, value in enumerate(column):
            if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
                raise ValueError(
                    f"payload {name!r} holds {value!r} in row {row}: the field holds {fields[name]} values"
                )
        columns[name] = column
    return columns


def check_search(k: int, measure: str, direction: str, prefetch: int | None, curvature: float | None) -> None:
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: choose one of {', '.join(MEASURES)}")
    if direction not in DIRECTIONS:
        raise ValueError(f"unknown direction {direction!r}: choose one of {', '.join(DIRECTIONS)}")
    if measure in HYPERBOLIC_MEASURES and curvature is None:
        raise ValueError(f"measure {measure!r} is hyperbolic and this collection was made without a curvature")
    if k < 1:
        raise ValueError(f"k is {k}: ask for at least 1")
    if prefetch is not None and prefetch < k:
        raise ValueError(f"prefetch is {prefetch}: fetch at least the k = {k} results asked for")
