"""Exported Parquet files -> table of boxes, and the images in them."""

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_hyperbolic.data.boxes import BoxTable, Federation, Problem
from hf_hyperbolic.data.exported import class_names, metadata, shard_files, split_names
from hf_hyperbolic.data.images import BrokenImageError

_OPEN_FILES = 32
_COLUMNS = ("image_id", "width", "height", "boxes", "labels")


class ParquetImages:
    """Image contents of Parquet files, by `"{file}#{row}"`: the `load` of an `ImageReader`.

    It reads a row group at a time and keeps the last one, so that reading in order reads everything once. It may be
    sent to worker processes and shared between threads.

    Raises:
        BrokenImageError: the file or the row is not there, or the row holds no content.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._files: OrderedDict[str, tuple[pq.ParquetFile, list[int]]] = OrderedDict()
        self._last: tuple[str, int, Any] = ("", -1, None)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._forget()

    def __call__(self, name: str) -> bytes:
        file, _, row = name.rpartition("#")
        try:
            with self._lock:
                content = self._read(file, int(row))
        except FileNotFoundError as error:
            raise BrokenImageError("missing_file", name, "no such Parquet file") from error
        except (OSError, ValueError, pa.ArrowException) as error:
            raise BrokenImageError("broken_image", name, f"cannot be read from its Parquet file: {error}") from error
        if content is None:
            raise BrokenImageError("missing_file", name, "the row holds no image content")
        return content

    def _read(self, file: str, row: int) -> bytes | None:
        if file not in self._files:
            opened = pq.ParquetFile(file)
            groups = opened.metadata.num_row_groups
            ends = list(accumulate(opened.metadata.row_group(group).num_rows for group in range(groups)))
            self._files[file] = (opened, ends)
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(file)
        opened, ends = self._files[file]
        if not 0 <= row < (ends[-1] if ends else 0):
            raise ValueError(f"no row {row}: it has {ends[-1] if ends else 0}")
        group = bisect_right(ends, row)
        if self._last[:2] != (file, group):
            contents = opened.read_row_group(group, columns=["image.bytes"])["image"].combine_chunks().field("bytes")
            self._last = (file, group, contents)
        return self._last[2][row - (ends[group - 1] if group else 0)].as_py()


def read_parquet(folder: str | os.PathLike[str], split: str) -> tuple[BoxTable, ParquetImages]:
    """Reads a split that `export_parquet` wrote.

    Args:
        folder: the folder with `data/{split}-00000-of-000NN.parquet`.
        split: name of the split.

    Returns:
        The table, whose `image_files` are `"{file}#{row}"`, and what reads these: `ImageReader(table, load=images)`.
        Boxes are those exported, to the bit. Of problems only the numbers by reason are kept. By which settings the
        stored pairs were found, `read_source(...).exported` tells.

    Raises:
        FileNotFoundError: no such split, or some of its files are missing.
        ValueError: a file is not what `export_parquet` writes.
    """
    root = Path(folder).absolute()
    files = shard_files(root, split)
    if not files:
        there = ", ".join(split_names(root)) or "none"
        raise FileNotFoundError(f"{root / 'data'}: no split {split!r}: there is {there}")
    names = class_names(files[0])
    schema = pq.read_schema(files[0])
    missing = [name for name in (*_COLUMNS, "image") if name not in schema.names]
    if missing:
        raise ValueError(f"{files[0]}: lacks {', '.join(missing)}: not a file export_parquet wrote")
    extra = [name for name in ("verified_absent", "not_exhaustive") if name in schema.names]
    parts = []
    for file in files:
        if class_names(file) != names:
            raise ValueError(
                f"{file}: other classes than {files[0].name}, so they are of two exports: export the split again"
            )
        parts.append(pq.read_table(file, columns=[*_COLUMNS, *extra]))
    rows = pa.concat_tables(parts).combine_chunks()
    where = [f"{file}#{row}" for file, part in zip(files, parts, strict=True) for row in range(part.num_rows)]

    def by_image(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Row of each element of a list column, and the elements."""
        column = rows[name].combine_chunks()
        lengths = np.diff(column.offsets.to_numpy())
        values = column.flatten()
        if pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths), values.to_numpy(zero_copy_only=False)

    box_image, labels = by_image("labels")
    boxes = by_image("boxes")[1].reshape(-1, 4)
    federation = None
    if extra:
        federation = Federation(*(np.stack(by_image(name), axis=1).astype(np.int32) for name in extra))
    counts: dict[str, int] = {}
    for file in files:
        for reason, count in metadata(file).get("problems", {}).items():
            counts[reason] = counts.get(reason, 0) + count
    table = BoxTable(
        image_ids=np.array(rows["image_id"].to_pylist()),
        image_files=np.array(where),
        image_sizes=np.stack([rows["width"].to_numpy(), rows["height"].to_numpy()], axis=1).astype(np.int32),
        box_image=box_image,
        boxes=boxes.astype(np.float32, copy=False),
        labels=labels.astype(np.int32),
        class_names=names,
        problems=tuple(
            Problem(reason, str(root / "data"), f"counted when {split} was exported", count)
            for reason, count in counts.items()
        ),
        federation=federation,
    )
    return table, ParquetImages()
