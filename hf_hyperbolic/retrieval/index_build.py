"""From a data set, or a folder of images, to an index on disk; a build that was stopped goes on where it was."""

import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.detect import find_images
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.retrieval.encoders import Encoder
from hf_hyperbolic.retrieval.index_manifest import MANIFEST, SourceRecord
from hf_hyperbolic.retrieval.index_work import CropWork, Items, as_it_is, nodes_by_image, plan_batches, scene_id
from hf_hyperbolic.retrieval.index_writer import SHARD_ROWS, IndexWriter

FOLDER = "folder"
# a shard is written after so long even if it is small: what a killed build loses at most
SHARD_SECONDS = 120.0


@dataclass(frozen=True)
class Built:
    """
    Attributes:
        folder: of the index.
        rows: items in it now.
        added: items that this build added.
        resumed_at: images that an earlier build had done already.
        broken: messages of the images that were left out this time.
        skipped: images of this source left out in all, by reason.
    """

    folder: Path
    rows: int
    added: int
    resumed_at: int
    broken: list[str]
    skipped: dict[str, int]


def folder_source(folder: str | os.PathLike[str]) -> Source:
    """The images below a folder, each as a whole, ids being their paths below it.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it holds no images.
    """
    root, names = find_images(folder)
    table = BoxTable(
        image_ids=np.array(names),
        image_files=np.array([str(root / name) for name in names]),
        image_sizes=np.ones((len(names), 2), dtype=np.int32),
        box_image=np.empty(0, np.int32),
        boxes=np.empty((0, 4), np.float32),
        labels=np.empty(0, np.int32),
        class_names=(),
        # the sizes come to light when the images are read
        relative=True,
    )
    return Source(table, None, FOLDER)


def build_index(
    path: str | os.PathLike[str],
    encoder: Encoder,
    source: Source,
    name: str,
    split: str | None = None,
    *,
    settings: HierarchySettings | None = None,
    dtype: str | None = None,
    thumbnails: int | None = None,
    append: bool = False,
    batch_size: int = 256,
    num_workers: int = 0,
    shard_rows: int = SHARD_ROWS,
    progress: bool = True,
) -> Built:
    """Embeds every scene and every box of a source, as evaluation embeds them, and writes them to an index.

    Rows stand image after image, a scene before its boxes; boxes that are the whole image are the scene and have no row
    of their own. The id of a scene is that of its image, after the split where there is one (`val/IMAGE`: splits may
    count alike), and the id of its box k `val/IMAGE#k`. Images that cannot be read are
    left out and counted. Of a source without boxes nothing is known of what contains what: its images compete in both
    directions. Otherwise a scene is only ever a parent, a box with nothing in it only ever a child.

    Where `path` holds an index that was being built from the same source, the build goes on after its last finished
    shard, and the items are what they would have been.

    Args:
        path: folder of the index, made if it is not there.
        encoder: the model.
        source: as `read_source` or `folder_source` give it.
        name: what the index calls the source: its path, or its name on the Hub.
        split: recorded with every item.
        settings: by which the boxes become a hierarchy; default: those of an exported set, else the library's.
        dtype: of the stored embeddings, "float32" (default) or "float16".
        thumbnails: longest side in pixels of small pictures kept in the index; default 0, none.
        append: add to an index that was built from something else.
        batch_size: at least so many crops the model sees at once, unless fewer are left.
        num_workers: processes that read images; 0 reads them in this one.
        shard_rows: a shard is written when it has so many items, or after two minutes: more is not lost when a build
            is killed.
        progress: show a bar.

    Raises:
        FileExistsError: the index was built from something else, and `append` is false.
        IndexLockedError: somebody else is writing to it.
        ModelMismatchError: another model made it.
        ValueError: the source has no images, the index has another dtype or size of thumbnails than asked for, another
            build of it is unfinished, an item's id is there already, or an embedding is NaN (named).
    """
    source.require_images()
    if batch_size < 1 or num_workers < 0:
        raise ValueError(f"batch_size must be at least 1 and num_workers 0; got {batch_size} and {num_workers}")
    hierarchy = (settings or source.exported or HierarchySettings()).build(source.table)
    record = SourceRecord(name, split, source.format, _digest(source.table, hierarchy), source.table.num_images)
    folder = Path(path).absolute()
    if (folder / MANIFEST).exists():
        writer = IndexWriter.append(folder, encoder, shard_rows)
    else:
        writer = IndexWriter.create(folder, encoder, dtype or "float32", thumbnails or 0, shard_rows)
    with writer:
        manifest = writer.manifest
        for asked, there, what in (
            (dtype, manifest.dtype, "embeddings in"),
            (thumbnails, manifest.thumbnails, "thumbnails of side"),
        ):
            if asked is not None and asked != there:
                raise ValueError(f"{folder} has {what} {there}, not {asked}: leave it out, or build another index")
        before = manifest.rows
        record = _enter(writer, record, hierarchy, source.table, append)
        resumed_at = record.images_done
        broken = _fill(writer, record, hierarchy, source, batch_size, num_workers, progress)
        return Built(folder, manifest.rows, manifest.rows - before, resumed_at, broken, record.skipped)


def _enter(
    writer: IndexWriter, record: SourceRecord, hierarchy: Hierarchy, table: BoxTable, append: bool
) -> SourceRecord:
    """The record of this source in the manifest: the one that is there, or a new one."""
    manifest = writer.manifest
    for there in manifest.sources:
        if there.digest == record.digest and there.split == record.split:
            return there
    unfinished = manifest.unfinished
    if unfinished:
        raise ValueError(
            f"{writer.folder} is an unfinished build from {_called(unfinished)}, {unfinished.images_done} of "
            f"{unfinished.images} images; {_called(record)} is not that (or its annotations have changed since): "
            "finish it first by the same command, or remove the folder"
        )
    if manifest.rows:
        if not append:
            made_of = ", ".join(map(_called, manifest.sources)) or "items added in Python"
            raise FileExistsError(
                f"{writer.folder} holds an index of {made_of} already: append {_called(record)} to it "
                "(append=True, --append), or give another folder"
            )
        names = [scene_id(name, record.split) for name in table.image_ids.tolist()]
        known = writer.first_known(pa.array(names, pa.string()))
        if known is not None:
            raise ValueError(
                f"{_called(record)}: an item with the id {known!r} is in {writer.folder} already: ids are unique, give "
                "another folder"
            )
    manifest.sources.append(record)
    return record


def _fill(
    writer: IndexWriter,
    record: SourceRecord,
    hierarchy: Hierarchy,
    source: Source,
    batch_size: int,
    num_workers: int,
    progress: bool,
) -> list[str]:
    """Embeds and writes what is not done yet; the messages of broken images."""
    nodes, start = nodes_by_image(hierarchy)
    batches = list(plan_batches(start, record.images_done, batch_size))
    work = CropWork(writer.encoder, source, hierarchy, nodes, start, batches, writer.manifest.thumbnails)
    items = Items(hierarchy, source.table, record.split)
    shard = _NextShard(writer, record)
    broken: list[str] = []
    loader = DataLoader(work, batch_size=None, num_workers=num_workers, collate_fn=as_it_is)
    bar = tqdm(
        total=len(nodes), initial=int(start[record.images_done]), desc="embedding", unit="item", disable=not progress
    )
    with bar:
        try:
            for (first, last), (crops, kept, boxes, pictures, messages) in zip(batches, loader, strict=True):
                embeddings = writer.encoder.encode_crops(crops, batch_size)
                described = items.describe(nodes[start[first] : start[last]][kept], boxes, pictures, shard.next_row)
                shard.add(embeddings, described, messages, last)
                broken += messages
                bar.update(int(start[last] - start[first]))
                if len(shard.rows) >= writer.shard_rows or last == record.images or shard.is_old():
                    shard.write()
        except KeyboardInterrupt:
            shard.write()
            raise
    return broken


class _NextShard:
    """What was embedded since the last shard was written."""

    def __init__(self, writer: IndexWriter, record: SourceRecord) -> None:
        self.writer, self.record = writer, record
        self._begin()

    def _begin(self) -> None:
        self.embeddings: list[np.ndarray] = []
        self.rows: list[dict[str, Any]] = []
        self.skipped: Counter[str] = Counter()
        self.images_done = self.record.images_done
        self.since = time.monotonic()

    @property
    def next_row(self) -> int:
        return self.writer.manifest.rows + len(self.rows)

    def is_old(self) -> bool:
        return time.monotonic() - self.since > SHARD_SECONDS

    def add(self, embeddings: np.ndarray, rows: list[dict[str, Any]], broken: list[str], images_done: int) -> None:
        self.embeddings.append(embeddings)
        self.rows += rows
        # messages end with the reason in brackets
        self.skipped.update(message.rpartition("(")[2].rstrip(")") for message in broken)
        self.images_done = images_done

    def write(self) -> None:
        if self.images_done > self.record.images_done:
            self.record.images_done = self.images_done
            for reason, count in self.skipped.items():
                self.record.skipped[reason] = self.record.skipped.get(reason, 0) + count
            self.writer.write(np.concatenate(self.embeddings), self.rows)
            self._begin()


def _digest(table: BoxTable, hierarchy: Hierarchy) -> str:
    """Of what a build depends on, beside the pixels."""
    digest = hashlib.sha256()
    for names in (table.image_ids.tolist(), list(table.class_names)):
        digest.update("\0".join(map(str, names)).encode())
        digest.update(b"\1")
    for values in (hierarchy.node_image, hierarchy.node_label, hierarchy.node_box, hierarchy.direct):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _called(record: SourceRecord) -> str:
    return f"{record.path} ({record.split})" if record.split else record.path
