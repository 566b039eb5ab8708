"""A Qdrant collection as a whole: made, opened, copied, packed and closed, here or on a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from tqdm import tqdm

from hf_hyperbolic.retrieval.qdrant_embedded import EdgeEngine
from hf_hyperbolic.retrieval.qdrant_engine import Engine, Settings, need
from hf_hyperbolic.retrieval.qdrant_input import refuse_reserved
from hf_hyperbolic.retrieval.qdrant_server import ServerEngine

FIELDS = {"class": "keyword", "level": "integer", "split": "keyword"}


class Collection:
    """What `QdrantIndex` does with a collection as a whole."""

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
        origin: Mapping[str, str] | None = None,
        **client: Any,
    ) -> Self:
        """A new, empty collection.

        Args:
            dim: dimension of the embeddings.
            curvature: c > 0 of the model's space of curvature -c, None for a Euclidean model.
            path: folder of an embedded collection.
            url: address of a server, such as "http://localhost:6333"; ":memory:" is the client's imitation of one.
            collection: its name on the server.
            fields: payload fields to filter by and their types, "keyword" for texts or "integer".
            origin: what the points come from, kept with the collection; for `copy_to_qdrant`.
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
        space = None if curvature is None else float(curvature)
        settings = Settings(dim, space, dict(fields), None if origin is None else dict(origin))
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
        curvature: float | Literal["any"] | None = "any",
        **client: Any,
    ) -> Self:
        """A collection that exists.

        Args:
            path: folder of an embedded collection.
            url: address of a server.
            collection: its name on the server.
            dim: if given, the collection must be of this dimension.
            curvature: if given, the collection must be of this curvature (to 1e-6 of it), None for a Euclidean model.
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

    @property
    def origin(self) -> dict[str, str] | None:
        """What the points come from, as `create` was told."""
        return self._engine.settings.origin

    def adopt(self, fields: Mapping[str, str], origin: Mapping[str, str]) -> None:
        """Makes an empty collection one that a copy may be written to; fields that it has stay.

        Raises:
            ValueError: it holds points, or one of the fields with another type.
        """
        if len(self):
            raise ValueError(f"the collection holds {len(self)} points: only an empty one becomes a copy")
        for name, kind in fields.items():
            if self.fields.get(name, kind) != kind:
                raise ValueError(f"field {name!r} of the collection is of type {self.fields[name]!r}, not {kind!r}")
        settings = self._engine.settings
        self._engine.adopt(settings._replace(fields={**settings.fields, **fields}, origin=dict(origin)))

    def __len__(self) -> int:
        return self._engine.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

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
    def restore(cls, snapshot: str | Path, path: str | Path) -> Self:
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

    def _refuse_another_space(self, dim: int | None, curvature: float | Literal["any"] | None) -> None:
        if dim is not None and dim != self.dim:
            raise ValueError(f"the collection holds embeddings of dimension {self.dim}, not {dim}: another model's")
        if curvature == "any" or curvature is self.curvature is None:
            return
        if curvature is None or self.curvature is None or abs(curvature - self.curvature) > 1e-6 * self.curvature:
            raise ValueError(f"the collection is of curvature {self.curvature}, not {curvature}: another model's")


def _one_place(path: str | Path | None, url: str | None) -> Path | None:
    if (path is None) == (url is None):
        raise ValueError("give either path (a folder) or url (a server)")
    return None if path is None else Path(path)


def _client(url: str | None, options: Mapping[str, Any]) -> Any:
    client = need("qdrant_client").QdrantClient
    return client(":memory:") if url == ":memory:" else client(url=url, **options)
