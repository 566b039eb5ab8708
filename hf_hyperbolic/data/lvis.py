"""LVIS files, v0.5 and v1 (https://www.lvisdataset.org/dataset) -> table of boxes with what annotators looked for."""

import os
from dataclasses import replace

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable, Federation
from hf_hyperbolic.data.coco_layout import Instances, is_id, read_instances

_ABSENT, _NOT_EXHAUSTIVE = "neg_category_ids", "not_exhaustive_category_ids"


def read_lvis(
    annotation_file: str | os.PathLike[str],
    image_folder: str | os.PathLike[str] | None = None,
    *,
    min_size: float = 4.0,
    check_images: bool = False,
    require_images: bool = True,
) -> BoxTable:
    """Reads an LVIS file: COCO's layout, and which classes annotators looked for in which image.

    Order, classes, what is skipped and what is recorded are as in `read_coco`. A listed category that is not among
    the file's categories, and a class listed as absent from an image where it has a box or is listed as present, are
    recorded in `BoxTable.problems` and left out of the federation. LVIS took the images of its splits from COCO's
    without keeping COCO's split: those of a v1 validation file lie in COCO's `train2017` too.

    Args:
        annotation_file: JSON with `images`, `annotations` and `categories`, of v0.5 (1,230 categories) or v1 (1,203).
        image_folder: the folder that holds COCO's folders `train2017` and `val2017`, or one that holds the images
            themselves; also `file_name` (v0.5) is relative to it. By default it is looked for as `read_coco` does.
        min_size: boxes with a side shorter than this many pixels, once clipped to the image, are skipped.
        check_images: open every header and skip images that are broken or of another size than stated.
        require_images: skip images without a file. False keeps them, their entry of `image_files` empty: enough for
            hierarchies and statistics, not for pixels.

    Raises:
        FileNotFoundError: there is no annotation file or image folder.
        ValueError: not JSON, not LVIS, ids given twice, or no usable image or no usable box.
    """
    found = read_instances(
        annotation_file,
        image_folder,
        min_size=min_size,
        include_crowd=False,
        check_images=check_images,
        require_images=require_images,
    )
    if not any(key in row for row in found.image_rows for key in (_ABSENT, _NOT_EXHAUSTIVE)):
        raise ValueError(
            f"{annotation_file}: not LVIS: no image has {_ABSENT} or {_NOT_EXHAUSTIVE}; read_coco reads COCO's own"
        )
    federation = _federation(annotation_file, found)
    return replace(found.table, federation=federation, problems=found.log.problems())


def _federation(path: str | os.PathLike[str], found: Instances) -> Federation:
    absent = _listed(path, found, _ABSENT)
    not_exhaustive = _listed(path, found, _NOT_EXHAUSTIVE)
    present = np.stack([found.table.box_image, found.table.labels], axis=1)
    names, ids = found.table.class_names, found.table.image_ids
    absurd = _contains(np.concatenate([present, not_exhaustive]), absent, len(names))
    for image, label in absent[absurd].tolist():
        where = f"{path}: image {ids[image]}"
        found.log.add("absent_but_present", where, f"{_ABSENT} lists {names[label]!r}, which is in the image")
    return Federation(verified_absent=absent[~absurd], not_exhaustive=not_exhaustive)


def _listed(path: str | os.PathLike[str], found: Instances, key: str) -> np.ndarray:
    """(n, 2) int32 distinct rows of image and class that `key` lists."""
    pairs: list[tuple[int, int]] = []
    for number, row in enumerate(found.image_rows):
        image = found.image_row[row["id"]] if is_id(row.get("id")) else -1
        if image < 0:
            continue
        where = f"{path}: images[{number}] (id {row['id']})"
        categories = row.get(key)
        if not isinstance(categories, list):
            found.log.add("no_federation", where, f"{key} must be a list of category ids, got {categories!r}")
            continue
        for category in categories:
            if is_id(category) and category in found.category_class:
                pairs.append((image, found.category_class[category]))
            else:
                detail = f"{key} lists {category!r}, which is not among the categories of the file"
                found.log.add("unknown_federated_category", where, detail)
    return np.unique(np.array(pairs, dtype=np.int32).reshape(-1, 2), axis=0)


def _contains(pairs: np.ndarray, wanted: np.ndarray, classes: int) -> np.ndarray:
    """(n,) bool: which of the (n, 2) rows `wanted` are among the rows `pairs`."""
    codes, sought = (rows[:, 0].astype(np.int64) * classes + rows[:, 1] for rows in (pairs, wanted))
    return np.isin(sought, codes)
