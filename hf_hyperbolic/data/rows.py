"""Table of boxes -> rows of `hierarchy_features`, image by image, in bounded memory."""

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from hf_hyperbolic.data.boxes import BoxTable, Federation, Problem, drop_images
from hf_hyperbolic.data.clipping import REASONS, clip_boxes
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.image_reader import Load
from hf_hyperbolic.data.images import BrokenImageError, decode
from hf_hyperbolic.data.overlap import DUPLICATE_IOU

# images whose bytes are held, and whose hierarchies are built, at once
_CHUNK = 64
# MPO is JPEG with further pictures behind the first
_KEPT_FORMATS = frozenset({"JPEG", "MPO", "PNG"})
_JPEG_QUALITY = 95

REENCODED = "reencoded"


def slice_images(table: BoxTable, first: int, stop: int) -> BoxTable:
    """Images `first` to `stop` (exclusive) of a table with their boxes; its problems stay behind."""
    # of the column's own type, lest it be copied to another for every search
    start, end = np.searchsorted(table.box_image, np.array([first, stop], dtype=table.box_image.dtype))

    def within(pairs: np.ndarray) -> np.ndarray:
        pairs = pairs[(pairs[:, 0] >= first) & (pairs[:, 0] < stop)]
        return pairs - np.array([first, 0], dtype=pairs.dtype)

    federation = table.federation and Federation(
        within(table.federation.verified_absent), within(table.federation.not_exhaustive)
    )
    return replace(
        table,
        image_ids=table.image_ids[first:stop],
        image_files=table.image_files[first:stop],
        image_sizes=table.image_sizes[first:stop],
        box_image=table.box_image[start:end] - np.int32(first),
        boxes=table.boxes[start:end],
        labels=table.labels[start:end],
        problems=(),
        federation=federation,
    )


def split_images(table: BoxTable, step: int) -> list[BoxTable]:
    """A table cut into tables of `step` images (the last may have fewer), in order; its problems stay behind."""
    starts = range(0, table.num_images, step)
    bare = replace(table, federation=None)
    parts = [slice_images(bare, first, min(first + step, table.num_images)) for first in starts]
    if table.federation is None:
        return parts
    known = []
    for pairs in (table.federation.verified_absent, table.federation.not_exhaustive):
        # ordered once: to search all pairs for every part would take far longer on large sets
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        cuts = np.split(pairs, np.searchsorted(pairs[:, 0], starts[1:]))
        known.append([cut - np.array([first, 0], cut.dtype) for cut, first in zip(cuts, starts, strict=True)])
    return [
        replace(part, federation=Federation(absent, not_exhaustive))
        for part, absent, not_exhaustive in zip(parts, *known, strict=True)
    ]


def embed_image(file: str, load: Load | None = None) -> tuple[bytes, tuple[int, int], Problem | None]:
    """The content of an image file that shows the right way up in every reader, its width and height, and a problem
    of reason `"reencoded"` where that is not the file as it is.

    JPEG and PNG files stay as they are, unless EXIF rotates them: then a JPEG is encoded again (quality 95) and a PNG
    without loss. Any other format becomes PNG. Every image is decoded fully to be sure that it is whole.

    Raises:
        BrokenImageError: the file is missing or cannot be decoded.
    """
    try:
        content = load(file) if load else Path(file).read_bytes()
    except FileNotFoundError as error:
        raise BrokenImageError("missing_file", file, "no such file") from error
    except OSError as error:
        raise BrokenImageError("broken_image", file, f"cannot be read: {error.strerror or error}") from error
    shown = decode(file, content)
    with Image.open(io.BytesIO(content)) as stored:
        stored_as, orientation = str(stored.format), stored.getexif().get(ExifTags.Base.Orientation, 1)
    if stored_as in _KEPT_FORMATS and orientation not in range(2, 9):
        return content, shown.size, None
    buffer = io.BytesIO()
    if stored_as in ("JPEG", "MPO"):
        shown.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        why = f"EXIF orientation {orientation}: turned upright and encoded again as JPEG of quality {_JPEG_QUALITY}"
    else:
        shown.save(buffer, "PNG")
        why = f"{stored_as} with EXIF orientation {orientation}: encoded again as upright PNG"
    return buffer.getvalue(), shown.size, Problem(REENCODED, file, f"{why} (kept)")


def hierarchy_rows(
    table: BoxTable,
    problems: list[Problem],
    threshold: float = 0.8,
    duplicate_iou: float = DUPLICATE_IOU,
    load: Load | None = None,
    deny: tuple[tuple[str, str], ...] = (),
) -> Iterator[dict[str, Any]]:
    """Rows of `hierarchy_features`, `image` as its `bytes` and `path` (the file's name), in the order of the table.

    The hierarchy is built from boxes in pixels even where the table is relative, so that whoever builds it again from
    the rows finds the same.

    Args:
        table: images and boxes.
        problems: images that are left out, boxes lost in the way to pixels, and images that were encoded again are
            appended here.
        threshold: see `build_hierarchy`.
        duplicate_iou: see `build_hierarchy`.
        load: see `ImageReader`.
        deny: class pairs (parent, child) that are never a containment, see `Guards`.
    """
    settings = HierarchySettings(threshold, duplicate_iou, deny)
    for first in range(0, table.num_images, _CHUNK):
        part = slice_images(table, first, min(first + _CHUNK, table.num_images))
        images: list[dict[str, Any]] = []
        sizes: list[tuple[int, int]] = []
        broken: list[int] = []
        for index, file in enumerate(part.image_files.tolist()):
            try:
                content, size, reencoded = embed_image(file, load)
                _check_size(part, index, size)
            except BrokenImageError as error:
                broken.append(index)
                problems.append(error.problem())
                continue
            if reencoded:
                problems.append(reencoded)
            images.append({"bytes": content, "path": os.path.basename(file)})
            sizes.append(size)
        if images:
            part = drop_images(part, broken, [])
            if part.relative:
                part = _in_pixels(part, np.array(sizes, dtype=np.int32), problems)
            yield from _rows(part, images, settings)


def _check_size(table: BoxTable, index: int, size: tuple[int, int]) -> None:
    width, height = table.image_sizes[index].tolist()
    if not table.relative and size != (width, height):
        detail = f"shows {size[0]} x {size[1]} pixels but its annotations are for {width} x {height}"
        raise BrokenImageError("size_mismatch", str(table.image_files[index]), detail)


def _in_pixels(table: BoxTable, sizes: np.ndarray, problems: list[Problem]) -> BoxTable:
    limits = sizes[table.box_image]
    boxes, found = clip_boxes(table.boxes.astype(np.float64) * np.tile(limits, 2), limits, min_size=0)
    lost = np.zeros(len(boxes), dtype=bool)
    for reason, met in found.items():
        if reason == "clipped":
            continue
        for box in np.flatnonzero(met).tolist():
            where = f"{table.image_files[table.box_image[box]]}: box {table.boxes[box].tolist()}"
            problems.append(Problem(reason, where, REASONS[reason]))
        lost |= met
    return replace(
        table,
        image_sizes=sizes,
        box_image=table.box_image[~lost],
        boxes=boxes[~lost],
        labels=table.labels[~lost],
        relative=False,
    )


def _rows(table: BoxTable, images: list[dict[str, Any]], settings: HierarchySettings) -> Iterator[dict[str, Any]]:
    tree = settings.build(table)
    count = table.num_images
    bounds = np.searchsorted(table.box_image, np.arange(count + 1))
    # number of a node within its image: scene 0, boxes from 1
    local = np.zeros(tree.num_nodes, dtype=np.int32)
    local[count:] = 1 + np.arange(table.num_boxes) - bounds[table.box_image]
    direct = _by_image(local[tree.direct], tree.node_image[tree.direct[:, 0]], count)
    ancestry = _by_image(local[tree.ancestry], tree.node_image[tree.ancestry[:, 0]], count)
    federation = table.federation
    for index in range(count):
        boxes = slice(bounds[index], bounds[index + 1])
        nodes = slice(count + bounds[index], count + bounds[index + 1])
        row = {
            "image": images[index],
            "image_id": str(table.image_ids[index]),
            "width": int(table.image_sizes[index, 0]),
            "height": int(table.image_sizes[index, 1]),
            "boxes": table.boxes[boxes].tolist(),
            "labels": table.labels[boxes].tolist(),
            "levels": tree.level[nodes].tolist(),
            "is_scene_duplicate": tree.node_is_scene_duplicate[nodes].tolist(),
            "direct": direct[index].tolist(),
            "ancestry": ancestry[index].tolist(),
        }
        if federation:
            for name in ("verified_absent", "not_exhaustive"):
                pairs = getattr(federation, name)
                row[name] = pairs[pairs[:, 0] == index, 1].tolist()
        yield row


def _by_image(pairs: np.ndarray, image: np.ndarray, count: int) -> list[np.ndarray]:
    order = np.argsort(image, kind="stable")
    return np.split(pairs[order], np.searchsorted(image[order], np.arange(1, count)))
