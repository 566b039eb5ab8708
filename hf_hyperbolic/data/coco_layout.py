"""JSON files in COCO's layout (https://cocodataset.org/#format-data): what its own reader and LVIS's share."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.clipping import REASONS, clip_boxes, repeated_boxes
from hf_hyperbolic.data.coco_images import file_names, find_file, find_image_folder, set_folders
from hf_hyperbolic.data.image_files import FolderListing, image_size, path_within, whole_size
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.problem_log import ProblemLog
from hf_hyperbolic.data.text_files import read_json

Row = dict[str, Any]

_BOX_REASONS = REASONS | {
    "not_a_box": "bbox must be four finite numbers x, y, width, height",
    "unknown_image": "image_id is not among the images of the file",
    "skipped_image": "its image was skipped",
    "unknown_category": "category_id is not among the categories of the file",
    "repeated_box": "an earlier annotation gives the same box of the same class to the same image",
    "crowd": "iscrowd marks a group; include_crowd=True (--option include_crowd=true) keeps it",
}
_CODE = {reason: code for code, reason in enumerate(_BOX_REASONS, start=1)}


@dataclass(frozen=True)
class Instances:
    """An annotation file as read, with what a reader needs to take more from it.

    Attributes:
        table: its boxes; `problems` stays empty, they are in `log`.
        image_rows: `images` of the file.
        image_row: image id of the file -> row of the table, -1 where the image was skipped.
        category_class: category id of the file -> class.
        log: what was skipped.
    """

    table: BoxTable
    image_rows: list[Row]
    image_row: dict[Any, int]
    category_class: dict[Any, int]
    log: ProblemLog


def read_instances(
    annotation_file: str | os.PathLike[str],
    image_folder: str | os.PathLike[str] | None,
    *,
    min_size: float,
    include_crowd: bool,
    check_images: bool,
    require_images: bool,
) -> Instances:
    """Reads `images`, `annotations` and `categories`; arguments and errors are those of `read_coco`."""
    path = Path(annotation_file)
    folder = None if image_folder is None else Path(image_folder).absolute()
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"image_folder {folder}: no such folder")
    document = _load(path)
    on_disk = FolderListing()
    if folder is None:
        folder = find_image_folder(path, document["images"], on_disk)
    log = ProblemLog()
    class_names, category_class = _classes(path, document["categories"])
    ids, files, sizes, image_row = _images(
        path, document["images"], [folder, *set_folders(path)], on_disk, check_images, require_images, log
    )
    if not document["images"]:
        raise ValueError(f"{path} lists no images: the split is empty")
    if not ids:
        raise ValueError(
            f"{path}: none of its {len(document['images'])} images can be used{log.summary()}; images were looked for "
            f"in {folder}: pass image_folder= if they lie elsewhere, or require_images=False to do without"
        )
    image_sizes = np.array(sizes, dtype=np.int32)
    box_image, boxes, labels = _boxes(
        path, document["annotations"], image_row, category_class, image_sizes, min_size, include_crowd, log
    )
    if not len(labels):
        raise ValueError(
            f"{path}: none of its {len(document['annotations'])} annotations is a usable box{log.summary()}"
        )
    table = BoxTable(
        image_ids=np.array(ids),
        image_files=np.array(files),
        image_sizes=image_sizes,
        box_image=box_image,
        boxes=boxes,
        labels=labels,
        class_names=class_names,
    )
    return Instances(table, document["images"], image_row, category_class, log)


def is_id(value: Any) -> bool:
    """Whether a JSON value can be an id: a whole number, which pandas may write as 1.0, or text."""
    if type(value) is float:
        return value.is_integer()
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def id_text(key: Any) -> str:
    """An id as a table has it."""
    return str(int(key) if type(key) is float else key)


def _load(path: Path) -> dict[str, list[Row]]:
    document = read_json(path)
    expected = ("images", "annotations", "categories")
    if not isinstance(document, dict):
        kind = "list" if isinstance(document, list) else type(document).__name__
        raise ValueError(
            f"{path}: not a COCO instances file: expected an object with {', '.join(expected)}, got a {kind}"
        )
    missing = [key for key in expected if key not in document]
    if missing:
        found = ", ".join(list(document)[:10]) or "nothing"
        raise ValueError(f"{path}: not a COCO instances file: lacks {', '.join(missing)}; found {found}")
    for key in expected:
        rows = document[key]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{path}: not a COCO instances file: {key} must be a list of objects")
    return document


def _classes(path: Path, rows: list[Row]) -> tuple[tuple[str, ...], dict[Any, int]]:
    names: dict[Any, str] = {}
    for number, row in enumerate(rows):
        if not is_id(row.get("id")) or not isinstance(row.get("name"), str):
            raise ValueError(f"{path}: categories[{number}] must have an id (whole number or text) and a name")
        if row["id"] in names:
            raise ValueError(f"{path}: categories[{number}] repeats id {row['id']!r}: ids must be unique")
        names[row["id"]] = row["name"]
    ordered = sorted(names, key=lambda key: (isinstance(key, str), key))
    class_of_name = {name: number for number, name in enumerate(dict.fromkeys(names[key] for key in ordered))}
    return tuple(class_of_name), {key: class_of_name[names[key]] for key in ordered}


def _images(
    path: Path,
    rows: list[Row],
    folders: list[Path],
    on_disk: FolderListing,
    check_images: bool,
    require_images: bool,
    log: ProblemLog,
) -> tuple[list[str], list[str], list[tuple[int, int]], dict[Any, int]]:
    """Usable images: ids, files, sizes, and the row of each image id (-1 where the image was skipped)."""
    ids: list[str] = []
    files: list[str] = []
    sizes: list[tuple[int, int]] = []
    image_row: dict[Any, int] = {}
    id_of_file: dict[str, Any] = {}
    for number, row in enumerate(tqdm(rows, desc="checking images", unit="image", disable=not check_images)):
        where = f"{path}: images[{number}]"
        key = row.get("id")
        if not is_id(key):
            log.add("no_image_id", where, f"id must be a whole number or text, got {key!r}")
            continue
        if key in image_row:
            raise ValueError(f"{where} repeats id {key!r}: image ids must be unique")
        image_row[key] = -1
        where = f"{where} (id {key})"
        names = file_names(row)
        file = find_file(names, folders, on_disk)
        stated = whole_size(row.get("width"), row.get("height"))
        if not file and require_images:
            log.add(*_not_found(row, where, names, folders))
            continue
        if file in id_of_file:
            log.add("repeated_file", where, f"{file} is the image with id {id_of_file[file]} already")
            continue
        if not file and stated is None:
            log.add("no_size", where, "neither width and height nor an image file to read them from")
            continue
        try:
            size = stated if stated and not file else image_size(file, stated, check_images, path.name)
        except BrokenImageError as error:
            log.add(error.reason, error.file, error.detail)
            continue
        if not file:
            log.add("image_not_at_hand", where, "no image file; its annotations are kept (require_images=False)")
        else:
            id_of_file[file] = key
        image_row[key] = len(ids)
        ids.append(id_text(key))
        files.append(file)
        sizes.append(size)
    if len(set(map(id_text, image_row))) < len(image_row):
        twice = next(key for key, times in Counter(map(id_text, image_row)).items() if times > 1)
        raise ValueError(f"{path}: image id {twice} stands both as a number and as text: image ids must be unique")
    return ids, files, sizes, image_row


def _not_found(row: Row, where: str, names: list[str], folders: list[Path]) -> tuple[str, str, str]:
    """Reason, place and detail of an image without a file."""
    if not names:
        return "no_file_name", where, f"file_name must be text, got {row.get('file_name')!r}"
    paths = {name: path_within(name, *map(os.fspath, folders)) for name in names}
    if outside := [name for name, path in paths.items() if path is None]:
        advice = "pass as image_folder= a folder that all images lie in, and name them relative to it or absolutely"
        return "outside_folder", where, f"{outside[0]} leads out of {folders[0]}: {advice}"
    return "missing_file", where, f"no file {' or '.join(filter(None, paths.values()))}"


def _boxes(
    path: Path,
    rows: list[Row],
    image_row: dict[Any, int],
    category_class: dict[Any, int],
    image_sizes: np.ndarray,
    min_size: float,
    include_crowd: bool,
    log: ProblemLog,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B,) image rows, (B, 4) corners in pixels and (B,) classes of the usable annotations, by image."""
    count = len(rows)
    xywh = np.zeros((count, 4), dtype=np.float64)
    image = np.zeros(count, dtype=np.int64)
    label = np.zeros(count, dtype=np.int32)
    code = np.zeros(count, dtype=np.int8)
    for number, row in enumerate(rows):
        key, category = row.get("image_id"), row.get("category_id")
        if not is_id(key) or key not in image_row:
            code[number] = _CODE["unknown_image"]
        elif image_row[key] < 0:
            code[number] = _CODE["skipped_image"]
        elif not is_id(category) or category not in category_class:
            code[number] = _CODE["unknown_category"]
        elif row.get("iscrowd") and not include_crowd:
            code[number] = _CODE["crowd"]
        else:
            image[number], label[number] = image_row[key], category_class[category]
            corner = _four_numbers(row.get("bbox"))
            if corner is None:
                code[number] = _CODE["not_a_box"]
            else:
                xywh[number] = corner

    corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    boxes, found = clip_boxes(corners, image_sizes[image], min_size)
    usable = code == 0
    for reason, met in found.items():
        code[usable & met] = _CODE[reason]
    usable = (code == 0) | (code == _CODE["clipped"])
    repeated = repeated_boxes(image, label, boxes, usable)
    code[repeated], usable[repeated] = _CODE["repeated_box"], False
    _count_repeated_ids(path, rows, usable, log)
    reasons = list(_BOX_REASONS)
    for number in np.flatnonzero(code).tolist():
        reason, row = reasons[code[number] - 1], rows[number]
        log.add(reason, f"{path}: annotations[{number}] (id {row.get('id')})", _detail(row, reason))

    kept = np.flatnonzero(usable)
    kept = kept[np.argsort(image[kept], kind="stable")]
    return image[kept].astype(np.int32), boxes[kept], label[kept]


def _count_repeated_ids(path: Path, rows: list[Row], usable: np.ndarray, log: ProblemLog) -> None:
    """Counts the usable annotations whose id an earlier one has; their boxes are their own, so they stay."""
    first: dict[Any, int] = {}
    for number in np.flatnonzero(usable).tolist():
        key = rows[number].get("id")
        if is_id(key) and first.setdefault(key, number) != number:
            where = f"{path}: annotations[{number}] (id {key})"
            log.add("repeated_id", where, f"annotations[{first[key]}] has this id too: ids must be unique (kept)")


def _detail(row: Row, reason: str) -> str:
    about = {"unknown_image": "image_id", "skipped_image": "image_id", "unknown_category": "category_id"}
    key = about.get(reason, "bbox")
    return f"{key} {row.get(key)!r}: {_BOX_REASONS[reason]}"


def _four_numbers(bbox: Any) -> list[float] | None:
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    if not all(type(side) is float or type(side) is int for side in bbox):
        return None
    # whole numbers of any length are JSON; beyond this no float32 pixel coordinate makes sense (NaN fails too)
    return bbox if all(-1e9 < side < 1e9 for side in bbox) else None
