"""From the on-disk index to Qdrant: the same items, to be searched by a graph, in one process or on a cluster."""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.qdrant import QdrantIndex
from hf_hyperbolic.retrieval.qdrant_collection import FIELDS

_AT_ONCE = 4096
# beside what is filtered by: what a result is shown as
_SHOWN = ("id", "image", "box")
_FLAGS = ("can_be_parent", "can_be_child")


def copy_to_qdrant(
    index: Index,
    path: str | Path | None = None,
    url: str | None = None,
    collection: str = "embeddings",
    progress: bool = False,
    **client: Any,
) -> QdrantIndex:
    """Copies an index into a Qdrant collection, whose ids are the rows of the index, and builds its graph.

    A copy that was interrupted is completed by the same call: rows that are there are written again.

    Args:
        index: what to copy. Points have its `class`, `level`, `split`, `can_be_parent` and `can_be_child` (1 or 0) to
            filter by, and `id`, `image` and `box`.
        path: folder of an embedded collection, which is made where there is none.
        url: address of a Qdrant server instead.
        collection: its name on the server, likewise made.
        progress: show a progress bar.
        **client: further arguments for `qdrant_client.QdrantClient`, such as `api_key`.

    Returns:
        The collection, open; `index.items(ids)` tells of its results.

    Raises:
        ValueError: unless exactly one of `path` and `url` is given; the collection there is of another dimension or
            curvature, is no copy of this index (by its id and its model's fingerprint, which the copy keeps), or holds
            more than the index has.
        ImportError: naming the package to install.
    """
    space: dict[str, Any] = {"dim": index.dim, "curvature": index.curvature}
    place: dict[str, Any] = {"path": path, "url": url, "collection": collection, **client}
    fields = {**FIELDS, **dict.fromkeys(_FLAGS, "integer")}
    origin = {"index": index.manifest.index_id, "model": index.manifest.model.fingerprint}
    try:
        copy = QdrantIndex.open(**space, **place)
    except FileNotFoundError:
        copy = QdrantIndex.create(**space, **place, fields=fields, origin=origin)
    try:
        if copy.origin is None and len(copy) == 0:
            copy.adopt(fields, origin)
        if copy.origin != origin:
            raise ValueError(_foreign(copy, index))
        if len(copy) > len(index):
            raise ValueError(
                f"the collection has {len(copy)} points and {index.folder} {len(index)} items: give another place"
            )
        with tqdm(total=len(index), desc="copying", unit=" items", disable=not progress) as bar:
            for start in range(0, len(index), _AT_ONCE):
                rows = np.arange(start, min(start + _AT_ONCE, len(index)))
                items = index.items(rows)
                columns = {name: [item[name] for item in items] for name in (*_SHOWN, "level", "split")}
                columns |= {name: [int(item[name]) for item in items] for name in _FLAGS}
                columns["class"] = [item["label"] for item in items]
                copy.add(index.embeddings(rows), ids=rows, payload=columns)
                bar.update(len(rows))
        copy.build()
    except BaseException:
        copy.close()
        raise
    return copy


def _foreign(copy: QdrantIndex, index: Index) -> str:
    there = copy.origin
    if there is None:
        whose = "was not copied from an index"
    elif there["index"] == index.manifest.index_id:
        whose = "is a copy of it from when another model had made it"
    else:
        whose = f"is a copy of another index (id {there['index'][:12]}, not {index.manifest.index_id[:12]})"
    return (
        f"the collection there, of {len(copy)} points, {whose}: {index.folder} would overwrite them; give another place"
    )
