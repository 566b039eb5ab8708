"""Average precision of detection as COCO defines it, where detections are the annotated boxes with a score a class.

Every box is a detection of every class. At an IoU threshold, the detections of a class are taken image by image, best
first, at most `max_detections` of each image; each takes the annotated box of the class that it overlaps most and that
none has taken yet, and is right if that overlap reaches the threshold. Precision is interpolated at 101 levels of
recall (Lin et al. 2014, "Microsoft COCO"; `pycocotools.COCOeval`, whose figure this is on the same input).

A detection's own box has an IoU of 1 with it, so thresholds differ only by what its neighbours are: a box around much
the same pixels as one of the class counts for it as well.

Where labels are federated (LVIS), a class is judged only in images where it was looked for, and a detection that finds
none where not every instance has a box is ignored (Gupta, Dollar & Girshick 2019).

Resampling images needs no second matching: an image drawn w times weighs its detections and boxes w times, which is
what w copies of it would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.overlap import intersection_over_union

# to the last bit those of pycocotools, whose 0.9 is a little less
IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
# cells of a (resamples, detections) block of weights: 16 MB of float64
_BLOCK_CELLS = 1 << 21


@dataclass(frozen=True)
class Overlaps:
    """Annotated boxes and which of them overlap, the same for all classes.

    Attributes:
        images: (B,) int, image of each box, non-decreasing.
        labels: (B,) int, class of each box.
        num_images: I.
        detection: (P,) int, a box as detection ...
        truth: (P,) int, ... and a box of the same image (or itself) as what is to be found, sorted by `detection`.
        iou: (P,) float64, their overlap, at least the lowest threshold.
        thresholds: (T,) ascending.
    """

    images: np.ndarray
    labels: np.ndarray
    num_images: int
    detection: np.ndarray
    truth: np.ndarray
    iou: np.ndarray
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class ClassDetections:
    """The detections of one class, best first.

    Attributes:
        images: (n,) int, image of each.
        hit: (T, n) bool, whether it found a box of the class, at each threshold.
        ignored: (T, n) bool, it is neither right nor wrong.
        positives: (I,) int, boxes of the class in each image.
    """

    images: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    positives: np.ndarray


def find_overlaps(
    boxes: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    num_images: int,
    thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> Overlaps:
    """Pairs of boxes of one image that overlap to at least the lowest threshold.

    Args:
        boxes: (B, 4) x0 y0 x1 y1.
        images: (B,) image of each, non-decreasing.
        labels: (B,) class of each.
        num_images: I.
        thresholds: of IoU, ascending, in (0, 1].

    Raises:
        ValueError: boxes are not sorted by image, or the thresholds do not ascend within (0, 1].
    """
    images = np.asarray(images)
    if len(images) and (np.diff(images) < 0).any():
        raise ValueError("boxes must be sorted by image: the boxes of an image stand together")
    if not len(thresholds) or (np.diff(thresholds) <= 0).any() or not 0 < thresholds[0] <= thresholds[-1] <= 1:
        raise ValueError(f"thresholds must ascend within (0, 1], got {list(thresholds)}")
    boxes = np.asarray(boxes, dtype=np.float64)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    starts = np.flatnonzero(np.diff(images, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(images)], strict=True):
        own = boxes[start:stop]
        iou = intersection_over_union(own[:, None], own[None])
        detection, truth = np.nonzero(iou >= thresholds[0])
        parts.append((detection + start, truth + start, iou[detection, truth]))
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    detection, truth, overlap = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    return Overlaps(images, np.asarray(labels), num_images, detection, truth, overlap, tuple(thresholds))


def class_detections(
    overlaps: Overlaps,
    scores: np.ndarray,
    label: int,
    settled: np.ndarray | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> ClassDetections:
    """Which detections of a class are right.

    Args:
        overlaps: the boxes.
        scores: (B,) score of each box for the class, larger is more likely; ties go to the earlier box.
        label: the class.
        settled: (I,) bool, images in which all boxes of the class are known; all when None.
        max_detections: of an image, the best so many.
    """
    images, of_class = overlaps.images, overlaps.labels == label
    positives = np.bincount(images[of_class], minlength=overlaps.num_images)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    if settled is not None:
        order = order[(settled | (positives > 0))[images[order]]]
    if len(order) and np.bincount(images[order]).max() > max_detections:
        order = order[_rank_in_image(images[order]) < max_detections]
    hit = np.zeros((len(overlaps.thresholds), len(order)), dtype=bool)
    place = np.full(len(images), -1)
    place[order] = np.arange(len(order))
    pairs = np.flatnonzero(of_class[overlaps.truth] & (place[overlaps.detection] >= 0))
    # best detection first; of its boxes the nearest first, of equally near ones the last, as pycocotools has it
    pairs = pairs[np.lexsort((-overlaps.truth[pairs], -overlaps.iou[pairs], place[overlaps.detection[pairs]]))]
    places, truths, ious = place[overlaps.detection[pairs]], overlaps.truth[pairs], overlaps.iou[pairs]
    for row, threshold in enumerate(overlaps.thresholds):
        near = ious >= min(threshold, 1 - 1e-10)
        taken: set[int] = set()
        last = -1
        for where, truth in zip(places[near].tolist(), truths[near].tolist(), strict=True):
            if where != last and truth not in taken:
                taken.add(truth)
                hit[row, where] = True
                last = where
    ignored = np.zeros_like(hit)
    if settled is not None:
        ignored = ~hit & ~settled[images[order]]
    return ClassDetections(images[order], hit, ignored, positives)


def resampled_average_precision(found: ClassDetections, weights: np.ndarray) -> np.ndarray:
    """Average precision at every threshold, for every weighting of the images.

    Args:
        found: the detections of a class.
        weights: (R, I) how often each image is drawn; ones for the figure itself.

    Returns:
        (R, T) float64; NaN where no image with the class is drawn.
    """
    weights = np.asarray(weights, dtype=np.float64)
    result = np.full((len(weights), len(found.hit)), np.nan)
    positives = weights @ found.positives
    some = positives > 0
    block = max(1, _BLOCK_CELLS // max(1, len(found.images)))
    # at most thresholds the very same detections count, and are right
    for ignored, thresholds in _alike(found.ignored):
        images, hits = found.images[~ignored], found.hit[thresholds][:, ~ignored]
        for start in range(0, len(weights), block):
            rows = slice(start, start + block)
            # detections along the first axis: copying and adding whole rows is several times faster
            drawn = np.ascontiguousarray(weights[rows].T)[images]
            all_above = np.cumsum(drawn, axis=0)
            for hit, same in _alike(hits):
                right = np.flatnonzero(hit)
                right_above = np.cumsum(drawn[right], axis=0)
                precision = right_above / (all_above[right] + np.spacing(1))
                precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1].T
                # behind the last hit precision is 0
                precision = np.pad(precision, ((0, 0), (0, 1)))
                recall = np.ascontiguousarray(right_above.T) / np.where(some, positives, 1)[rows, None]
                values = [p[np.searchsorted(r, RECALL_LEVELS)].mean() for p, r in zip(precision, recall, strict=True)]
                result[rows, thresholds[same]] = np.where(some[rows], values, np.nan)[:, None]
    return result


def _alike(rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(T, n) bool -> the different rows, each with the numbers of those that are like it."""
    like: dict[bytes, list[int]] = {}
    for number, row in enumerate(rows):
        like.setdefault(row.tobytes(), []).append(number)
    return [(rows[numbers[0]], np.array(numbers)) for numbers in like.values()]


def _rank_in_image(images: np.ndarray) -> np.ndarray:
    """(n,) images of detections, best first -> (n,) how many of the same image stand before each."""
    by_image = np.argsort(images, kind="stable")
    starts = np.searchsorted(images[by_image], images[by_image])
    rank = np.empty(len(images), dtype=np.int64)
    rank[by_image] = np.arange(len(images)) - starts
    return rank
