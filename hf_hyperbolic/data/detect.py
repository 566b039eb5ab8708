"""Images without boxes -> a COCO instances file, by a detector that searches whole images and then what it found."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from hf_hyperbolic.data.boxes import Problem
from hf_hyperbolic.data.detectors import DEFAULT_THRESHOLD, check_classes, name_of, task_of
from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.data.images import BrokenImageError, decode
from hf_hyperbolic.data.json_lines import ResultLines
from hf_hyperbolic.data.part_search import FAULTS, Detections, SearchSettings, search
from hf_hyperbolic.data.problem_log import ProblemLog
from hf_hyperbolic.data.vocabulary import Classes, read_vocabulary

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
# raise the number when the same settings give other boxes
_GENERATOR = "hf_hyperbolic detections 1"


@dataclass(frozen=True)
class DetectionRun:
    """What `detect_boxes` did.

    Attributes:
        output: the COCO instances file.
        image_folder: what its `file_name` entries are relative to.
        num_images: images in the file, with and without boxes.
        num_boxes: boxes in the file.
        num_resumed: images whose boxes an earlier, interrupted run had found.
        problems: broken images, and boxes of the detector that could not be used.
    """

    output: Path
    image_folder: Path
    num_images: int
    num_boxes: int
    num_resumed: int
    problems: tuple[Problem, ...]


def detect_boxes(
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    detector: Any,
    output: str | os.PathLike[str],
    *,
    classes: Classes | None = None,
    depth: int = 2,
    score_threshold: float | None = None,
    min_size: float = 4.0,
    min_crop: float = 64.0,
    crop_context: float = 0.1,
    nms_iou: float = 0.5,
    max_boxes: int = 50,
    batch_size: int = 1,
    progress: bool = True,
) -> DetectionRun:
    """Finds boxes of objects, their parts and the parts' parts, and writes them as a COCO instances file.

    The detector looks at each whole image, then at a crop around each box it found there, and so on. Which boxes found
    in a crop count as parts is stated at `part_search.search`. Every image's result is at once appended to
    `<output stem>.progress.jsonl` beside the output, so that the same call goes on where an interrupted one stopped,
    and after a finished one looks at new images only. The output itself is written at the end, whole or not at all,
    and does not depend on interruptions. `read_coco` reads it.

    Args:
        images: a folder, searched with its subfolders, or files.
        detector: a transformers pipeline of task "object-detection", "zero-shot-object-detection" or
            "mask-generation" (boxes of class "region"), or anything called in the same way that has its `task`.
        output: the JSON file to write. Annotations have three more keys: `score`, `depth` (0 in the whole image) and
            `parent_annotation` (id of the box whose crop it was found in, or null); `info` names the detector and all
            settings.
        classes: names to look for at every depth; or a list of names for each depth; or class -> classes of its parts,
            where those that are no other's part are looked for in the whole image. Needed by zero-shot detectors, a
            choice for "object-detection", none for "mask-generation".
        depth: depths to search; 1 looks at whole images only.
        score_threshold: least score, in [0, 1]; by default the pipeline's own: 0.5, 0.1 for zero-shot, 0.88 for masks.
        min_size: boxes with a shorter side, in pixels of the image, are left out.
        min_crop: boxes whose longer side is shorter, in pixels, are not searched for parts.
        crop_context: share of a box's width (height) that its crop shows at the left and right (top and bottom).
        nms_iou: of two boxes of one class with a larger IoU the one of the lower score is left out; of two classes
            above 0.9.
        max_boxes: most boxes kept from one whole image or one crop, the highest-scoring.
        batch_size: pictures the detector takes at once. Above 1 a detector must scale all pictures to one shape. It may
            change when a run is resumed.
        progress: show a progress bar.

    Raises:
        FileNotFoundError: there is no folder `images` or no folder to write to.
        ValueError: an argument is out of range or does not suit the detector, there are no images or none can be read,
            the detector answers in another form than its task's, or an interrupted run had other settings.
    """
    task = task_of(detector)
    vocabulary = read_vocabulary(classes, depth)
    check_classes(detector, vocabulary.names())
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    threshold = DEFAULT_THRESHOLD[task] if score_threshold is None else score_threshold
    search_settings = SearchSettings(depth, threshold, min_size, min_crop, crop_context, nms_iou, max_boxes)
    folder, names = find_images(images)
    target = Path(output)
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"{target.absolute().parent}: no such folder to write {target.name} to")

    settings = {
        "generator": _GENERATOR,
        "detector": name_of(detector),
        "task": task,
        "classes": asdict(vocabulary),
        **asdict(search_settings),
    }
    broken: list[BrokenImageError] = []
    lines_file = target.with_name(f"{target.stem}.progress.jsonl")
    with ResultLines(lines_file, settings | {"image_folder": str(folder)}) as lines:
        missing = [name for name in names if name not in lines.results]
        resumed = len(names) - len(missing)
        with tqdm(total=len(names), initial=resumed, desc="detecting", unit="image", disable=not progress) as bar:
            for group in _groups(folder, missing, batch_size, broken, bar):
                found = search([image for _, image in group], detector, vocabulary, search_settings, batch_size)
                for (name, image), detections in zip(group, found, strict=True):
                    lines.add(name, _row(image, detections))
                    bar.update()
        rows = {name: lines.results[name] for name in names if name in lines.results}
    if not rows:
        raise ValueError(f"none of the {len(names)} images in {folder} can be read: {broken[0]}")
    document = _coco(rows, settings, vocabulary.names())
    write_text(target, json.dumps(document))
    boxes = len(document["annotations"])
    return DetectionRun(target, folder, len(rows), boxes, resumed, _problems(broken, rows, name_of(detector)))


def find_images(images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[Path, list[str]]:
    """A folder and the sorted names of the images below it, with forward slashes.

    Args:
        images: as `detect_boxes`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: there is no image.
    """
    if isinstance(images, (str, os.PathLike)):
        folder = Path(images).absolute()
        if not folder.is_dir():
            raise FileNotFoundError(f"images: {folder}: no such folder")
        found = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
        # left behind by file managers and editors: previews and such
        files = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        if not files:
            raise ValueError(
                f"{folder} holds no images, that is no files that end in {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
    else:
        files = [Path(file).absolute() for file in images]
        if not files:
            raise ValueError("images is empty: give a folder or at least one file")
        folder = Path(os.path.commonpath([file.parent for file in files]))
    return folder, sorted({path.relative_to(folder).as_posix() for path in files})


def _groups(
    folder: Path, names: list[str], size: int, broken: list[BrokenImageError], bar: "tqdm[Any]"
) -> Iterator[list[tuple[str, Image.Image]]]:
    """Decoded images by `size` at a time; those that are broken are put aside."""
    group: list[tuple[str, Image.Image]] = []
    for name in names:
        try:
            group.append((name, decode(str(folder / name))))
        except BrokenImageError as error:
            broken.append(error)
            bar.update()
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _row(image: Image.Image, found: Detections) -> dict[str, Any]:
    return {
        "width": image.width,
        "height": image.height,
        "boxes": found.boxes.round(2).tolist(),
        "scores": found.scores.tolist(),
        "labels": found.labels.tolist(),
        "depths": found.depths.tolist(),
        "parents": found.parents.tolist(),
        "faults": {reason: count for reason, count in sorted(found.faults.items()) if count},
    }


def _coco(rows: dict[str, Any], settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    seen = {label for row in rows.values() for label in row["labels"]}
    category = {name: number for number, name in enumerate(names or sorted(seen), start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, row) in enumerate(rows.items(), start=1):
        images.append({"id": number, "file_name": name, "width": row["width"], "height": row["height"]})
        first = len(annotations) + 1
        columns = (row[column] for column in ("boxes", "scores", "labels", "depths", "parents"))
        for (x0, y0, x1, y1), score, label, depth, parent in zip(*columns, strict=True):
            width, height = round(x1 - x0, 2), round(y1 - y0, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category[label],
                    "bbox": [x0, y0, width, height],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "score": score,
                    "depth": depth,
                    "parent_annotation": first + parent if parent >= 0 else None,
                }
            )
    return {
        "info": {"description": "Boxes found by a detector, not checked by a person", **settings},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category.items()],
    }


def _problems(broken: list[BrokenImageError], rows: dict[str, Any], detector: str) -> tuple[Problem, ...]:
    log = ProblemLog(error.problem() for error in broken)
    faults: Counter[str] = Counter()
    first: dict[str, str] = {}
    for name, row in rows.items():
        faults.update(row["faults"])
        for reason in row["faults"]:
            first.setdefault(reason, name)
    for reason, count in faults.items():
        log.add(reason, first[reason], f"box by {detector} left out: {FAULTS[reason]}", count)
    return log.problems()
