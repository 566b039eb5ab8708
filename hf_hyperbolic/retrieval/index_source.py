"""Which source an index is built from: whether what is there was made of the same files, so that a build may go on."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.retrieval.index_manifest import Manifest, SourceRecord
from hf_hyperbolic.retrieval.index_work import scene_id
from hf_hyperbolic.retrieval.index_writer import IndexWriter


def source_record(source: Source, hierarchy: Hierarchy, name: str, split: str | None) -> SourceRecord:
    """What the manifest keeps of a source before its first image is done.

    The digest is of ids, classes, boxes, and of the names and sizes of the files, below the folder they have in common:
    the pixels themselves would take as long to read as to embed. Images in Parquet files count by their file and row,
    those of a data set on the Hub by its name and row.
    """
    table = source.table
    digest = hashlib.sha256()
    names, sizes, root = _files(source)
    for texts in ([source.format], table.image_ids.tolist(), list(table.class_names), names):
        digest.update("\0".join(map(str, texts)).encode())
        digest.update(b"\1")
    for values in (sizes, hierarchy.node_image, hierarchy.node_label, hierarchy.node_box, hierarchy.direct):
        digest.update(np.ascontiguousarray(values).data)
    return SourceRecord(name, split, source.format, digest.hexdigest(), table.num_images, root=root)


def enter(writer: IndexWriter, record: SourceRecord, source: Source, append: bool) -> int:
    """The place of this source in the manifest: of the record that is there, or of a new one.

    Raises:
        FileExistsError: the index is of something else, and `append` is false.
        ValueError: the files are as those the index was built from and lie elsewhere, another build is unfinished, or
            an id is there already.
    """
    manifest, folder = writer.manifest, writer.folder
    for place, there in enumerate(manifest.sources):
        if there.digest == record.digest and there.split == record.split:
            if not _same_place(there, record):
                raise ValueError(_elsewhere(folder, there, record))
            return place
    unfinished = manifest.unfinished
    if unfinished:
        raise ValueError(
            f"{folder} is an unfinished build from {called(unfinished)}, {unfinished.images_done} of "
            f"{unfinished.images} images; {called(record)} is not that (or its annotations or images have changed "
            "since): finish it first by the same command, or remove the folder"
        )
    if manifest.rows:
        if not append:
            raise FileExistsError(_something_else(manifest, folder, record))
        names = [scene_id(name, record.split) for name in source.table.image_ids.tolist()]
        known = writer.first_known(pa.array(names, pa.string()))
        if known is not None:
            raise ValueError(
                f"{called(record)}: an item with the id {known!r} is in {folder} already: ids are unique, give "
                "another folder"
            )
    manifest.sources.append(record)
    return len(manifest.sources) - 1


def called(record: SourceRecord) -> str:
    return f"{record.path} ({record.split})" if record.split else record.path


def _files(source: Source) -> tuple[list[str], np.ndarray, str]:
    """Names of the images' files below their common folder, sizes of the files (-1 where there is none), the folder."""
    given = source.table.image_files.tolist()
    # images in a file of many: `FILE#ROW`
    files = given if source.load is None else [name.rpartition("#")[0] for name in given]
    distinct = {file: _size(file) for file in files}
    sizes = np.array([distinct[file] for file in files], dtype=np.int64)
    if not files or not all(map(os.path.isabs, distinct)):
        return given, sizes, ""
    root = os.path.commonpath([os.path.dirname(file) for file in distinct])
    return [os.path.relpath(name, root) for name in given], sizes, root


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def _same_place(there: SourceRecord, record: SourceRecord) -> bool:
    if not (there.root and record.root):
        return there.path == record.path
    if there.root == record.root:
        return True
    # a link to where they are now
    return os.path.isdir(there.root) and os.path.isdir(record.root) and os.path.samefile(there.root, record.root)


def _elsewhere(folder: Path, there: SourceRecord, record: SourceRecord) -> str:
    before, now = there.root or there.path, record.root or record.path
    text = (
        f"{folder} was built from {called(there)}, with files in {before}; {called(record)} has as many files of the "
        f"same names and sizes in {now}"
    )
    if there.root and not os.path.isdir(there.root):
        return f"{text}. If they were moved, put them, or a link to them, at {before} again; else build another index"
    return f"{text}, which is another place: give the first, or build another index"


def _something_else(manifest: Manifest, folder: Path, record: SourceRecord) -> str:
    made_of = ", ".join(map(called, manifest.sources)) or "items added in Python"
    if any(there.path == record.path and there.split == record.split for there in manifest.sources):
        return (
            f"{folder} holds an index of {made_of} already, and its annotations or images have changed since: give "
            "another folder, or remove this one"
        )
    return (
        f"{folder} holds an index of {made_of} already: append {called(record)} to it (append=True, --append), or give "
        "another folder"
    )
