"""Table of boxes -> COCO instances file (https://cocodataset.org/#format-data)."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.data.images import probe


def write_coco(table: BoxTable, file: str | os.PathLike[str]) -> Path:
    """Writes the boxes of a table so that `read_coco(file, min_size=0)` gives the same table again, to the bit; but
    its problems are not written, and a relative table comes back in pixels. What a table does not hold is not there
    either: masks, crowd flags, licences, and the ids of annotations and categories.

    Image files keep their place: `file_name` is relative to where `read_coco` looks (the folder `images` beside the
    JSON, else its folder) if all images lie below it, and absolute otherwise: `read_coco` then has to be told an
    `image_folder` that holds them. Ids of images become numbers where all of
    them are. A relative table is written in pixels, for which every image's header is read. A federation is written
    as LVIS writes it (`neg_category_ids`, `not_exhaustive_category_ids`).

    Args:
        table: boxes whose images are files.
        file: the JSON to write, which must not exist yet; its folder is made if missing.

    Returns:
        The path written.

    Raises:
        FileExistsError: the file exists; it might be the source, of which it keeps less.
        ValueError: images have no file.
        BrokenImageError: the table is relative and the size of an image cannot be read.
    """
    path = Path(file).absolute()
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists and is not replaced: write to another file, or remove it first")
    if (table.image_files == "").any():
        missing = table.image_ids[table.image_files == ""]
        raise ValueError(
            f"{len(missing)} images have no file, the first is {missing[0]}, and COCO names one for each: read the "
            "annotations with image_folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = _sizes(table)
    boxes = table.boxes.astype(np.float64)
    if table.relative:
        boxes = boxes * np.tile(sizes, 2)[table.box_image]
    ids = _ids(table)
    categories = [{"id": number, "name": name} for number, name in enumerate(table.class_names, start=1)]
    document = {
        "images": _images(table, ids, sizes, path),
        "annotations": _annotations(table, ids, boxes),
        "categories": categories,
    }
    write_text(path, json.dumps(document))
    return path


def _images(table: BoxTable, ids: list[Any], sizes: np.ndarray, path: Path) -> list[dict[str, Any]]:
    root = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    places = table.image_files.tolist()
    if all(Path(name).is_relative_to(root) for name in places):
        places = [Path(name).relative_to(root).as_posix() for name in places]
    images: list[dict[str, Any]] = [
        {"id": ids[number], "file_name": place, "width": size[0], "height": size[1]}
        for number, (place, size) in enumerate(zip(places, sizes.tolist(), strict=True))
    ]
    if table.federation:
        for key, pairs in (
            ("neg_category_ids", table.federation.verified_absent),
            ("not_exhaustive_category_ids", table.federation.not_exhaustive),
        ):
            for image in images:
                image[key] = []
            for row, label in pairs.tolist():
                images[row][key].append(label + 1)
    return images


def _annotations(table: BoxTable, ids: list[Any], boxes: np.ndarray) -> list[dict[str, Any]]:
    annotations = []
    for number, (image, label, (x0, y0, x1, y1)) in enumerate(
        zip(table.box_image.tolist(), table.labels.tolist(), boxes.tolist(), strict=True), start=1
    ):
        width, height = x1 - x0, y1 - y0
        annotations.append(
            {
                "id": number,
                "image_id": ids[image],
                "category_id": label + 1,
                "bbox": [x0, y0, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    return annotations


def _ids(table: BoxTable) -> list[Any]:
    ids = table.image_ids.tolist()
    # COCO's own tools want numbers; "007" is not one, it would come back as "7"
    return [int(name) for name in ids] if all(name.isdecimal() and str(int(name)) == name for name in ids) else ids


def _sizes(table: BoxTable) -> np.ndarray:
    """(I, 2) width and height in pixels."""
    if not table.relative:
        return table.image_sizes
    files = tqdm(table.image_files.tolist(), desc="reading sizes", unit="image")
    return np.array([probe(file) for file in files], dtype=np.int32).reshape(-1, 2)
