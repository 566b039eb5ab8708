"""Box files of Open Images V4 to V7 (https://storage.googleapis.com/openimages/web/download_v7.html) -> box table."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_hyperbolic.data.boxes import BoxTable, Problem
from hf_hyperbolic.data.class_descriptions import read_class_descriptions
from hf_hyperbolic.data.clipping import REASONS, clip_boxes, repeated_boxes
from hf_hyperbolic.data.csv_blocks import Block, as_numpy, map_blocks
from hf_hyperbolic.data.image_labels import read_federation
from hf_hyperbolic.data.problem_log import EXAMPLES, ProblemLog

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_FLAG_COLUMNS = ("IsGroupOf", "IsDepiction")
_FLAGS = {"0": False, "1": True, "-1": False}
# shares are published with six decimals
_ROUNDING = 1e-5
_ROW_REASONS = {
    "no_image_id": "ImageID is empty",
    "unknown_class": "LabelName is not among the class descriptions",
    "group_of": "IsGroupOf marks a group; include_group_of=True (--option include_group_of=true) keeps it",
    "depiction": "IsDepiction marks no real thing; include_depiction=True (--option include_depiction=true) keeps it",
    **REASONS,
    "not_a_box": "XMin, YMin, XMax and YMax must be four finite numbers",
    "zero_area": "XMin must lie below XMax, and YMin below YMax",
    "too_small": "a side is shorter than min_share after clipping",
}
_CODE = {reason: code for code, reason in enumerate(_ROW_REASONS, start=1)}


@dataclass(frozen=True)
class _Rows:
    """Rows of the box file, in its order.

    Attributes:
        image: (n,) int32 into the image ids.
        label: (n,) int32 into the classes, -1 where unknown.
        boxes: (n, 4) float32 shares.
        code: (n,) int8, 0 where the row is a usable box, else the code of the first reason that applies.
        group: (n,) bool, IsGroupOf.
        log: what is wrong with them.
    """

    image: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    code: np.ndarray
    group: np.ndarray
    log: ProblemLog


def read_open_images(
    box_file: str | os.PathLike[str],
    image_folder: str | os.PathLike[str] | None = None,
    *,
    class_file: str | os.PathLike[str] | None = None,
    image_labels: str | os.PathLike[str] | None = None,
    include_group_of: bool = False,
    include_depiction: bool = True,
    min_share: float = 0.004,
) -> BoxTable:
    """Reads a file of boxes such as `validation-annotations-bbox.csv`, plain or compressed by gzip.

    Images stand in the order they first occur, their boxes in the order of the file. Images left without a box stay:
    they are scenes too. The table is `relative`: the file gives shares and no image sizes. What is skipped or clipped
    is counted in `BoxTable.problems`. Boxes seen from inside the object (IsInside) are boxes like any other.

    Args:
        box_file: CSV with the columns ImageID, LabelName, XMin, XMax, YMin, YMax, in any order; of the others
            IsGroupOf and IsDepiction are heeded where they are there. A flag of -1 (unknown) counts as 0.
        image_folder: holds `<ImageID>.jpg`; images that are not there are skipped, and so are their boxes. None: the
            table has no image files.
        class_file: class descriptions, id and name, with or without a header. They give the classes and their order;
            ids of one name are one class. None: the class ids that occur, sorted, are the classes, so two files may
            number them differently.
        image_labels: CSV with the columns ImageID, LabelName and Confidence: what people verified to be in an image
            (1) or not to be (0). Fills `BoxTable.federation`: `verified_absent` from the zeros without a box,
            `not_exhaustive` from IsGroupOf. Labels of other images or classes are left out. None: no federation, that
            is to say a class without a box counts as absent.
        include_group_of: keep boxes around five or more instances that overlap.
        include_depiction: keep boxes of drawings, statues and toys.
        min_share: boxes with a side shorter than this share of the image, once clipped, are skipped. The default is
            about 4 pixels of the 1,024 the published images measure on their longer side.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a file is empty, damaged, not UTF-8 or lacks a column, more than half of the boxes reach
            out of their image (they are in pixels or per cent), or no usable image or box is left.
    """
    path = Path(box_file)
    class_of_id: dict[str, int] | None = None
    class_names: tuple[str, ...] = ()
    if class_file is not None:
        names = read_class_descriptions(class_file)
        class_names = tuple(dict.fromkeys(names.values()))
        class_of_id = {class_id: class_names.index(name) for class_id, name in names.items()}
    folder = None if image_folder is None else Path(image_folder).absolute()
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"image_folder {folder}: no such folder")

    rows, image_ids, class_ids = _read(path, class_of_id, include_group_of, include_depiction, min_share)
    log = rows.log
    _require_shares(path, rows)
    if class_of_id is None:
        class_names, class_of_id = class_ids, {class_id: number for number, class_id in enumerate(class_ids)}
    usable = (rows.code == 0) | (rows.code == _CODE["clipped"])
    usable[_repeats(path, rows, image_ids, usable)] = False
    image_row, files = _find_images(path, image_ids, folder, log)
    kept = np.flatnonzero(usable & (image_row >= 0)[rows.image])
    if not len(kept):
        raise ValueError(f"{path}: none of its {len(rows.code):,} rows is a usable box{log.summary()}")
    box_image = image_row[rows.image[kept]]
    if (np.diff(box_image) < 0).any():
        order = np.argsort(box_image, kind="stable")
        kept, box_image = kept[order], box_image[order]
    federation = None
    if image_labels is not None:
        known = (rows.label >= 0) & (image_row >= 0)[rows.image]
        seen = np.stack([image_row[rows.image[known]], rows.label[known]], axis=1)
        labels_path, ids = Path(image_labels), image_ids[image_row >= 0]
        federation = read_federation(labels_path, ids, class_of_id, seen, rows.group[known], log)
    return BoxTable(
        image_ids=image_ids[image_row >= 0],
        image_files=files,
        image_sizes=np.ones((len(files), 2), dtype=np.int32),
        box_image=box_image,
        boxes=rows.boxes[kept],
        labels=rows.label[kept],
        class_names=class_names,
        problems=log.problems(),
        relative=True,
        federation=federation,
    )


def _require_shares(path: Path, rows: _Rows) -> None:
    """Refuses boxes in other units: of those in pixels or per cent a few near the corner would pass for shares."""
    left_out = [_CODE[reason] for reason in _ROW_REASONS if reason not in REASONS]
    judged = rows.code[~np.isin(rows.code, left_out)]
    outside = np.isin(judged, [_CODE["outside_image"], _CODE["clipped"]])
    if 2 * outside.sum() > len(judged):
        raise ValueError(
            f"{path}: {outside.sum():,} of {len(judged):,} boxes reach out of their image{rows.log.summary()}; boxes "
            "must be shares of the image in [0, 1], not pixels or per cent"
        )


def _read(
    path: Path, class_of_id: dict[str, int] | None, include_group_of: bool, include_depiction: bool, min_share: float
) -> tuple[_Rows, np.ndarray, tuple[str, ...]]:
    """All rows, the image ids, and the class ids that occur, sorted: the classes if `class_of_id` is None."""
    convert = partial(
        _convert,
        path=path,
        class_ids=None if class_of_id is None else frozenset(class_of_id),
        skipped_flags=[
            name for name, kept in zip(_FLAG_COLUMNS, (include_group_of, include_depiction), strict=True) if not kept
        ],
        min_share=min_share,
    )
    log = ProblemLog()
    images: list[pa.DictionaryArray] = []
    numbers: dict[str, int] = {}
    parts: dict[str, list[np.ndarray]] = {"label": [], "boxes": [], "code": [], "group": []}
    text = ("ImageID", "LabelName", *_FLAG_COLUMNS)
    for rows, image, class_ids in map_blocks(path, convert, text=text, numbers=_CORNERS, optional=_FLAG_COLUMNS):
        log.merge(rows.log)
        images.append(image)
        if class_of_id is None:
            number = [numbers.setdefault(class_id, len(numbers)) if class_id else -1 for class_id in class_ids]
        else:
            number = [class_of_id.get(class_id, -1) for class_id in class_ids]
        parts["label"].append(np.array(number, dtype=np.int32)[rows.label])
        for name in ("boxes", "code", "group"):
            parts[name].append(getattr(rows, name))
    if not images:
        raise ValueError(f"{path} lists no boxes: the split is empty")
    chunks = pa.chunked_array(images).unify_dictionaries().chunks
    del images
    if not sum(map(len, chunks)):
        raise ValueError(f"{path}: none of its lines is a row of boxes{log.summary()}")
    # part by part, so that only one column at a time is held twice
    joined = {"image": np.concatenate([as_numpy(chunk.indices) for chunk in chunks])}
    joined |= {name: np.concatenate(parts.pop(name)) for name in list(parts)}
    ordered = sorted(numbers)
    if class_of_id is None:
        rank = np.full(len(numbers) + 1, -1, dtype=np.int32)
        rank[[numbers[class_id] for class_id in ordered]] = np.arange(len(ordered))
        joined["label"] = rank[joined["label"]]
    return _Rows(log=log, **joined), np.array(chunks[0].dictionary.to_pylist()), tuple(ordered)


def _convert(
    block: Block, path: Path, class_ids: frozenset[str] | None, skipped_flags: list[str], min_share: float
) -> tuple[_Rows, pa.DictionaryArray, list[str]]:
    """Rows of a block, the column of image ids, and the class ids that `label` numbers."""
    log = ProblemLog()
    cut = [
        Problem("wrong_length", f"{path}: line {number}", f"more or fewer values than line 1 names: {text!r}")
        for number, text in block.cut_lines(EXAMPLES + 1)
    ]
    log.add_many("wrong_length", len(block.cut), cut)
    image = block.columns["ImageID"]
    label, classes = block.categories("LabelName")
    unknown = [not class_id or (class_ids is not None and class_id not in class_ids) for class_id in classes]
    flags = {name: _flag(block, name, path, log) for name in _FLAG_COLUMNS}
    boxes, found = clip_boxes(block.numbers(*_CORNERS), np.ones((block.num_rows, 2)), min_share, _ROUNDING)
    tests = {
        "no_image_id": (as_numpy(pc.binary_length(image.dictionary)) == 0)[as_numpy(image.indices)],
        "unknown_class": np.array(unknown, dtype=bool)[label],
        "group_of": flags["IsGroupOf"] & ("IsGroupOf" in skipped_flags),
        "depiction": flags["IsDepiction"] & ("IsDepiction" in skipped_flags),
        **found,
    }
    code = np.zeros(block.num_rows, dtype=np.int8)
    for reason, met in tests.items():
        code[met & (code == 0)] = _CODE[reason]
    for reason in _ROW_REASONS:
        bad = np.flatnonzero(code == _CODE[reason])
        log.add_many(reason, len(bad), _examples(block, path, reason, _ROW_REASONS[reason], bad))
    return _Rows(as_numpy(image.indices), label, boxes, code, flags["IsGroupOf"], log), image, classes


def _flag(block: Block, name: str, path: Path, log: ProblemLog) -> np.ndarray:
    """(n,) bool; what is none of 0, 1 and -1 is counted and taken as -1."""
    if name not in block.columns:
        return np.zeros(block.num_rows, dtype=bool)
    row, values = block.categories(name)
    strange = np.flatnonzero(np.array([value not in _FLAGS for value in values], dtype=bool)[row])
    detail = f"{name} is none of 0, 1 and -1 and was taken as unknown (kept)"
    log.add_many("unknown_flag", len(strange), _examples(block, path, "unknown_flag", detail, strange))
    return np.array([_FLAGS.get(value, False) for value in values], dtype=bool)[row]


def _examples(block: Block, path: Path, reason: str, detail: str, rows: np.ndarray) -> list[Problem]:
    if not len(rows):
        return []
    lines = block.lines(rows[: EXAMPLES + 1])
    return [Problem(reason, f"{path}: line {number}", f"{detail}: {text!r}") for number, text in lines]


def _repeats(path: Path, rows: _Rows, image_ids: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Rows that say again what an earlier usable row of the same image, class and box said."""
    again = repeated_boxes(rows.image, rows.label, rows.boxes, usable)
    detail = "the same class and box stand in an earlier line"
    ids = image_ids[rows.image[again[: EXAMPLES + 1]]].tolist()
    examples = [Problem("repeated_box", f"{path}: image {name}", detail) for name in ids]
    rows.log.add_many("repeated_box", len(again), examples)
    return again


def _find_images(
    path: Path, image_ids: np.ndarray, folder: Path | None, log: ProblemLog
) -> tuple[np.ndarray, np.ndarray]:
    """(J,) int32 row each image id has in the table, -1 if none, and the (I,) image files."""
    there = image_ids != ""
    if folder is not None:
        files = frozenset(os.listdir(folder))
        on_disk = np.array([f"{name}.jpg" in files for name in image_ids.tolist()], dtype=bool)
        missing = np.flatnonzero(there & ~on_disk)
        examples = [
            Problem("missing_file", f"{path}: image {name}", f"no file {folder / name}.jpg: its boxes are left out")
            for name in image_ids[missing[: EXAMPLES + 1]].tolist()
        ]
        log.add_many("missing_file", len(missing), examples)
        there &= on_disk
        if not there.any():
            raise ValueError(
                f"{path}: none of its {len(image_ids):,} images lies in {folder} as <ImageID>.jpg: pass the "
                "folder of this split as image_folder="
            )
    row = np.where(there, np.cumsum(there) - 1, -1).astype(np.int32)
    if folder is None:
        return row, np.full(int(there.sum()), "")
    return row, np.array([f"{folder / name}.jpg" for name in image_ids[there].tolist()])
