"""Pascal VOC folders (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/) -> table of boxes."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.clipping import REASONS, clip_boxes, repeated_boxes
from hf_hyperbolic.data.image_files import FolderListing, image_size, path_within
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.problem_log import ProblemLog
from hf_hyperbolic.data.voc_xml import BrokenAnnotationError, MarkedBox, read_annotation

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOC_PARTS = ("head", "hand", "foot")

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_BOX_REASONS = REASONS | {
    "not_a_box": "bndbox must hold the finite numbers xmin, ymin, xmax, ymax",
    "zero_area": "xmax must not lie below xmin, nor ymax below ymin",
}


def read_voc(
    folder: str | os.PathLike[str],
    split: str | None = None,
    *,
    min_size: float = 4.0,
    include_parts: bool = True,
    include_difficult: bool = True,
    check_images: bool = False,
    class_names: Sequence[str] | None = None,
) -> BoxTable:
    """Reads a folder in the layout of Pascal VOC: `Annotations/*.xml`, `JPEGImages`, `ImageSets/Main/*.txt`.

    VOC counts pixels from 1 and names the first and the last of a box, so x0 = xmin - 1 and x1 = xmax; likewise y,
    and likewise the parts, whose sides are fractions. Images stand in the order of the split (without one, by name),
    their boxes in the order of the file, an object before its parts. The image of `Annotations/a.xml` is
    `JPEGImages/a.jpg` (or another suffix), else the `<filename>` stated; one that leads out of `JPEGImages` is skipped
    (`outside_folder`), while links in it are followed. Images without a box stay: they are scenes
    too. What is skipped or clipped is recorded in `BoxTable.problems`, objects counted as in XPath, from 1; one bad
    file among many is such a problem. XML with a document type declaration is refused, and with it every entity.

    VOC marks parts (of persons) in a fraction of its images only, which the table does not tell: an image without a
    box "head" may show one.

    Args:
        folder: for instance `VOCdevkit/VOC2012`.
        split: name of a list in `ImageSets/Main`, for instance `"trainval"`; None reads every annotation file.
        min_size: boxes with a side shorter than this many pixels, once clipped to the image, are skipped.
        include_parts: keep the boxes of `<part>` inside `<object>`; their class is the part's own name ("head").
        include_difficult: keep objects with `<difficult>1</difficult>`, and their parts.
        check_images: open every header and skip images that are broken or whose size as shown (after EXIF rotation)
            is not the one stated. Sizes that are not stated are read from the header in any case.
        class_names: the classes, in order; boxes of another name are skipped. By default `VOC_CLASSES` (and
            `VOC_PARTS` if parts are included) where no other name occurs, else the names that occur, sorted: give
            those of the training split for the others of a set with names of its own.

    Raises:
        FileNotFoundError: there is no such folder, `Annotations`, `JPEGImages` or split.
        ValueError: the split is empty or lists one class, no image or no box is usable, or class names repeat.
    """
    if class_names is not None and (isinstance(class_names, str) or len(set(class_names)) < len(class_names)):
        raise ValueError(f"class_names must be distinct names, got {class_names!r}")
    root = Path(folder).absolute()
    annotations, images = root / "Annotations", root / "JPEGImages"
    _require_layout(root)
    log = ProblemLog()
    names = _all_ids(annotations) if split is None else _split_ids(root, split, log)
    on_disk = FolderListing()
    rows: dict[str, tuple[str, tuple[int, int]]] = {}
    image_of_file: dict[str, str] = {}
    box_image: list[int] = []
    boxes: list[MarkedBox] = []
    for name in tqdm(names, desc="reading annotations", unit="file", disable=not check_images):
        file = str(annotations / f"{name}.xml")
        marked: list[MarkedBox] = []
        try:
            if path_within(f"{name}.xml", str(annotations)) is None:
                raise BrokenAnnotationError("outside_folder", file, f"leads out of {annotations}")
            annotation = read_annotation(file)
            marked = [box for box in annotation.boxes if _wanted(box, include_parts, include_difficult, log)]
            image_file = _image_file(images, name, annotation.image_name, on_disk)
            if not image_file and path_within(annotation.image_name, str(images)) is None:
                detail = f"<filename> {annotation.image_name!r} leads out of {images}: name a file in it"
                raise BrokenAnnotationError("outside_folder", file, detail)
            if not image_file:
                stated = f" (<filename> is {annotation.image_name!r})" if annotation.image_name else ""
                raise BrokenAnnotationError("missing_file", file, f"no image {images / name}.jpg{stated}")
            if image_file in image_of_file:
                detail = f"its image {image_file} is that of {image_of_file[image_file]}.xml too"
                raise BrokenAnnotationError("repeated_file", file, detail)
            size = image_size(image_file, annotation.size, check_images, f"{name}.xml")
        except (BrokenAnnotationError, BrokenImageError) as error:
            log.add(error.reason, error.file, error.detail)
            if marked:
                log.add("skipped_image", marked[0].where, "its image was skipped", len(marked))
            continue
        image_of_file[image_file] = name
        box_image += [len(rows)] * len(marked)
        boxes += marked
        rows[name] = image_file, size
    if not rows:
        raise ValueError(f"{root}: none of its {len(names)} annotation files can be used{log.summary()}")
    if class_names is None:
        class_names = _class_names(boxes, include_parts)
    sizes = np.array([size for _, size in rows.values()], dtype=np.int32)
    image = np.array(box_image, dtype=np.int32)
    corners, labels, kept = _usable(boxes, image, sizes, class_names, min_size, log)
    if not len(kept):
        raise ValueError(f"{root}: none of its {len(boxes)} boxes can be used{log.summary()}")
    return BoxTable(
        image_ids=np.array(list(rows)),
        image_files=np.array([image_file for image_file, _ in rows.values()]),
        image_sizes=sizes,
        box_image=image[kept],
        boxes=corners[kept],
        labels=labels[kept],
        class_names=tuple(class_names),
        problems=log.problems(),
    )


def _require_layout(root: Path) -> None:
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    for part in ("Annotations", "JPEGImages"):
        if not (root / part).is_dir():
            inside = sorted(path.parent.name for path in root.glob("*/Annotations"))
            advice = f"; pass one of its folders {', '.join(inside)}" if inside else ""
            raise FileNotFoundError(f"{root}: not a Pascal VOC folder: it holds no folder {part}{advice}")


def _all_ids(annotations: Path) -> list[str]:
    # names that start with a dot are what some systems write beside a file they copy
    names = sorted(path.stem for path in annotations.glob("*.xml") if not path.name.startswith("."))
    if not names:
        raise ValueError(f"{annotations}: no .xml file, where VOC has one for each image")
    return names


def _split_ids(root: Path, split: str, log: ProblemLog) -> list[str]:
    file = root / "ImageSets" / "Main" / f"{split}.txt"
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in file.parent.glob("*.txt") if "_" not in path.stem))
        raise FileNotFoundError(f"{file}: no such split; there are: {there or 'none'}; split=None reads every file")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not text in UTF-8, at byte {error.start}: save it as UTF-8") from error
    listed = {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
    if not listed:
        raise ValueError(f"{file} lists no images: the split is empty")
    if all(re.fullmatch(r"\S+\s+(-1|0|1)", name) for name in listed.values()):
        raise ValueError(f"{file} tells for one class which images show it; pass a split, for instance 'train'")
    names: dict[str, int] = {}
    for number, name in listed.items():
        if name in names:
            log.add("repeated_id", f"{file}: line {number}", f"{name} stands in line {names[name]} already")
        names.setdefault(name, number)
    return list(names)


def _wanted(box: MarkedBox, include_parts: bool, include_difficult: bool, log: ProblemLog) -> bool:
    if box.is_part and not include_parts:
        log.add("part", box.where, "part of an object; include_parts=True (--option include_parts=true) keeps it")
    elif box.is_difficult and not include_difficult:
        log.add(
            "difficult",
            box.where,
            "marked as difficult; include_difficult=True (--option include_difficult=true) keeps it",
        )
    else:
        return True
    return False


def _image_file(images: Path, name: str, stated: str, on_disk: FolderListing) -> str:
    """The image of annotation file `name`; empty where there is none."""
    own = [f"{name}{suffix}" for lower in _SUFFIXES for suffix in (lower, lower.upper())]
    candidates = (path_within(candidate, str(images)) for candidate in (*own, stated) if candidate)
    return next((candidate for candidate in candidates if candidate is not None and candidate in on_disk), "")


def _class_names(boxes: list[MarkedBox], include_parts: bool) -> tuple[str, ...]:
    official = (*VOC_CLASSES, *VOC_PARTS) if include_parts else VOC_CLASSES
    found = {box.name for box in boxes if box.name}
    return official if found <= set(official) else tuple(sorted(found))


def _usable(
    boxes: list[MarkedBox],
    image: np.ndarray,
    sizes: np.ndarray,
    class_names: Sequence[str],
    min_size: float,
    log: ProblemLog,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, 4) corners in pixels and (B,) classes of all boxes, and the places of those that can be used."""
    written = np.array([box.corners() for box in boxes], dtype=np.float64).reshape(-1, 4)
    corners, found = clip_boxes(written, sizes[image], min_size)
    class_of_name = {name: number for number, name in enumerate(class_names)}
    labels = np.array([class_of_name.get(box.name, -1) for box in boxes], dtype=np.int32)
    reasons = {int(number): reason for reason, met in found.items() for number in np.flatnonzero(met)}
    usable = np.array([reasons.get(number) in (None, "clipped") for number in range(len(boxes))], dtype=bool)
    usable &= labels >= 0
    repeated = frozenset(repeated_boxes(image, labels, corners, usable).tolist())
    kept: list[int] = []
    for number, box in enumerate(boxes):
        if not box.name:
            log.add("no_name", box.where, "no <name>")
        elif labels[number] < 0:
            log.add("unknown_class", box.where, f"name {box.name!r} is not in class_names")
        elif number in repeated:
            log.add("repeated_box", box.where, f"{box.name} at {box.shown()} stands in the file already")
        else:
            if reason := reasons.get(number):
                log.add(reason, box.where, f"{box.shown()}: {_BOX_REASONS[reason]}")
            if usable[number]:
                kept.append(number)
    return corners, labels, np.array(kept, dtype=np.int64)
