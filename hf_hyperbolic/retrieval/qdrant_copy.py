"""From the on-disk index to Qdrant: the same items, to be searched by a graph, in one process or on a cluster."""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.qdrant import QdrantIndex

_AT_ONCE = 4096
# beside what is filtered by: what a result is shown as
_SHOWN = ("id", "image", "box")


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
        index: what to copy. Points have its `class`, `level` and `split` to filter by, and `id`, `image` and `box`.
        path: folder of an embedded collection, which is made where there is none.
        url: address of a Qdrant server instead.
        collection: its name on the server, likewise made.
        progress: show a progress bar.
        **client: further arguments for `qdrant_client.QdrantClient`, such as `api_key`.

    Returns:
        The collection, open; `index.items(ids)` tells of its results.

    Raises:
        ValueError: unless exactly one of `path` and `url` is given; the collection there is of another dimension or
            curvature, or holds more than the index has.
        ImportError: naming the package to install.
    """
    space: dict[str, Any] = {"dim": index.dim, "curvature": index.curvature}
    place: dict[str, Any] = {"path": path, "url": url, "collection": collection, **client}
    try:
        copy = QdrantIndex.open(**space, **place)
    except FileNotFoundError:
        copy = QdrantIndex.create(**space, **place)
    try:
        if len(copy) > len(index):
            raise ValueError(
                f"the collection has {len(copy)} points and {index.folder} {len(index)} items: give another place"
            )
        with tqdm(total=len(index), desc="copying", unit=" items", disable=not progress) as bar:
            for start in range(0, len(index), _AT_ONCE):
                rows = np.arange(start, min(start + _AT_ONCE, len(index)))
                items = index.items(rows)
                columns = {name: [item[name] for item in items] for name in (*_SHOWN, "level", "split")}
                columns["class"] = [item["label"] for item in items]
                copy.add(index.embeddings(rows), ids=rows, payload=columns)
                bar.update(len(rows))
        copy.build()
    except BaseException:
        copy.close()
        raise
    return copy
