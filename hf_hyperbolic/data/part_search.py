"""Detection in whole images, then inside each box that was found: objects, their parts, the parts' parts."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from hf_hyperbolic.data.clipping import clip_boxes
from hf_hyperbolic.data.detectors import Seen, look
from hf_hyperbolic.data.non_maximum import non_maximum_suppression
from hf_hyperbolic.data.overlap import DUPLICATE_IOU, area, intersection
from hf_hyperbolic.data.vocabulary import Vocabulary

# the hierarchy's: a part lies in its whole by this share of its area
_INSIDE = 0.8

# what is wrong with a detection, beside the reasons of clip_boxes; the others a search leaves out are no faults
FAULTS = {
    "not_a_score": "the score must be a number",
    "not_a_box": "a box must be four finite numbers",
    "zero_area": "xmax must be above xmin, and ymax above ymin",
    "outside_image": "the box lies outside the picture the detector was shown",
}


@dataclass(frozen=True)
class SearchSettings:
    """How deep to search and what to keep; see `detect_boxes`."""

    depth: int
    score_threshold: float
    min_size: float
    min_crop: float
    crop_context: float
    nms_iou: float
    max_boxes: int

    def __post_init__(self) -> None:
        limits = {
            "depth": (self.depth >= 1, "at least 1 (whole images only)"),
            "score_threshold": (0 <= self.score_threshold <= 1, "in [0, 1]"),
            "min_size": (0 <= self.min_size < math.inf, "a number of pixels, not negative"),
            "min_crop": (0 <= self.min_crop < math.inf, "a number of pixels, not negative"),
            "crop_context": (0 <= self.crop_context < math.inf, "a share of the box, not negative"),
            "nms_iou": (0 <= self.nms_iou <= 1, "in [0, 1]"),
            "max_boxes": (self.max_boxes >= 1, "at least 1"),
        }
        for name, (met, expected) in limits.items():
            if not met:
                raise ValueError(f"{name} must be {expected}, got {getattr(self, name)}")


@dataclass
class Detections:
    """What was found in one image, wholes before their parts.

    Attributes:
        boxes: (n, 4) float64, x0 y0 x1 y1 in pixels of the image, inside it.
        scores: (n,) float64.
        labels: (n,) str.
        depths: (n,) int64, 0 if found in the whole image, 1 inside such a box, and so on.
        parents: (n,) int64, row of the box a box was found in, -1 for the whole image.
        faults: how many of the detector's boxes could not be used, by the reasons of `FAULTS`.
    """

    boxes: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.str_))
    depths: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    parents: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _View:
    """A picture to search: a whole image (parent -1) or a crop around one of its boxes."""

    image: int
    crop: tuple[int, int, int, int]
    parent: int
    classes: tuple[str, ...] | None


def search(
    images: Sequence[Image.Image],
    detector: Any,
    vocabulary: Vocabulary,
    settings: SearchSettings,
    batch_size: int = 1,
) -> list[Detections]:
    """Searches images, then the boxes found there, and so on for `settings.depth` depths.

    What is found inside a box counts as its part if it lies inside it by 80 % of its area, is smaller and not
    the box again (IoU > 0.9), and is not cut by the crop's border: a cut thing belongs to the surroundings, or a
    larger crop shows it whole. Boxes found at one depth are settled: deeper duplicates of them are dropped.

    Args:
        images: RGB.
        detector: a pipeline, checked by `detectors.task_of`.
        vocabulary: which classes to look for where.
        settings: how deep, and what to keep.
        batch_size: how many pictures the detector takes at once.
    """
    found = [Detections() for _ in images]
    views = [
        _View(row, (0, 0, image.width, image.height), -1, vocabulary.whole_image()) for row, image in enumerate(images)
    ]
    for depth in range(settings.depth):
        if not views:
            break
        pictures = [images[view.image].crop(view.crop) for view in views]
        wanted = [view.classes for view in views]
        answers = look(detector, pictures, wanted, settings.score_threshold, batch_size)
        views_of: dict[int, list[tuple[_View, Seen]]] = {}
        for view, seen in zip(views, answers, strict=True):
            views_of.setdefault(view.image, []).append((view, seen))
        views = []
        for row, looks in views_of.items():
            first = len(found[row].boxes)
            _settle(found[row], looks, images[row], depth, settings)
            for box in range(first, len(found[row].boxes)):
                crop = _view_of(found[row], box, row, images[row], vocabulary, settings)
                if crop is not None:
                    views.append(crop)
    return found


def _view_of(
    found: Detections, box: int, image_row: int, image: Image.Image, vocabulary: Vocabulary, settings: SearchSettings
) -> _View | None:
    """The crop to search for parts of a box, None if it is too small or nothing is looked for in its class."""
    x0, y0, x1, y1 = found.boxes[box].tolist()
    classes = vocabulary.within(int(found.depths[box]) + 1, str(found.labels[box]))
    if max(x1 - x0, y1 - y0) < settings.min_crop or classes == ():
        return None
    wider, taller = settings.crop_context * (x1 - x0), settings.crop_context * (y1 - y0)
    left, top = max(0, math.floor(x0 - wider)), max(0, math.floor(y0 - taller))
    right, bottom = min(image.width, math.ceil(x1 + wider)), min(image.height, math.ceil(y1 + taller))
    return _View(image_row, (left, top, right, bottom), box, classes)


def _settle(
    found: Detections, looks: list[tuple[_View, Seen]], image: Image.Image, depth: int, settings: SearchSettings
) -> None:
    """Adds to an image's detections those of one depth that stand."""
    boxes, scores, labels, parents = [], [], [], []
    for view, seen in looks:
        corners, usable = _usable(view, seen, settings, found.faults)
        if view.parent >= 0:
            usable &= _is_part(corners, found.boxes[view.parent], view.crop, image.size)
        boxes.append(corners[usable])
        scores.append(seen.scores[usable])
        labels.append(seen.labels[usable])
        parents.append(np.full(usable.sum(), view.parent))
    box, score, label = np.concatenate(boxes), np.concatenate(scores), np.concatenate(labels)
    parent = np.concatenate(parents)
    kept = non_maximum_suppression(box, score, label, found.boxes, found.labels, settings.nms_iou, DUPLICATE_IOU)
    left_in_view = dict.fromkeys(parent[kept].tolist(), settings.max_boxes)
    best = []
    for row in kept.tolist():
        if left_in_view[int(parent[row])]:
            left_in_view[int(parent[row])] -= 1
            best.append(row)
    found.boxes = np.concatenate([found.boxes, box[best]])
    found.scores = np.concatenate([found.scores, score[best]])
    found.labels = np.concatenate([found.labels, label[best]])
    found.depths = np.concatenate([found.depths, np.full(len(best), depth)])
    found.parents = np.concatenate([found.parents, parent[best]])


def _usable(view: _View, seen: Seen, settings: SearchSettings, faults: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) boxes in pixels of the image, cut at the crop's border, and (n,) bool; counts what is at fault."""
    left, top, right, bottom = view.crop
    size = np.tile([right - left, bottom - top], (len(seen.boxes), 1))
    boxes, reasons = clip_boxes(seen.boxes, size, settings.min_size)
    usable = np.isfinite(seen.scores)
    faults["not_a_score"] += int((~usable).sum())
    for reason, met in reasons.items():
        if reason in FAULTS:
            faults[reason] += int((met & np.isfinite(seen.scores)).sum())
        if reason != "clipped":
            usable &= ~met
    return boxes.astype(np.float64) + np.array([left, top, left, top]), usable


def _is_part(
    boxes: np.ndarray, whole: np.ndarray, crop: tuple[int, int, int, int], image_size: tuple[int, int]
) -> np.ndarray:
    """(n,) bool: which of the (n, 4) boxes found in a crop around `whole` are parts of it."""
    with np.errstate(invalid="ignore"):  # boxes that are not finite
        areas = area(boxes)
        part = intersection(boxes, whole) >= _INSIDE * areas
        # what fills the crop is the whole again; one as small as the whole falls to non-maximum suppression
        part &= areas < area(whole)
    # The crop shows a ring of surroundings. What reaches into its outer half comes from outside and is cut, whereas a
    # part flush with its whole ends at the ring's inner side. Where the crop ends with the image nothing is cut.
    end = np.array([0, 0, *image_size])
    ring = np.abs(np.array(crop) - whole)
    reaches_out = np.abs(np.array(crop) - boxes) < ring / 2
    return part & ~(reaches_out & (np.array(crop) != end)).any(axis=1)
