"""What the engines that hold a collection have in common: one shard in this process, or a Qdrant server or cluster.

Both take the same points and the same requests, the JSON of Qdrant's REST interface (`qdrant_requests`).
"""

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from hf_hyperbolic.retrieval.qdrant_requests import COSH, KLEIN_SQUARED, Json

FORMAT = 1
# edges of a node and candidates while building; in kilobytes of vectors, where a search compares all of a segment
HNSW = {"m": 16, "ef_construct": 128, "full_scan_threshold": 1000}


class Settings(NamedTuple):
    """What a collection was made for; kept with it.

    Attributes:
        dim: dimension D of the embeddings.
        curvature: c > 0, None for embeddings of a Euclidean model.
        fields: fields of the payload to filter by, each with its type, "keyword" or "integer".
        origin: what the points come from, where the collection is a copy.
    """

    dim: int
    curvature: float | None
    fields: dict[str, str]
    origin: dict[str, str] | None = None


class Points(NamedTuple):
    """Stored points: ids, (n, D + 1) vectors and one payload a point."""

    ids: list[int]
    vectors: np.ndarray
    payloads: list[Json]


class Engine(Protocol):
    """What `QdrantIndex` needs of an engine."""

    settings: Settings

    def adopt(self, settings: Settings) -> None:
        """Gives an empty collection of the same space other fields or another origin."""

    def count(self, where: Json | None = None) -> int: ...
    def upsert(self, points: Points) -> None: ...
    def query(self, bodies: Sequence[Json]) -> list[list[tuple[int, float]]]: ...
    def payloads(self, ids: Sequence[int]) -> dict[int, Json]: ...
    def build(self) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


def need(module: str) -> ModuleType:
    """`qdrant_edge` or `qdrant_client`, or an ImportError that names what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} is not installed: pip install hf-hyperbolic[qdrant]") from error


def payload_indexes(fields: Mapping[str, str]) -> dict[str, str]:
    # the formula reads the first two for every candidate, which without an index means parsing its whole payload
    return {KLEIN_SQUARED: "float", COSH: "float", **fields}


def parse_settings(content: Any, where: str) -> Settings:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{where} was not made by this version of hf_hyperbolic: build the collection again")
    return Settings(content["dim"], content["curvature"], content["fields"], content.get("origin"))
