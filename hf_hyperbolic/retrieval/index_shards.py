"""The shards of an index: embeddings as safetensors and what they are of as Arrow IPC, both mapped into memory."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import ipc
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hf_hyperbolic.data.files import written_aside
from hf_hyperbolic.retrieval.index_manifest import IndexFileError, Manifest, ShardRecord

# what is known of an item
ITEM_FIELDS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        # path of the image, or by what its data set calls it; null where there is none
        pa.field("image", pa.string()),
        # x0 y0 x1 y1 in pixels of the image as shown; null for the whole image
        pa.field("box", pa.list_(pa.float32(), 4)),
        pa.field("label", pa.string()),
        pa.field("level", pa.int32(), nullable=False),
        pa.field("split", pa.string()),
        # row of the smallest item that directly contains this one; null where none is known
        pa.field("parent", pa.int64()),
        # whether the item competes where something is asked for its parents, and for its children
        pa.field("can_be_parent", pa.bool_(), nullable=False),
        pa.field("can_be_child", pa.bool_(), nullable=False),
        # JPEG
        pa.field("thumbnail", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """
    Attributes:
        embeddings: (n, D) float32 or float16, mapped.
        items: n rows of `ITEM_FIELDS`, mapped.
    """

    embeddings: torch.Tensor
    items: pa.Table


def write_shard(folder: Path, manifest: Manifest, embeddings: np.ndarray, items: pa.Table) -> ShardRecord:
    """Writes the files of the next shard aside and renames them; whoever calls it then writes the manifest.

    Raises:
        ValueError: an embedding is NaN or infinite, or does not fit the index's dtype; names the items. Or there are
            more of the one than of the other.
    """
    ids = items["id"]
    if embeddings.shape != (len(ids), manifest.model.dim):
        raise ValueError(
            f"embeddings of shape {embeddings.shape} for {len(ids)} items of dimension {manifest.model.dim}: a shard "
            "has one for each"
        )
    check_finite(embeddings, ids.to_pylist)
    stored = torch.from_numpy(np.ascontiguousarray(embeddings)).to(getattr(torch, manifest.dtype))
    if not torch.isfinite(stored).all():
        raise ValueError(
            f"embeddings beyond the range of {manifest.dtype} (the largest component is "
            f"{np.abs(embeddings).max():.3g}): build the index with dtype float32"
        )
    number = len(manifest.shards)
    name = f"shard-{number:05d}"
    # a shard that strayed into another index is known by these
    mark = {"index_id": manifest.index_id, "shard": str(number)}
    with written_aside(folder / f"{name}.arrow") as aside, pa.OSFile(str(aside), "wb") as sink:
        schema = ITEM_FIELDS.with_metadata(mark)
        with ipc.new_file(sink, schema) as writer:
            writer.write_table(items.cast(schema).combine_chunks())
    with written_aside(folder / f"{name}.safetensors") as aside:
        save_file({"embeddings": stored}, aside, metadata=mark)
        # safetensors lets only its owner read what it writes
        shutil.copymode(folder / f"{name}.arrow", aside)
    sizes = [(folder / f"{name}.{ending}").stat().st_size for ending in ("safetensors", "arrow")]
    return ShardRecord(name, len(ids), *sizes)


def map_shard(folder: Path, manifest: Manifest, number: int) -> Shard:
    """Maps the files of a shard.

    Raises:
        IndexFileError: one of them is damaged, or of another index.
    """
    record = manifest.shards[number]
    mark = {"index_id": manifest.index_id, "shard": str(number)}
    file = folder / f"{record.name}.safetensors"
    try:
        with safe_open(file, framework="pt") as opened:
            found = opened.metadata()
            embeddings = opened.get_tensor("embeddings")
    except (OSError, SafetensorError) as error:
        raise IndexFileError(f"{file} is damaged, no safetensors with embeddings: {error}") from error
    _check_mark(file, found, mark)
    wanted = (record.rows, manifest.model.dim), getattr(torch, manifest.dtype)
    if (tuple(embeddings.shape), embeddings.dtype) != wanted:
        raise IndexFileError(
            f"{file} holds embeddings of shape {tuple(embeddings.shape)} in {embeddings.dtype}, the manifest says "
            f"{wanted[0]} in {wanted[1]}"
        )
    file = folder / f"{record.name}.arrow"
    try:
        items = ipc.open_file(pa.memory_map(str(file))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise IndexFileError(f"{file} is damaged, no Arrow IPC file: {error}") from error
    found = {key.decode(): value.decode() for key, value in (items.schema.metadata or {}).items()}
    _check_mark(file, found, mark)
    if len(items) != record.rows or not items.schema.equals(ITEM_FIELDS):
        raise IndexFileError(f"{file} holds {len(items)} rows of {items.schema.names}: not what the manifest says")
    return Shard(embeddings, items)


def check_finite(embeddings: np.ndarray, ids: Sequence[str] | Callable[[], list[str]]) -> None:
    """
    Args:
        embeddings: (n, D).
        ids: of the n items, or a function that gives them.

    Raises:
        ValueError: some are NaN or infinite; names the first of them.
    """
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        names = ids() if callable(ids) else ids
        named = ", ".join(repr(names[row]) for row in bad[:5].tolist()) + (", ..." if len(bad) > 5 else "")
        raise ValueError(
            f"the model gives NaN or infinite embeddings for {len(bad)} of {len(embeddings)} items: {named}. Look at "
            "these images; if they are sound, load the model in float32, or train it again"
        )


def _check_mark(file: Path, found: dict[str, str] | None, mark: dict[str, str]) -> None:
    if {key: (found or {}).get(key) for key in mark} != mark:
        raise IndexFileError(
            f"{file} is of another index or another shard of this one: restore the file that belongs here, or build "
            "the index again"
        )
