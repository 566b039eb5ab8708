"""An index of embeddings in Qdrant: approximate candidates, exact scores, filters, from one process to a cluster."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.retrieval.qdrant_embedded import EdgeEngine
from hf_hyperbolic.retrieval.qdrant_engine import Engine, Points, Settings, need
from hf_hyperbolic.retrieval.qdrant_input import (
    Embeddings,
    array,
    check_search,
    checked_columns,
    checked_ids,
    not_finite,
    refuse_reserved,
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
from hf_hyperbolic.retrieval.qdrant_server import ServerEngine

FIELDS = {"class": "keyword", "level": "integer", "split": "keyword"}
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


class QdrantIndex:
    """A collection of embeddings that is searched by any measure in either direction.

    Make one with `create` or `open`, and close it, best by `with`. With `path` the collection is a folder and the
    engine runs in this process; with `url` it lives on a Qdrant server or cluster. Points, requests and results are the
    same. What is stored and asked is described in `hf_hyperbolic.retrieval.qdrant_requests`.
    """

    def __init__(self, engine: Engine):
        self._engine = engine

    @classmethod
    def create(
        cls,
        dim: int,
        curvature: float | None,
        path: str | Path | None = None,
        url: str | None = None,
        collection: str = "embeddings",
        fields: Mapping[str, str] = FIELDS,
        **client: Any,
    ) -> "QdrantIndex":
        """A new, empty collection.

        Args:
            dim: dimension of the embeddings.
            curvature: c > 0 of the model's space of curvature -c, None for a Euclidean model.
            path: folder of an embedded collection.
            url: address of a server, such as "http://localhost:6333"; ":memory:" is the client's imitation of one.
            collection: its name on the server.
            fields: payload fields to filter by and their types, "keyword" for texts or "integer".
            client: further arguments for `qdrant_client.QdrantClient`, such as `api_key`.

        Raises:
            ValueError: unless exactly one of `path` and `url` is given, or for a bad dimension, curvature or field.
            FileExistsError: where there is such a collection, or the folder is not empty.
            ImportError: naming the package to install.
        """
        if dim < 1:
            raise ValueError(f"dim is {dim}: give the dimension of the embeddings")
        if curvature is not None and not 0 < curvature < float("inf"):
            raise ValueError(f"curvature is {curvature}: give c > 0, or None for a Euclidean model")
        for name, kind in fields.items():
            if kind not in ("keyword", "integer"):
                raise ValueError(f"field {name!r} is of type {kind!r}: choose 'keyword' or 'integer'")
            refuse_reserved(name)
        settings = Settings(dim, None if curvature is None else float(curvature), dict(fields))
        if (folder := _one_place(path, url)) is not None:
            return cls(EdgeEngine.create(folder, settings))
        return cls(ServerEngine.create(_client(url, client), collection, settings))

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        url: str | None = None,
        collection: str = "embeddings",
        dim: int | None = None,
        curvature: float | None = None,
        **client: Any,
    ) -> "QdrantIndex":
        """A collection that exists.

        Args:
            path: folder of an embedded collection.
            url: address of a server.
            collection: its name on the server.
            dim: if given, the collection must be of this dimension.
            curvature: if given, the collection must be of this curvature (to 1e-6 of it).
            client: further arguments for `qdrant_client.QdrantClient`.

        Raises:
            FileNotFoundError: where there is no collection.
            BlockingIOError: for a folder that is open already.
            ValueError: for another dimension or curvature, or a damaged or foreign collection.
            ImportError: naming the package to install.
        """
        folder = _one_place(path, url)
        engine: Engine = EdgeEngine.open(folder) if folder else ServerEngine.open(_client(url, client), collection)
        index = cls(engine)
        try:
            index._refuse_another_space(dim, curvature)
        except ValueError:
            index.close()
            raise
        return index

    @property
    def dim(self) -> int:
        return self._engine.settings.dim

    @property
    def curvature(self) -> float | None:
        return self._engine.settings.curvature

    @property
    def fields(self) -> dict[str, str]:
        """Payload fields to filter by, with their types."""
        return dict(self._engine.settings.fields)

    def __len__(self) -> int:
        return self._engine.count()

    def __enter__(self) -> "QdrantIndex":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

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

    def copy_to(self, url: str, collection: str = "embeddings", progress: bool = False, **client: Any) -> None:
        """Copies an embedded collection to a server, which then builds its own graph.

        The collection is created there; one that an interrupted copy left is completed.

        Args:
            url: address of the server.
            collection: its name there.
            progress: show a progress bar.
            client: further arguments for `qdrant_client.QdrantClient`.

        Raises:
            ValueError: if this is not an embedded collection, or the one there is of another space.
        """
        source = self._embedded()
        there = _client(url, client)
        try:
            if there.collection_exists(collection):
                target = ServerEngine.open(there, collection)
                if target.settings != source.settings:
                    raise ValueError(
                        f"collection {collection!r} of the server was made for {target.settings}, this one for "
                        f"{source.settings}: give another name"
                    )
            else:
                target = ServerEngine.create(there, collection, source.settings)
            with tqdm(total=len(self), desc="copying", unit=" embeddings", disable=not progress) as bar:
                for points in source.points():
                    target.upsert(points)
                    bar.update(len(points.ids))
        finally:
            there.close()

    def snapshot(self, path: str | Path) -> None:
        """Writes an embedded collection, graph included, to one file and goes on with it."""
        source = self._embedded()
        source.flush()
        source.close()
        try:
            source.archive(Path(path))
        finally:
            self._engine = EdgeEngine.open(source.folder)

    @classmethod
    def restore(cls, snapshot: str | Path, path: str | Path) -> "QdrantIndex":
        """An embedded collection from what `snapshot` wrote, in a new folder.

        Raises:
            FileNotFoundError: where there is no such file.
            FileExistsError: where the folder exists.
            ValueError: for a file that is no snapshot.
        """
        return cls(EdgeEngine.unpack(Path(snapshot), Path(path)))

    def close(self) -> None:
        """Writes what is pending and lets go of the folder or the connection."""
        self._engine.close()

    def _embedded(self) -> EdgeEngine:
        if not isinstance(self._engine, EdgeEngine):
            raise ValueError("this collection lives on a server: use the server's own snapshots")
        return self._engine

    def _refuse_another_space(self, dim: int | None, curvature: float | None) -> None:
        if dim is not None and dim != self.dim:
            raise ValueError(f"the collection holds embeddings of dimension {self.dim}, not {dim}: another model's")
        if curvature is None:
            return
        if self.curvature is None or abs(curvature - self.curvature) > 1e-6 * self.curvature:
            raise ValueError(f"the collection is of curvature {self.curvature}, not {curvature}: another model's")

    def _new_ids(self, count: int) -> np.ndarray:
        start = len(self)
        for part in slices(count, 10 * _ADDED_AT_ONCE):
            taken = {"must": [{"has_id": list(range(start + part.start, start + part.stop))}]}
            if self._engine.count(taken):
                raise ValueError(
                    f"the collection has {start} points, but not numbered from 0 to {start - 1}: give ids for new ones"
                )
        return np.arange(start, start + count)


def _one_place(path: str | Path | None, url: str | None) -> Path | None:
    if (path is None) == (url is None):
        raise ValueError("give either path (a folder) or url (a server)")
    return None if path is None else Path(path)


def _client(url: str | None, options: Mapping[str, Any]) -> Any:
    client = need("qdrant_client").QdrantClient
    return client(":memory:") if url == ":memory:" else client(url=url, **options)
