"""From a data set, or a folder of images, to an index on disk; a build that was stopped goes on where it was."""

import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.detect import find_images
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.retrieval.encoders import Encoder
from hf_hyperbolic.retrieval.index_manifest import MANIFEST, SourceRecord
from hf_hyperbolic.retrieval.index_source import enter, source_record
from hf_hyperbolic.retrieval.index_work import CropWork, Items, as_it_is, nodes_by_image, plan_batches
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
    shard, and the items are what they would have been. The same is one whose annotations, names and sizes of image
    files are the same, in the same place.

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
        ValueError: the source has no images, the index has another dtype or size of thumbnails than asked for, a build
            of another source is unfinished in it, it was built from files of the same names and sizes elsewhere, an
            item's id is there already, or an embedding is NaN (named).
    """
    source.require_images()
    if batch_size < 1 or num_workers < 0:
        raise ValueError(f"batch_size must be at least 1 and num_workers 0; got {batch_size} and {num_workers}")
    hierarchy = (settings or source.exported or HierarchySettings()).build(source.table)
    record = source_record(source, hierarchy, name, split)
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
        place = enter(writer, record, source, append)
        resumed_at = manifest.sources[place].images_done
        broken = _fill(writer, place, hierarchy, source, batch_size, num_workers, progress)
        rows = writer.manifest.rows
        return Built(folder, rows, rows - before, resumed_at, broken, writer.manifest.sources[place].skipped)


def _fill(
    writer: IndexWriter,
    place: int,
    hierarchy: Hierarchy,
    source: Source,
    batch_size: int,
    num_workers: int,
    progress: bool,
) -> list[str]:
    """Embeds and writes what is not done yet; the messages of broken images."""
    record = writer.manifest.sources[place]
    nodes, start = nodes_by_image(hierarchy)
    batches = list(plan_batches(start, record.images_done, batch_size))
    work = CropWork(writer.encoder, source, hierarchy, nodes, start, batches, writer.manifest.thumbnails)
    items = Items(hierarchy, source.table, record.split)
    shard = _NextShard(writer, place)
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
                shard.add(_Part(embeddings, described, messages, last))
                broken += messages
                bar.update(int(start[last] - start[first]))
                if shard.rows >= writer.shard_rows or last == record.images or shard.is_old():
                    shard.write()
        except KeyboardInterrupt:
            shard.write()
            raise
    return broken


class _Part(NamedTuple):
    """A batch that was embedded, and with it images up to `images_done`."""

    embeddings: np.ndarray
    items: list[dict[str, Any]]
    broken: list[str]
    images_done: int


class _NextShard:
    """What was embedded since the last shard was written.

    It may be interrupted between any two statements and written then: a part is there as a whole or not, and what the
    manifest counts as done is not written again.
    """

    def __init__(self, writer: IndexWriter, place: int) -> None:
        self.writer, self.place = writer, place
        self.parts: list[_Part] = []
        self.since = time.monotonic()

    @property
    def record(self) -> SourceRecord:
        return self.writer.manifest.sources[self.place]

    @property
    def rows(self) -> int:
        return sum(len(part.items) for part in self.parts)

    @property
    def next_row(self) -> int:
        return self.writer.manifest.rows + self.rows

    def is_old(self) -> bool:
        return time.monotonic() - self.since > SHARD_SECONDS

    def add(self, part: _Part) -> None:
        self.parts.append(part)

    def write(self) -> None:
        record = self.record
        parts = [part for part in self.parts if part.images_done > record.images_done]
        if parts:
            # messages end with the reason in brackets
            reasons = Counter(message.rpartition("(")[2].rstrip(")") for part in parts for message in part.broken)
            record = replace(record, images_done=parts[-1].images_done, skipped=dict(Counter(record.skipped) + reasons))
            sources = [*self.writer.manifest.sources]
            sources[self.place] = record
            items = [item for part in parts for item in part.items]
            self.writer.write(np.concatenate([part.embeddings for part in parts]), items, sources)
        self.parts = []
        self.since = time.monotonic()
