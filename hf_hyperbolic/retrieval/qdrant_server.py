"""A collection of a Qdrant server or cluster, reached through `qdrant-client`."""

import time
from collections.abc import Sequence
from typing import Any

from hf_hyperbolic.retrieval.qdrant_engine import FORMAT, HNSW, Points, Settings, need, parse_settings, payload_indexes
from hf_hyperbolic.retrieval.qdrant_requests import Json


class ServerEngine:
    """A collection of a Qdrant server or cluster, reached through `qdrant-client`. Needs Qdrant 1.16 or later."""

    def __init__(self, client: Any, collection: str, settings: Settings):
        self.settings = settings
        self._client = client
        self._name = collection

    @classmethod
    def create(cls, client: Any, collection: str, settings: Settings) -> "ServerEngine":
        models = need("qdrant_client").models
        if client.collection_exists(collection):
            raise FileExistsError(
                f"the server holds a collection {collection!r} already: open it, or give another name"
            )
        client.create_collection(
            collection,
            vectors_config=models.VectorParams(size=settings.dim + 1, distance=models.Distance.DOT),
            hnsw_config=models.HnswConfigDiff(**HNSW),
            metadata=_metadata(settings),
        )
        engine = cls(client, collection, settings)
        engine._index_fields()
        return engine

    @classmethod
    def open(cls, client: Any, collection: str) -> "ServerEngine":
        if not client.collection_exists(collection):
            raise FileNotFoundError(f"the server holds no collection {collection!r}: create it first")
        metadata = client.get_collection(collection).config.metadata or {}
        settings = parse_settings(metadata.get("hf_hyperbolic"), f"collection {collection!r}")
        return cls(client, collection, settings)

    def adopt(self, settings: Settings) -> None:
        self.settings = settings
        self._index_fields()
        self._client.update_collection(self._name, metadata=_metadata(settings))

    def _index_fields(self) -> None:
        for name, kind in payload_indexes(self.settings.fields).items():
            self._client.create_payload_index(self._name, field_name=name, field_schema=kind, wait=True)

    def count(self, where: Json | None = None) -> int:
        models = need("qdrant_client").models
        wanted = None if where is None else models.Filter(**where)
        return self._client.count(self._name, count_filter=wanted, exact=True).count

    def upsert(self, points: Points) -> None:
        models = need("qdrant_client").models
        batch = models.Batch(ids=points.ids, vectors=points.vectors.tolist(), payloads=points.payloads)
        self._client.upsert(self._name, points=batch, wait=True)

    def query(self, bodies: Sequence[Json]) -> list[list[tuple[int, float]]]:
        models = need("qdrant_client").models
        requests = [models.QueryRequest(**body) for body in bodies]
        found = self._client.query_batch_points(self._name, requests=requests)
        return [[(point.id, point.score) for point in response.points] for response in found]

    def payloads(self, ids: Sequence[int]) -> dict[int, Json]:
        return {record.id: record.payload or {} for record in self._client.retrieve(self._name, list(ids))}

    def build(self) -> None:
        """Waits until the server's own optimizers are done."""
        while (status := str(self._client.get_collection(self._name).status.value)) != "green":
            if status == "red":
                raise RuntimeError(f"the server could not index collection {self._name!r}: see its log")
            time.sleep(1)

    def flush(self) -> None:
        pass  # every upsert has waited

    def close(self) -> None:
        self._client.close()


def _metadata(settings: Settings) -> Json:
    return {"hf_hyperbolic": {"format": FORMAT, **settings._asdict()}}
