"""Detection data sets in the Hub's convention -> table of boxes, and the images in them.

The convention is one row an image, with a column `image` and a column `objects` that holds a box and a category for
each object, as a list of objects or as an object of lists (https://huggingface.co/docs/datasets/object_detection).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import datasets
import numpy as np
from tqdm import tqdm

from hf_hyperbolic.data.box_formats import BOX_FORMATS, BoxFormat, detect_format, to_corners
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.clipping import REASONS, clip_boxes, repeated_boxes
from hf_hyperbolic.data.hub_images import HubImages
from hf_hyperbolic.data.hub_rows import HubDataset, load_rows
from hf_hyperbolic.data.images import BrokenImageError, probe
from hf_hyperbolic.data.problem_log import ProblemLog

_LOGGER = logging.getLogger(__name__)
_BOX_KEYS = ("bbox", "bboxes", "boxes", "box")
_CLASS_KEYS = ("category", "categories", "label", "labels", "category_id", "class")
_CROWD_KEYS = ("iscrowd", "is_crowd")
_BATCH = 1000
_REASONS = REASONS | {"repeated_box": "the same box of the same class stands in the row already"}


@dataclass
class _Objects:
    """What the rows say, one entry an object; `row` counts the rows of the data set."""

    row: list[int]
    place: list[int]
    bbox: list[list[float]]
    category: list[Any]


def read_hub_detection(
    dataset: HubDataset,
    *,
    split: str | None = None,
    box_format: BoxFormat | Literal["auto"] = "auto",
    min_size: float = 4.0,
    include_crowd: bool = False,
    class_names: Sequence[str] | Mapping[int, str] | None = None,
    max_images: int | None = None,
) -> tuple[BoxTable, HubImages]:
    """Reads a detection data set of the Hub.

    Objects hold a box (`bbox`, `bboxes`, `boxes` or `box`) and a category (`category`, `categories`, `label`,
    `labels`, `category_id` or `class`; of several the first of this list) that is a class label, a text or a whole
    number. Columns `width`, `height` and `image_id` are used where they are there; sizes missing are read from the
    images' headers, and rows are numbered. Rows without an object stay: they are scenes too. What is skipped or
    clipped is recorded in `BoxTable.problems`, long lists shortened.

    Args:
        dataset: a data set, or its name or path for `load_dataset`. Of a streamed one the first `max_images` rows are
            held in memory.
        split: of a name or path with several splits.
        box_format: see `to_corners`; `"auto"` takes the only format the boxes can be in, see `detect_format`.
        min_size: boxes with a side shorter than this many pixels, once clipped to the image, are skipped.
        include_crowd: keep objects with `iscrowd`.
        class_names: names of categories that are whole numbers, by number; by default those of the class label, else
            a number is its own name.
        max_images: read only so many rows.

    Returns:
        The table, whose `image_files` are `"{data set}#{row}"`, and what reads these:
        `ImageReader(table, load=images)`.

    Raises:
        ValueError: a column or key is missing, the box format cannot be told, nothing usable is left, or an argument
            is out of range.
        TypeError: not a data set.
    """
    if box_format != "auto" and box_format not in BOX_FORMATS:
        raise ValueError(f"box_format {box_format!r}: choose auto or one of {', '.join(BOX_FORMATS)}")
    if max_images is not None and max_images < 1:
        raise ValueError(f"max_images must be at least 1, got {max_images}")
    rows, name = load_rows(dataset, split, max_images)
    keys, label_names = _keys(rows, name)
    log = ProblemLog()
    objects, skipped = _objects(rows, name, keys, include_crowd, log)
    images = HubImages(rows, name)
    row_ids, sizes = _images(rows, name, images, skipped, log)
    if not row_ids:
        raise ValueError(f"{name}: none of its {len(rows)} images can be used{log.summary() or ': no rows'}")

    image_of_row = np.full(len(rows), -1, dtype=np.int64)
    image_of_row[list(row_ids)] = np.arange(len(row_ids))
    image = image_of_row[np.array(objects.row, dtype=np.int64)]
    for at in np.flatnonzero(image < 0).tolist():
        log.add("skipped_image", _where(objects, at, name), "its image was skipped")
    label, names = _labels(objects, class_names or label_names)
    for at in np.flatnonzero((label < 0) & (image >= 0)).tolist():
        detail = f"category {objects.category[at]!r} is none of the {len(names)} classes"
        log.add("bad_category", _where(objects, at, name), detail)
    usable = np.flatnonzero((image >= 0) & (label >= 0))
    given = np.array(objects.bbox, dtype=np.float64).reshape(-1, 4)[usable]
    image, label, limits = image[usable], label[usable], sizes[image[usable]]
    if box_format == "auto" and np.isfinite(given).all(axis=1).any():
        box_format = detect_format(given, limits, name)
        _LOGGER.info("%s: boxes are read as %s, the only format they can be in", name, box_format)
    # without a finite box any format will do
    corners = to_corners(given, "xyxy" if box_format == "auto" else box_format, limits)
    boxes, found = clip_boxes(corners, limits, min_size)
    lost = np.zeros(len(usable), dtype=bool)
    for reason, met in found.items():
        if reason != "clipped":
            lost |= met
    found["repeated_box"] = np.zeros(len(usable), dtype=bool)
    found["repeated_box"][repeated_boxes(image, label, boxes, ~lost)] = True
    found["clipped"] &= ~found["repeated_box"]
    lost |= found["repeated_box"]
    for reason, met in found.items():
        for number in np.flatnonzero(met).tolist():
            log.add(reason, _where(objects, usable[number], name), f"bbox {given[number].tolist()}: {_REASONS[reason]}")
    if lost.all():
        raise ValueError(
            f"{name}: none of its {len(objects.row)} objects is a usable box{log.summary() or ': there are none'}"
        )
    table = BoxTable(
        image_ids=np.array(list(row_ids.values())),
        image_files=np.array([images.name_of(row) for row in row_ids]),
        image_sizes=sizes,
        box_image=image[~lost].astype(np.int32),
        boxes=boxes[~lost],
        labels=label[~lost],
        class_names=names,
        problems=log.problems(),
    )
    return table, images


def _keys(rows: datasets.Dataset, name: str) -> tuple[dict[str, str], tuple[str, ...] | None]:
    """Which key of `objects` holds the box, the category and the crowd flag; the names of a class label."""
    for column in ("image", "objects"):
        if column not in rows.column_names:
            raise ValueError(
                f"{name}: no column {column!r}, only {', '.join(rows.column_names)}; rename the one that holds the "
                f'{"images" if column == "image" else "boxes"}: dataset.rename_column("...", "{column}")'
            )
    objects = rows.features["objects"]
    inner = objects if isinstance(objects, dict) else getattr(objects, "feature", None)
    if not isinstance(inner, dict):
        raise ValueError(f"{name}: objects must be a list of objects or an object of lists, got {objects}")
    keys = {}
    for what, known in (("box", _BOX_KEYS), ("category", _CLASS_KEYS), ("crowd", _CROWD_KEYS)):
        found = [key for key in known if key in inner]
        if not found and what != "crowd":
            raise ValueError(
                f"{name}: objects has no {what}: expected one of {', '.join(known)}; found {', '.join(inner)}"
            )
        keys[what] = found[0] if found else ""
    label = inner[keys["category"]]
    label = getattr(label, "feature", label)
    return keys, tuple(label.names) if isinstance(label, datasets.ClassLabel) else None


def _objects(
    rows: datasets.Dataset, name: str, keys: dict[str, str], include_crowd: bool, log: ProblemLog
) -> tuple[_Objects, set[int]]:
    """The objects of all rows, and the rows whose objects make no sense."""
    found, skipped = _Objects([], [], [], []), set()
    for row, value in enumerate(_column(rows, "objects")):
        columns = _as_columns(value, [key for key in keys.values() if key])
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{count} {key}" for key, count in lengths.items())
            log.add("ragged_objects", f"{name}#{row}", f"the image is skipped: it has {listed}")
            skipped.add(row)
            continue
        for place, (bbox, category) in enumerate(zip(columns[keys["box"]], columns[keys["category"]], strict=True)):
            if keys["crowd"] and columns[keys["crowd"]][place] and not include_crowd:
                detail = "iscrowd marks a group; include_crowd=True (--option include_crowd=true) keeps it"
                log.add("crowd", f"{name}#{row}: object {place}", detail)
                continue
            found.row.append(row)
            found.place.append(place)
            found.bbox.append(_four_numbers(bbox))
            found.category.append(category)
    return found, skipped


def _as_columns(value: Any, keys: list[str]) -> dict[str, list[Any]]:
    """One row's objects, a list of objects or an object of lists, as an object of lists."""
    if isinstance(value, dict):
        return {key: value.get(key) or [] for key in keys}
    return {key: [(thing or {}).get(key) for thing in value or []] for key in keys}


def _four_numbers(bbox: Any) -> list[float]:
    """The box, or four NaN, which `clip_boxes` finds to be no box."""
    if isinstance(bbox, list) and len(bbox) == 4 and all(type(side) in (int, float) for side in bbox):
        return [float(side) for side in bbox]
    return [float("nan")] * 4


def _images(
    rows: datasets.Dataset, name: str, images: HubImages, skipped: set[int], log: ProblemLog
) -> tuple[dict[int, str], np.ndarray]:
    """Row -> image id of the usable rows, and their (I, 2) sizes."""

    def column(key: str) -> Iterator[Any]:
        return _column(rows, key) if key in rows.column_names else iter([None] * len(rows))

    # a row without an id has its number for one
    ids: dict[int, str] = {}
    sizes: list[tuple[int, int]] = []
    seen: set[str] = set()
    sized = {"width", "height"} <= set(rows.column_names)
    every = zip(column("image_id"), column("width"), column("height"), strict=True)
    for row, (key, width, height) in enumerate(
        tqdm(every, total=len(rows), desc="reading sizes of images", unit="image", disable=sized)
    ):
        if row in skipped:
            continue
        image_id = str(row if key is None else key)
        if image_id in seen:
            log.add("repeated_image", f"{name}#{row}", f"image_id {image_id} stands in a row before")
            continue
        seen.add(image_id)
        size = (width, height)
        if not all(isinstance(side, int) and 1 <= side < 10**6 for side in size):
            file = images.name_of(row)
            try:
                size = probe(file, images(file))
            except BrokenImageError as error:
                log.add(error.reason, error.file, error.detail)
                continue
        ids[row] = image_id
        sizes.append(size)
    return ids, np.array(sizes, dtype=np.int32).reshape(-1, 2)


def _labels(objects: _Objects, given: Sequence[str] | Mapping[int, str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n,) class of each object, -1 where it has none, and the class names."""
    known: dict[Any, str]
    if given is not None:
        known = dict(given) if isinstance(given, Mapping) else dict(enumerate(given))
        known |= {text: text for text in list(known.values())}
    else:
        values = {value for value in objects.category if type(value) in (int, str) and value != ""}
        known = {value: str(value) for value in sorted(values, key=lambda value: (isinstance(value, str), value))}
    number = {text: place for place, text in enumerate(dict.fromkeys(known.values()))}
    label = np.full(len(objects.category), -1, dtype=np.int32)
    for index, value in enumerate(objects.category):
        if type(value) in (int, str) and value in known:
            label[index] = number[known[value]]
    return label, tuple(number)


def _where(objects: _Objects, at: int, name: str) -> str:
    return f"{name}#{objects.row[at]}: object {objects.place[at]}"


def _column(rows: datasets.Dataset, name: str) -> Iterator[Any]:
    """The values of one column; the others, images above all, are not read."""
    for batch in rows.select_columns([name]).iter(batch_size=_BATCH):
        yield from batch[name]
