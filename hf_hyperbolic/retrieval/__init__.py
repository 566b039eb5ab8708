from typing import TYPE_CHECKING, Any

from hf_hyperbolic.retrieval.measures import DIRECTIONS as DIRECTIONS
from hf_hyperbolic.retrieval.measures import MEASURES as MEASURES
from hf_hyperbolic.retrieval.measures import scores as scores
from hf_hyperbolic.retrieval.search import SearchResult as SearchResult
from hf_hyperbolic.retrieval.search import search as search
from hf_hyperbolic.retrieval.sharded import search_sharded as search_sharded

if TYPE_CHECKING:
    from hf_hyperbolic.retrieval.index import Index as Index
    from hf_hyperbolic.retrieval.index_build import build_index as build_index
    from hf_hyperbolic.retrieval.index_build import folder_source as folder_source
    from hf_hyperbolic.retrieval.qdrant import QdrantIndex as QdrantIndex
    from hf_hyperbolic.retrieval.qdrant_copy import copy_to_qdrant as copy_to_qdrant

# imported on first use: training asks for measures and should not wait for pyarrow
_LATER = {
    "Index": "index",
    "QdrantIndex": "qdrant",
    "build_index": "index_build",
    "copy_to_qdrant": "qdrant_copy",
    "folder_source": "index_build",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    globals()[name] = value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value
