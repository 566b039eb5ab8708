"""Scenes as a folder of JPEG files with COCO instance annotations."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.data.scenes.classes import CLASS_NAMES, OBJECT_CLASSES
from hf_hyperbolic.data.scenes.compose import SPLITS, Scene, render_scene

GENERATOR = "hf_hyperbolic scenes 3"  # raise the number when the same parameters write other files
JPEG_QUALITY = 92


def write_scenes(
    folder: str | os.PathLike[str], split: str, count: int, seed: int = 0, size: int = 192, num_workers: int = 0
) -> Path:
    """Write `count` scenes of a split as `<split>/000000.jpg`, ... and `instances_<split>.json`.

    The JSON is written last: where it exists with the same parameters the set is complete and is used as it is. Images
    of an interrupted run with the same parameters are kept. Files do not depend on `num_workers`.

    Args:
        folder: where to write; made if missing.
        split: one of `SPLITS`.
        count: number of scenes, at least 1.
        seed: of the set.
        size: side of the images in pixels.
        num_workers: processes that draw; 0 draws in this one.

    Returns:
        Path of the annotations, a COCO instances file (file names relative to `folder`) with two more keys:
        `scene_kind` of an image and `parent_annotation` of an annotation (id of the thing it was drawn as a part of,
        or null).

    Raises:
        ValueError: unknown split, or count below 1.
        OSError: the folder cannot be written.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    parameters = {"generator": GENERATOR, "split": split, "count": count, "seed": seed, "size": size}
    root = Path(folder)
    annotations, images = root / f"instances_{split}.json", root / split
    if _parameters_of(annotations) == parameters and (images / f"{count - 1:06d}.jpg").exists():
        return annotations
    begun = images / "parameters.json"
    try:
        images.mkdir(parents=True, exist_ok=True)
        if not _same_pictures(_parameters_of(begun), parameters):
            annotations.unlink(missing_ok=True)  # first: annotations never stand beside other images
            for stale in images.glob("*.jpg"):
                stale.unlink()
        write_text(begun, json.dumps({"info": parameters}))
    except OSError as error:
        raise OSError(
            f"cannot write scenes to {root}: {error.strerror or error}; choose another folder or make it writable"
        ) from error
    draw = partial(_draw_one, folder=images, seed=seed, split=split, size=size)
    rows = list(tqdm(_map(draw, count, num_workers), total=count, desc=f"scenes ({split})", unit="scene"))
    write_text(annotations, json.dumps(_coco(rows, parameters, size)))
    return annotations


def _map(draw: Any, count: int, num_workers: int) -> Iterator[dict[str, Any]]:
    if num_workers < 1:
        yield from map(draw, range(count))
        return
    with ProcessPoolExecutor(num_workers) as pool:
        yield from pool.map(draw, range(count), chunksize=16)


def _draw_one(index: int, folder: Path, seed: int, split: str, size: int) -> dict[str, Any]:
    scene = render_scene(seed, index, split, size)
    path = folder / f"{index:06d}.jpg"
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}.tmp")
        scene.image.save(aside, format="JPEG", quality=JPEG_QUALITY)
        aside.replace(path)
    return _row(scene)


def _row(scene: Scene) -> dict[str, Any]:
    return {
        "kind": scene.kind,
        "boxes": scene.boxes.tolist(),
        "labels": list(scene.labels),
        "parents": scene.parents.tolist(),
    }


def _coco(rows: list[dict[str, Any]], parameters: dict[str, Any], size: int) -> dict[str, Any]:
    ids = {name: k + 1 for k, name in enumerate(CLASS_NAMES)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        name = f"{parameters['split']}/{index:06d}.jpg"
        images.append({"id": index, "file_name": name, "width": size, "height": size, "scene_kind": row["kind"]})
        first = len(annotations) + 1
        for (x0, y0, x1, y1), label, parent in zip(row["boxes"], row["labels"], row["parents"], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": ids[label],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "parent_annotation": first + parent if parent >= 0 else None,
                }
            )
    categories = [
        {"id": ids[name], "name": name, "supercategory": "object" if name in OBJECT_CLASSES else "part"}
        for name in CLASS_NAMES
    ]
    info = {"description": "Drawn scenes with exact boxes of objects and their parts", **parameters}
    return {"info": info, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def _parameters_of(path: Path) -> dict[str, Any] | None:
    """The parameters a file says it was written with, `None` if it is missing or unreadable."""
    try:
        info = json.loads(path.read_text(encoding="utf-8"))["info"]
        return {key: info[key] for key in ("generator", "split", "count", "seed", "size")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _same_pictures(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Whether two sets of parameters give the same picture for the same index (the count does not matter)."""
    return found is not None and {**found, "count": 0} == {**wanted, "count": 0}
