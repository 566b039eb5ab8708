"""A collection in a folder, searched in this process by Qdrant's engine through `qdrant-edge-py`."""

import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_hyperbolic.data.files import write_text, written_aside
from hf_hyperbolic.retrieval.qdrant_engine import FORMAT, HNSW, Points, Settings, need, parse_settings, payload_indexes
from hf_hyperbolic.retrieval.qdrant_requests import Json

_SETTINGS = "hf_hyperbolic.json"
_SCROLL = 1000


class EdgeEngine:
    """A shard in a folder, searched in this process through `qdrant-edge-py`. One process at a time."""

    def __init__(self, folder: Path, settings: Settings, shard: Any):
        self.folder = folder
        self.settings = settings
        self._shard = shard

    @classmethod
    def create(cls, folder: Path, settings: Settings) -> "EdgeEngine":
        edge = need("qdrant_edge")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            if (folder / _SETTINGS).exists():
                raise FileExistsError(f"{folder} holds a collection already: open it, or give another folder")
            raise FileExistsError(f"{folder} exists and is not empty: give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        params = edge.EdgeVectorParams(size=settings.dim + 1, distance=edge.Distance.Dot)
        config = edge.EdgeConfig(vectors=params, hnsw_config=edge.HnswIndexConfig(**HNSW))
        shard = edge.EdgeShard.create(str(folder), config)
        engine = cls(folder, settings, shard)
        engine.adopt(settings)
        return engine

    @classmethod
    def open(cls, folder: Path) -> "EdgeEngine":
        edge = need("qdrant_edge")
        settings, written = _read_settings(folder)
        _refuse_shorter_files(folder, written["sizes"])
        try:
            shard = edge.EdgeShard.load(str(folder))
        except Exception as error:  # the engine raises no other kind
            if "WouldBlock" in str(error):
                raise BlockingIOError(
                    f"{folder} is open already, here or in another process: close it there, or use a server"
                ) from error
            raise ValueError(f"{folder} is damaged and cannot be opened ({error}): build it again") from error
        engine = cls(folder, settings, shard)
        # the engine does not miss segments that are gone
        if (left := engine.count()) < written["points"]:
            engine.close()
            raise ValueError(f"{folder} is damaged: {left} of {written['points']} embeddings are left, build it again")
        return engine

    def adopt(self, settings: Settings) -> None:
        edge = need("qdrant_edge")
        kinds = edge.PayloadSchemaType
        for name, kind in payload_indexes(settings.fields).items():
            kind = {"float": kinds.Float, "keyword": kinds.Keyword, "integer": kinds.Integer}[kind]
            self._shard.update(edge.UpdateOperation.create_field_index(name, kind))
        self.settings = settings
        # last, so that a folder with settings is one that was made to its end
        self.flush()

    def count(self, where: Json | None = None) -> int:
        edge = need("qdrant_edge")
        return self._shard.count(edge.CountRequest(filter=_edge_filter(where), exact=True))

    def upsert(self, points: Points) -> None:
        edge = need("qdrant_edge")
        rows = zip(*points, strict=True)
        self._shard.update(edge.UpdateOperation.upsert_points([edge.Point(*row) for row in rows]))

    def query(self, bodies: Sequence[Json]) -> list[list[tuple[int, float]]]:
        edge = need("qdrant_edge")
        found = self._shard.query_batch(edge.QueryBatchRequest([_edge_request(body) for body in bodies]))
        return [[(point.id, point.score) for point in points] for points in found]

    def payloads(self, ids: Sequence[int]) -> dict[int, Json]:
        return {record.id: record.payload or {} for record in self._shard.retrieve(list(ids), True, False)}

    def points(self) -> Iterator[Points]:
        """All points in the order of their ids, a batch at a time."""
        edge = need("qdrant_edge")
        offset = None
        while True:
            request = edge.ScrollRequest(offset=offset, limit=_SCROLL, with_payload=True, with_vector=True)
            records, offset = self._shard.scroll(request)
            if records:
                vectors = np.array([_unnamed(record.vector) for record in records], dtype=np.float32)
                yield Points([record.id for record in records], vectors, [record.payload or {} for record in records])
            if offset is None:
                return

    def build(self) -> None:
        self._shard.optimize()
        self.flush()

    def flush(self) -> None:
        self._shard.flush()
        content = {"format": FORMAT, **self.settings._asdict(), "points": self.count(), "sizes": _sizes(self.folder)}
        write_text(self.folder / _SETTINGS, json.dumps(content, indent=1) + "\n")

    def close(self) -> None:
        self._shard.close()

    def archive(self, path: Path) -> None:
        """Writes the closed shard as one tar file, which `EdgeEngine.unpack` turns into a folder again."""
        with written_aside(path) as aside, tarfile.open(aside, "w") as archive:
            for name in sorted(os.listdir(self.folder)):
                if name != "wal":  # the log of updates repeats what the flushed segments hold
                    archive.add(self.folder / name, arcname=name)

    @classmethod
    def unpack(cls, path: Path, folder: Path) -> "EdgeEngine":
        edge = need("qdrant_edge")
        if not path.is_file():
            raise FileNotFoundError(f"no snapshot at {path}")
        if folder.exists():
            raise FileExistsError(f"{folder} exists: give a new folder to restore {path} to")
        aside = folder.with_name(f".writing-{folder.name}-hf-hyperbolic")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            edge.EdgeShard.unpack_snapshot(str(path), str(aside))
            _read_settings(aside)
            os.replace(aside, folder)
        except Exception as error:
            raise ValueError(f"{path} is no snapshot of a collection, or is cut short ({error})") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return cls.open(folder)


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in (folder / "segments").rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _refuse_shorter_files(folder: Path, sizes: Mapping[str, int]) -> None:
    # the engine reads zeros where vectors are cut off; a file that is gone belonged to a segment merged since
    for name, size in sizes.items():
        path = folder / name
        if path.exists() and path.stat().st_size < size:
            raise ValueError(f"{folder} is damaged: {name} is cut short, build it again")


def _read_settings(folder: Path) -> tuple[Settings, Json]:
    path = folder / _SETTINGS
    if not folder.is_dir():
        raise FileNotFoundError(f"no collection at {folder}")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no collection of embeddings, or was not made to its end: no {_SETTINGS}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): build the collection again") from error
    return parse_settings(content, str(path)), content


def _unnamed(vector: Any) -> Any:
    return vector[""] if isinstance(vector, dict) else vector


def _edge_request(body: Json) -> Any:
    edge = need("qdrant_edge")
    return edge.QueryRequest(
        limit=body["limit"],
        query=edge.Formula(_edge_expression(body["query"]["formula"])),
        prefetches=[_edge_prefetch(stage) for stage in body["prefetch"]],
        with_payload=body["with_payload"],
    )


def _edge_prefetch(stage: Json) -> Any:
    edge = need("qdrant_edge")
    params = stage.get("params")
    return edge.Prefetch(
        limit=stage["limit"],
        query=edge.Query.Nearest(stage["query"]),
        prefetches=[_edge_prefetch(inner) for inner in stage.get("prefetch", [])],
        params=edge.SearchParams(exact=params["exact"]) if params else None,
        filter=_edge_filter(stage.get("filter")),
    )


def _edge_expression(expression: Any) -> Any:
    kinds = need("qdrant_edge").Expression
    if isinstance(expression, str):
        return kinds.Variable(expression)
    if isinstance(expression, int | float):
        return kinds.Constant(float(expression))
    ((name, value),) = expression.items()
    if name in ("sum", "mult"):
        return getattr(kinds, name.capitalize())([_edge_expression(part) for part in value])
    if name == "div":
        return kinds.Div(_edge_expression(value["left"]), _edge_expression(value["right"]), None)
    if name == "pow":
        return kinds.Pow(_edge_expression(value["base"]), _edge_expression(value["exponent"]))
    return getattr(kinds, name.capitalize())(_edge_expression(value))


def _edge_filter(where: Json | None) -> Any:
    if where is None:
        return None
    edge = need("qdrant_edge")
    must = []
    for part in where["must"]:
        if "has_id" in part:
            must.append(edge.HasIdCondition(set(part["has_id"])))
        else:
            match = part["match"]
            wanted = edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
            must.append(edge.FieldCondition(key=part["key"], match=wanted))
    return edge.Filter(must=must)
