"""The table of boxes that stands between every reader of annotations and everything else.

A reader's whole job is to fill a `BoxTable`; hierarchies, batches, evaluation and reports read nothing else.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Problem:
    """One thing a reader skipped, and why; in large files, many of one kind under one problem.

    Attributes:
        reason: short machine-readable kind, for example `"zero_area"`; counted by `BoxTable.skipped`.
        where: file and row or id, so that a person can find it.
        detail: one sentence saying what is wrong and what would mend it.
        count: how many things of this kind it stands for; `where` then names the first.
    """

    reason: str
    where: str
    detail: str
    count: int = 1

    def __str__(self) -> str:
        more = f" (and {self.count - 1:,} more)" if self.count > 1 else ""
        return f"{self.reason}: {self.where}{more}: {self.detail}"


def count_problems(problems: Iterable[Problem]) -> Counter[str]:
    """How many things went wrong, by reason."""
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.reason] += problem.count
    return counts


@dataclass(frozen=True)
class Federation:
    """What annotators looked for, in a set where they did not look for every class in every image (LVIS, Open Images).

    A class without a box in an image is known to be absent there only if `verified_absent` says so; otherwise nobody
    looked, and a system that finds it is neither right nor wrong.

    Attributes:
        verified_absent: (V, 2) int32 rows of image and class: looked for and not there.
        not_exhaustive: (E, 2) int32 rows of image and class: there, but not every instance has a box.
    """

    verified_absent: np.ndarray
    not_exhaustive: np.ndarray

    def __post_init__(self) -> None:
        for name in ("verified_absent", "not_exhaustive"):
            pairs = getattr(self, name)
            if pairs.ndim != 2 or pairs.shape[1] != 2:
                raise ValueError(f"Federation.{name} has shape {pairs.shape}, expected (rows, 2): image and class")


@dataclass(frozen=True)
class BoxTable:
    """Boxes of a set of images, one column an attribute; the boxes of an image stand together.

    Attributes:
        image_ids: (I,) str, unique.
        image_files: (I,) str, absolute paths; empty where the images are not at hand.
        image_sizes: (I, 2) int32, width and height in pixels as shown (after EXIF rotation); 1, 1 if `relative`.
        box_image: (B,) int32, row of the image a box belongs to, non-decreasing.
        boxes: (B, 4) float32, x0 y0 x1 y1 in pixels, inside the image, of positive area.
        labels: (B,) int32, index into `class_names`.
        class_names: (C,) names.
        problems: what the reader skipped or clipped, in the order met.
        relative: boxes are in shares of their image, [0, 1], because the annotations do not tell its size (Open
            Images): the size comes to light when the image is read. Containment is the same in shares as in pixels.
        federation: which absences are known; None where every class was looked for in every image.
    """

    image_ids: np.ndarray
    image_files: np.ndarray
    image_sizes: np.ndarray
    box_image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...] = field(default=())
    relative: bool = False
    federation: Federation | None = None

    def __post_init__(self) -> None:
        images, boxes = len(self.image_ids), len(self.labels)
        shapes = {
            "image_files": (self.image_files.shape, (images,)),
            "image_sizes": (self.image_sizes.shape, (images, 2)),
            "box_image": (self.box_image.shape, (boxes,)),
            "boxes": (self.boxes.shape, (boxes, 4)),
        }
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ValueError(f"BoxTable.{name} has shape {found}, expected {expected}")
        if boxes and (np.diff(self.box_image) < 0).any():
            raise ValueError("BoxTable.box_image must be sorted: the boxes of an image stand together")
        if boxes and not (self.box_image.min() >= 0 and self.box_image.max() < images):
            raise ValueError(f"BoxTable.box_image must lie in [0, {images})")
        if boxes and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise ValueError(f"BoxTable.labels must lie in [0, {len(self.class_names)})")
        if self.relative and (self.image_sizes != 1).any():
            raise ValueError("BoxTable.image_sizes must be 1, 1 in a relative table: its boxes are shares of the image")

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def num_boxes(self) -> int:
        return len(self.labels)

    def skipped(self) -> Counter[str]:
        """How many things were skipped, by reason."""
        return count_problems(self.problems)


def drop_images(table: BoxTable, image_indices: np.ndarray | list[int], problems: list[Problem]) -> BoxTable:
    """A table without some images and their boxes.

    Args:
        table: the table.
        image_indices: rows of the images to leave out.
        problems: why; appended to the table's own.

    Raises:
        ValueError: no image would be left.
        IndexError: a row lies outside the table.
    """
    kept = np.ones(table.num_images, dtype=bool)
    kept[np.asarray(image_indices, dtype=np.int64)] = False
    if not kept.any():
        examples = "; ".join(str(problem) for problem in problems[:3])
        raise ValueError(f"none of the {table.num_images} images can be used: {examples or 'all were dropped'}")
    row = np.cumsum(kept) - 1
    box_kept = kept[table.box_image]

    def still_there(pairs: np.ndarray) -> np.ndarray:
        pairs = pairs[kept[pairs[:, 0]]]
        return np.stack([row[pairs[:, 0]], pairs[:, 1]], axis=1).astype(np.int32)

    federation = table.federation and Federation(
        still_there(table.federation.verified_absent), still_there(table.federation.not_exhaustive)
    )
    return replace(
        table,
        image_ids=table.image_ids[kept],
        image_files=table.image_files[kept],
        image_sizes=table.image_sizes[kept],
        box_image=row[table.box_image[box_kept]].astype(np.int32),
        boxes=table.boxes[box_kept],
        labels=table.labels[box_kept],
        problems=(*table.problems, *problems),
        federation=federation,
    )
