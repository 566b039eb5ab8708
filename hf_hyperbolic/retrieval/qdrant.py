"""An index of embeddings in Qdrant: approximate candidates, exact scores, filters, from one process to a cluster."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.retrieval.qdrant_collection import Collection
from hf_hyperbolic.retrieval.qdrant_engine import Points
from hf_hyperbolic.retrieval.qdrant_input import (
    Embeddings,
    array,
    check_search,
    checked_columns,
    checked_ids,
    not_finite,
    refuse_rows,
    slices,
)
from hf_hyperbolic.retrieval.qdrant_requests import (
    COSH,
    KLEIN_SQUARED,
    RESERVED,
    Json,
    Where,
    condition,
    place,
    requests,
    to_scores,
)

PREFETCH = 1000
_ADDED_AT_ONCE = 1000
_ASKED_AT_ONCE = 32


class Found(NamedTuple):
    """Results, best first; ties go to the lower id.

    Attributes:
        scores: (Q, k) float32, as `retrieval.scores` defines them; -inf where fewer than k were found.
        ids: (Q, k) int64; -1 where fewer than k were found.
    """

    scores: np.ndarray
    ids: np.ndarray


class QdrantIndex(Collection):
    """A collection of embeddings that is searched by any measure in either direction.

    Make one with `create` or `open`, and close it, best by `with`. With `path` the collection is a folder and the
    engine runs in this process; with `url` it lives on a Qdrant server or cluster. Points, requests and results are the
    same. What is stored and asked is described in `hf_hyperbolic.retrieval.qdrant_requests`.
    """

    def add(
        self,
        embeddings: Embeddings,
        ids: Sequence[int] | np.ndarray | None = None,
        payload: Mapping[str, Sequence[Any]] | None = None,
        progress: bool = False,
    ) -> None:
        """Adds embeddings, or replaces those whose ids there are.

        Written in batches of 1,000, each whole or not there. After an interruption, add the same again with the same
        `ids`. Call `build` once all is added.

        Args:
            embeddings: (N, D) space components; a memory map is read a batch at a time.
            ids: N distinct numbers from 0 on; if not given, counted on from the number of points.
            payload: columns of N values each, such as `{"class": [...], "level": [...], "box": [...]}`. Fields of the
                collection must be of its types. None leaves the field of that point empty.
            progress: show a progress bar.

        Raises:
            ValueError: for another dimension, NaN or infinite values, bad ids, or columns of another length or type.
        """
        count = len(embeddings)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise ValueError(f"embeddings have shape {tuple(embeddings.shape)}: this collection holds (N, {self.dim})")
        numbers = self._new_ids(count) if ids is None else checked_ids(ids, count)
        columns = checked_columns(payload or {}, count, self.fields)
        # all is checked before anything is written
        bad = [row for part in slices(count, _ADDED_AT_ONCE) for row in not_finite(embeddings[part], part.start)]
        refuse_rows("embeddings", bad, count)
        with tqdm(total=count, desc="adding", unit=" embeddings", disable=not progress) as bar:
            for part in slices(count, _ADDED_AT_ONCE):
                placed = place(array(embeddings[part]), self.curvature or 1.0)
                payloads: list[Json] = [
                    {KLEIN_SQUARED: float(tanh**2), COSH: float(cosh)}
                    for tanh, cosh in zip(placed.tanh, placed.cosh, strict=True)
                ]
                for name, column in columns.items():
                    for entry, value in zip(payloads, column[part], strict=True):
                        if value is not None:
                            entry[name] = value
                self._engine.upsert(Points(numbers[part].tolist(), placed.vectors(), payloads))
                bar.update(len(payloads))
        self._engine.flush()

    def build(self) -> None:
        """Builds the HNSW graph over what was added; searches before it compare every point that is not in it."""
        self._engine.build()

    def search(
        self,
        embeddings: Embeddings,
        k: int,
        measure: str = "beta",
        direction: str = "children",
        where: Where | None = None,
        prefetch: int | None = None,
        exact: bool = False,
    ) -> Found:
        """The best k points for every query.

        Args:
            embeddings: (Q, D) queries.
            k: results a query.
            measure: one of `retrieval.MEASURES`; see `retrieval.scores`.
            direction: one of `retrieval.DIRECTIONS`.
            where: only points with these values, such as `{"class": ["car", "bus"], "level": 0}`.
            prefetch: candidates that are scored exactly, at least k; 1,000 or k if not given. More find more.
            exact: score every point. Slow, with nothing missed.

        Returns:
            `Found`, with k columns, or fewer where `where` leaves fewer points than k.

        Raises:
            ValueError: for an unknown measure, direction or field, a hyperbolic measure in a Euclidean collection,
                k < 1, prefetch < k, another dimension, or queries with NaN or infinite values.
        """
        check_search(k, measure, direction, prefetch, self.curvature)
        queries = array(embeddings)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"queries have shape {queries.shape}: this collection takes (Q, {self.dim})")
        refuse_rows("queries", not_finite(queries, 0), len(queries))
        wanted = condition(where, self.fields)
        fetched = self._engine.count(wanted) if exact else prefetch or max(PREFETCH, k)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        columns = 0
        for part in slices(len(queries) if fetched else 0, 1 if exact else _ASKED_AT_ONCE):
            placed = place(queries[part], self.curvature or 1.0)
            answers = self._engine.query(requests(placed, k, measure, direction, wanted, fetched, exact))
            for row, answer in enumerate(answers, part.start):
                points = np.array([point for point, _ in answer], dtype=np.int64)
                values = to_scores(np.array([value for _, value in answer]), measure, self.curvature or 1.0)
                order = np.lexsort((points, -values))
                ids[row, : len(points)], scores[row, : len(points)] = points[order], values[order]
                columns = max(columns, len(points))
        return Found(scores[:, :columns], ids[:, :columns])

    def payload(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        """What was given with the points of these ids, in their order.

        Raises:
            KeyError: naming ids that there are not.
        """
        numbers = [int(number) for number in ids]
        stored = self._engine.payloads(sorted(set(numbers)))
        if missing := [number for number in numbers if number not in stored]:
            raise KeyError(f"no points with the ids {missing[:5]}")
        return [{name: value for name, value in stored[n].items() if name not in RESERVED} for n in numbers]

    def _new_ids(self, count: int) -> np.ndarray:
        start = len(self)
        for part in slices(count, 10 * _ADDED_AT_ONCE):
            taken = {"must": [{"has_id": list(range(start + part.start, start + part.stop))}]}
            if self._engine.count(taken):
                raise ValueError(
                    f"the collection has {start} points, but not numbered from 0 to {start - 1}: give ids for new ones"
                )
        return np.arange(start, start + count)
