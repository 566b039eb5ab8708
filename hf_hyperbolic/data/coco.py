"""COCO instances files (https://cocodataset.org/#format-data) -> table of boxes."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable, Problem
from hf_hyperbolic.data.clipping import REASONS, clip_boxes
from hf_hyperbolic.data.images import BrokenImageError, probe

_BOX_REASONS = REASONS | {
    "not_a_box": "bbox must be four finite numbers x, y, width, height",
    "unknown_image": "image_id is not among the images of the file",
    "skipped_image": "its image was skipped",
    "unknown_category": "category_id is not among the categories of the file",
    "crowd": "iscrowd marks a group, not one instance; pass include_crowd=True to keep it",
}
_CODE = {reason: code for code, reason in enumerate(_BOX_REASONS, start=1)}


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_folder: str | os.PathLike[str] | None = None,
    *,
    min_size: float = 4.0,
    include_crowd: bool = False,
    check_images: bool = False,
) -> BoxTable:
    """Reads a COCO instances file.

    Images stand in the order of the file, their boxes in the order of the annotations, classes by category id
    (categories of the same name are one class). Images left without a box stay: they are scenes too. What is skipped
    or clipped is recorded in `BoxTable.problems` and never stops the reading, unless nothing is left.

    Args:
        annotation_file: JSON with `images`, `annotations` and `categories`. Sizes missing there are read from the
            images' headers.
        image_folder: what `file_name` (which may hold subfolders) is relative to. By default the folder `images`
            beside the annotation file where there is one, else the annotation file's folder.
        min_size: boxes with a side shorter than this many pixels, once clipped to the image, are skipped.
        include_crowd: keep annotations with `iscrowd`.
        check_images: open every header and skip images that are broken or whose size as shown (after EXIF rotation)
            is not the one the file states. Without it such images come to light when `ImageReader` reads them.

    Raises:
        FileNotFoundError: there is no annotation file or image folder.
        ValueError: not JSON, not COCO, ids given twice, or no usable image or no usable box.
    """
    path = Path(annotation_file)
    document = _load(path)
    folder = _image_folder(path, image_folder)
    problems: list[Problem] = []
    class_names, category_class = _classes(path, document["categories"])
    ids, files, sizes, image_row = _images(path, document["images"], folder, check_images, problems)
    if not document["images"]:
        raise ValueError(f"{path} lists no images: the split is empty")
    if not ids:
        raise ValueError(
            f"{path}: none of its {len(document['images'])} images can be used{_counted(problems)}; images were "
            f"looked for in {folder}: pass image_folder= if they lie elsewhere"
        )
    image_sizes = np.array(sizes, dtype=np.int32)
    box_image, boxes, labels = _boxes(
        path, document["annotations"], image_row, category_class, image_sizes, min_size, include_crowd, problems
    )
    if not len(labels):
        raise ValueError(
            f"{path}: none of its {len(document['annotations'])} annotations is a usable box{_counted(problems)}"
        )
    return BoxTable(
        image_ids=np.array(ids),
        image_files=np.array(files),
        image_sizes=image_sizes,
        box_image=box_image,
        boxes=boxes,
        labels=labels,
        class_names=class_names,
        problems=tuple(problems),
    )


def _load(path: Path) -> dict[str, list[dict[str, Any]]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        document = json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON but binary data, at byte {error.start}") from error
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        advice = "the file ends early: it was cut short, fetch it again" if cut else error.msg
        raise ValueError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {advice}") from error
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


def _image_folder(path: Path, given: str | os.PathLike[str] | None) -> Path:
    beside = path.absolute().parent
    if given is None:
        return beside / "images" if (beside / "images").is_dir() else beside
    folder = Path(given).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"image_folder {folder}: no such folder")
    return folder


def _classes(path: Path, rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], dict[Any, int]]:
    names: dict[Any, str] = {}
    for number, row in enumerate(rows):
        if not _is_id(row.get("id")) or not isinstance(row.get("name"), str):
            raise ValueError(f"{path}: categories[{number}] must have an id (number or text) and a name")
        if row["id"] in names:
            raise ValueError(f"{path}: categories[{number}] repeats id {row['id']!r}: ids must be unique")
        names[row["id"]] = row["name"]
    ordered = sorted(names, key=lambda key: (isinstance(key, str), key))
    class_of_name = {name: number for number, name in enumerate(dict.fromkeys(names[key] for key in ordered))}
    return tuple(class_of_name), {key: class_of_name[names[key]] for key in ordered}


def _images(
    path: Path, rows: list[dict[str, Any]], folder: Path, check_images: bool, problems: list[Problem]
) -> tuple[list[str], list[str], list[tuple[int, int]], dict[Any, int]]:
    """Usable images: ids, files, sizes, and the row of each image id (-1 where the image was skipped)."""
    ids: list[str] = []
    files: list[str] = []
    sizes: list[tuple[int, int]] = []
    image_row: dict[Any, int] = {}
    on_disk = _Folders()
    for number, row in enumerate(tqdm(rows, desc="checking images", unit="image", disable=not check_images)):
        where = f"{path}: images[{number}]"
        key = row.get("id")
        if not _is_id(key):
            problems.append(Problem("no_image_id", where, f"id must be a number or text, got {key!r}"))
            continue
        if key in image_row:
            raise ValueError(f"{where} repeats id {key!r}: image ids must be unique")
        image_row[key] = -1
        name = row.get("file_name")
        if not isinstance(name, str) or not name:
            problems.append(Problem("no_file_name", f"{where} (id {key})", f"file_name must be text, got {name!r}"))
            continue
        file = os.path.join(folder, name)
        if file not in on_disk:
            problems.append(Problem("missing_file", f"{where} (id {key})", f"no file {file}"))
            continue
        size = _stated_size(row)
        if size is None or check_images:
            try:
                shown = probe(file)
            except BrokenImageError as error:
                problems.append(error.problem())
                continue
            if size is not None and size != shown:
                detail = f"the file shows {shown[0]} x {shown[1]} pixels, {path.name} states {size[0]} x {size[1]}"
                problems.append(Problem("size_mismatch", file, detail))
                continue
            size = shown
        image_row[key] = len(ids)
        ids.append(str(key))
        files.append(file)
        sizes.append(size)
    if len(set(ids)) < len(ids):
        twice = next(key for key, times in Counter(ids).items() if times > 1)
        raise ValueError(f"{path}: image id {twice} stands both as a number and as text: image ids must be unique")
    return ids, files, sizes, image_row


def _boxes(
    path: Path,
    rows: list[dict[str, Any]],
    image_row: dict[Any, int],
    category_class: dict[Any, int],
    image_sizes: np.ndarray,
    min_size: float,
    include_crowd: bool,
    problems: list[Problem],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B,) image rows, (B, 4) corners in pixels and (B,) classes of the usable annotations, by image."""
    count = len(rows)
    xywh = np.zeros((count, 4), dtype=np.float64)
    image = np.zeros(count, dtype=np.int64)
    label = np.zeros(count, dtype=np.int32)
    code = np.zeros(count, dtype=np.int8)
    for number, row in enumerate(rows):
        key, category = row.get("image_id"), row.get("category_id")
        if not _is_id(key) or key not in image_row:
            code[number] = _CODE["unknown_image"]
        elif image_row[key] < 0:
            code[number] = _CODE["skipped_image"]
        elif not _is_id(category) or category not in category_class:
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
    reasons = list(_BOX_REASONS)
    for number in np.flatnonzero(code).tolist():
        reason = reasons[code[number] - 1]
        problems.append(Problem(reason, f"{path}: {_name(rows[number], number)}", _detail(rows[number], reason)))

    kept = np.flatnonzero((code == 0) | (code == _CODE["clipped"]))
    kept = kept[np.argsort(image[kept], kind="stable")]
    return image[kept].astype(np.int32), boxes[kept], label[kept]


def _name(row: dict[str, Any], number: int) -> str:
    return f"annotations[{number}] (id {row.get('id')})"


def _detail(row: dict[str, Any], reason: str) -> str:
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


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _stated_size(row: dict[str, Any]) -> tuple[int, int] | None:
    sides: tuple[Any, Any] = (row.get("width"), row.get("height"))
    if all(type(side) in (int, float) and 1 <= side < 1e6 and side == int(side) for side in sides):
        return int(sides[0]), int(sides[1])
    return None


def _counted(problems: Iterable[Problem]) -> str:
    counts = Counter(problem.reason for problem in problems)
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    return f" (skipped: {listed})" if listed else ""


class _Folders:
    """Which files exist, by listing each folder once: far quicker than asking for every file, above all remotely."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, file: str) -> bool:
        folder, name = os.path.split(file)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]
