"""The table of boxes that stands between every reader of annotations and everything else.

A reader's whole job is to fill a `BoxTable`; hierarchies, batches, evaluation and reports read nothing else.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Problem:
    """One thing a reader skipped, and why.

    Attributes:
        reason: short machine-readable kind, for example `"zero_area"`; counted by `BoxTable.skipped`.
        where: file and row or id, so that a person can find it.
        detail: one sentence saying what is wrong and what would mend it.
    """

    reason: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.where}: {self.detail}"


@dataclass(frozen=True)
class BoxTable:
    """Boxes of a set of images, one column an attribute; the boxes of an image stand together.

    Attributes:
        image_ids: (I,) str, unique.
        image_files: (I,) str, absolute paths.
        image_sizes: (I, 2) int32, width and height in pixels as shown (after EXIF rotation).
        box_image: (B,) int32, row of the image a box belongs to, non-decreasing.
        boxes: (B, 4) float32, x0 y0 x1 y1 in pixels, inside the image, of positive area.
        labels: (B,) int32, index into `class_names`.
        class_names: (C,) names.
        problems: what the reader skipped or clipped, in the order met.
    """

    image_ids: np.ndarray
    image_files: np.ndarray
    image_sizes: np.ndarray
    box_image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...] = field(default=())

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

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def num_boxes(self) -> int:
        return len(self.labels)

    def skipped(self) -> Counter[str]:
        """How many things were skipped, by reason."""
        return Counter(problem.reason for problem in self.problems)
