"""An index as others may have it: without the paths of the machine it was built on."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from hf_hyperbolic import __version__
from hf_hyperbolic.hub.run import hub_name, is_local
from hf_hyperbolic.hub.upload import Kind
from hf_hyperbolic.retrieval.index_manifest import FORMAT, MANIFEST, Manifest, SourceRecord
from hf_hyperbolic.retrieval.index_shards import map_shard, write_shard

INDEX = Kind("index", "dataset", MANIFEST, FORMAT, ("shard-*",))

_CARD = """\
---
tags:
- hyperbolic
- image-retrieval
- hf_hyperbolic-index
{base_model}viewer: false
---

<!-- Written by `hf-hyperbolic index push`. Text added here is lost with the next push. -->

# {title}

Embeddings of {rows:,} images and boxes by [{model}](https://huggingface.co/{model}), {dim} numbers each, with what they
are of: {sources}. {thumbnails}

```python
from hf_hyperbolic.retrieval import Index

index = Index.open("{repo_id}")  # fetched once; revision= pins a commit
print(index.parents("street.jpg", k=5, box=(20, 60, 90, 150)))  # what is this a part of?
print(index.children("street.jpg", k=5))  # what is inside this?
```

The model is loaded by its name when the first image is asked for, and refused if its weights are not those that made
the index. Results name images by the ids and file names they had, below the folder of the data set. Files:
`{manifest}`, and for each shard safetensors with the embeddings and Arrow with the rest (hf_hyperbolic {version}).
"""


def write_index_folder(source: Path, folder: Path, repo_id: str, model: str | None, thumbnails: bool) -> None:
    """Writes a copy of an index whose images are named below the folder of their data set, with a card.

    Args:
        source: the index.
        folder: that is there, and empty.
        repo_id: that it goes to.
        model: name on the Hub of the model that made it; None for the one the index names.
        thumbnails: whether they are kept.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: it is damaged or unfinished, or its model has no name on the Hub.
    """
    manifest = Manifest.read(source)
    if manifest.unfinished:
        raise ValueError(f"{source} is unfinished: give the same `index build` again, and push it then")
    name = model or hub_name(manifest.model.name)
    if name is None or is_local(name):
        raise ValueError(
            f"{source} was made by a model that lies here, {manifest.model.name}: push that first, and name it by "
            "--model USER/NAME"
        )
    roots = [root for record in manifest.sources if (root := record.root)]
    copy = replace(
        manifest,
        model=replace(manifest.model, name=name),
        thumbnails=manifest.thumbnails if thumbnails else 0,
        shards=[],
        sources=[_public(record) for record in manifest.sources],
    )
    for number in range(len(manifest.shards)):
        shard = map_shard(source, manifest, number)
        items = _public_items(shard.items, roots, thumbnails)
        copy.shards.append(write_shard(folder, copy, np.asarray(shard.embeddings.float()), items))
    copy.write(folder)
    (folder / "README.md").write_text(_card(copy, repo_id), encoding="utf-8")


def _public(record: SourceRecord) -> SourceRecord:
    path = Path(record.path).name if is_local(record.path) else record.path
    return replace(record, path=path, root="")


def _public_items(items: pa.Table, roots: list[str], thumbnails: bool) -> pa.Table:
    images = [_below(image, roots) for image in items["image"].to_pylist()]
    items = items.set_column(items.schema.get_field_index("image"), "image", pa.array(images, pa.string()))
    if not thumbnails:
        nothing = pa.nulls(len(items), pa.binary())
        items = items.set_column(items.schema.get_field_index("thumbnail"), "thumbnail", nothing)
    return items


def _below(image: str | None, roots: list[str]) -> str | None:
    """An image's path below the folder of its data set; its name alone where that is not known."""
    if image is None or not os.path.isabs(image):
        return image
    for root in roots:
        if Path(image).is_relative_to(root):
            return Path(image).relative_to(root).as_posix()
    return Path(image).name


def _card(manifest: Manifest, repo_id: str) -> str:
    model = manifest.model.name
    sources = ", ".join(
        f"{record.path}" + (f", split {record.split}" if record.split else "") for record in manifest.sources
    )
    pixels = manifest.thumbnails
    return _CARD.format(
        title=repo_id.rpartition("/")[2],
        rows=manifest.rows,
        model=model,
        base_model=f"base_model: {json.dumps(model)}\n",
        dim=manifest.model.dim,
        sources=sources or "items added in Python",
        thumbnails=f"Small pictures of them, {pixels} px at most, go along." if pixels else "No pictures go along.",
        repo_id=repo_id,
        manifest=MANIFEST,
        version=__version__,
    )
