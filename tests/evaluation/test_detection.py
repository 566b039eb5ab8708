"""COCO's average precision against pycocotools on the same boxes and scores, and resampling against real copies."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.evaluation.detection import (
    class_detections,
    find_overlaps,
    resampled_average_precision,
)


def random_boxes(seed, images=6, boxes=8, classes=3, near=0.5, unit=1.0):
    """Boxes of which many lie nearly on each other, so that neighbours compete for the same truth; coordinates are
    multiples of `unit`."""
    rng = np.random.default_rng(seed)
    xyxy = []
    for _ in range(images):
        own: list[np.ndarray] = []
        for _ in range(boxes):
            if own and rng.random() < near:
                box = own[rng.integers(len(own))] + rng.integers(-3, 4, size=4)
            else:
                corner = rng.integers(10, 60, size=2)
                box = np.concatenate([corner, corner + rng.integers(10, 30, size=2)])
            box[2:] = np.maximum(box[2:], box[:2] + 1)  # nudged again and again, a box may turn inside out
            own.append(box)
        xyxy += own
    return (
        np.array(xyxy, dtype=np.float64) * unit,
        np.repeat(np.arange(images), boxes),
        rng.integers(0, classes, images * boxes),
        # few values, so that ties occur
        rng.integers(0, 6, size=(images * boxes, classes)) / 5,
    )


def by_pycocotools(boxes, images, labels, scores, copies=None):
    """(T, C) average precision; `copies` (I,) is how often each image stands in the data set."""
    COCO = pytest.importorskip("pycocotools.coco").COCO
    COCOeval = pytest.importorskip("pycocotools.cocoeval").COCOeval
    classes = scores.shape[1]
    copies = np.ones(images.max() + 1, dtype=int) if copies is None else copies
    truth, found, shown = [], [], []
    for image, times in enumerate(copies):
        for _ in range(times):
            shown.append({"id": len(shown) + 1, "width": 100, "height": 100})
            for row in np.flatnonzero(images == image):
                x0, y0, x1, y1 = boxes[row]
                bbox = [x0, y0, x1 - x0, y1 - y0]
                truth.append(
                    {
                        "id": len(truth) + 1, "image_id": len(shown), "category_id": int(labels[row]) + 1,
                        "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0,
                    }
                )  # fmt: skip
                found += [
                    {"image_id": len(shown), "category_id": c + 1, "bbox": bbox, "score": float(scores[row, c])}
                    for c in range(classes)
                ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories = [{"id": c + 1, "name": str(c)} for c in range(classes)]
        coco.dataset = {"images": shown, "annotations": truth, "categories": categories}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    per_class = np.where(precision.min(1) < 0, np.nan, precision.mean(1))
    return per_class, evaluation.stats[0]


def ours(boxes, images, labels, scores, weights=None, settled=None, **kwargs):
    overlaps = find_overlaps(boxes, images, labels, images.max() + 1)
    weights = np.ones((1, images.max() + 1)) if weights is None else weights
    columns = [
        resampled_average_precision(
            class_detections(overlaps, scores[:, c], c, None if settled is None else settled[:, c], **kwargs), weights
        )
        for c in range(scores.shape[1])
    ]
    return np.stack(columns, axis=2)


@given(seed=st.integers(0, 10_000), near=st.sampled_from([0.0, 0.5, 0.9]), unit=st.sampled_from([1.0, 0.73, 0.1]))
@settings(max_examples=40, deadline=None)
def test_equals_pycocotools(seed, near, unit):
    boxes, images, labels, scores = random_boxes(seed, near=near, unit=unit)
    expected, mean = by_pycocotools(boxes, images, labels, scores)
    found = ours(boxes, images, labels, scores)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.nanmean(found) == pytest.approx(mean, abs=1e-12)


def test_neighbours_make_thresholds_differ():
    """The premise of the test above: matching is not trivially each box to itself."""
    boxes, images, labels, scores = random_boxes(0)
    found = ours(boxes, images, labels, scores)[0]
    assert (found[0] > found[-1] + 0.01).any()


def test_an_image_with_more_boxes_than_count_is_cut_as_pycocotools_cuts_it():
    boxes, images, labels, scores = random_boxes(3, images=2, boxes=130, near=0.2)
    scores = np.random.default_rng(1).random(scores.shape)
    expected, _ = by_pycocotools(boxes, images, labels, scores)
    np.testing.assert_allclose(ours(boxes, images, labels, scores)[0], expected, rtol=0, atol=1e-12)
    uncut = ours(boxes, images, labels, scores, max_detections=1000)[0]
    assert (uncut > expected + 1e-3).any()


def test_resampling_is_evaluating_copies():
    boxes, images, labels, scores = random_boxes(5)
    copies = np.array([2, 0, 1, 3, 0, 1])
    # without ties: those between boxes of different images would be ordered otherwise among copies
    jittered = scores + np.random.default_rng(0).random(scores.shape) / 10
    expected, _ = by_pycocotools(boxes, images, labels, jittered, copies)
    found = ours(boxes, images, labels, jittered, np.stack([np.ones(6), copies]))
    np.testing.assert_allclose(found[1], expected, rtol=0, atol=1e-12)
    assert not np.allclose(found[0], found[1])


def test_a_class_without_a_box_is_undefined():
    boxes, images, labels, scores = random_boxes(0, classes=3)
    labels = np.minimum(labels, 1)
    found = ours(boxes, images, labels, scores)[0]
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(found[:, :2]).all()
    everywhere = np.zeros((1, 6))
    assert np.isnan(ours(boxes, images, labels, scores, everywhere)).all()


def naive_federated(boxes, images, labels, scores, label, settled, threshold):
    """LVIS' rule spelled out for one class: rank all, skip what nobody knows, interpolate by hand."""

    def iou(a, b):
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(w, 0) * max(h, 0)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    taken, outcome = set(), []
    for row in sorted(range(len(boxes)), key=lambda r: (-scores[r], r)):
        image = images[row]
        truths = [t for t in range(len(boxes)) if images[t] == image and labels[t] == label and t not in taken]
        near = [(iou(boxes[row], boxes[t]), t) for t in truths]
        best = max((pair for pair in near if pair[0] >= threshold), default=None)
        if best is not None:
            taken.add(best[1])
            outcome.append(True)
        elif settled[image]:
            outcome.append(False)
    positives = int((labels == label).sum())
    points = []
    for place in range(len(outcome)):
        right = sum(outcome[: place + 1])
        points.append((right / positives, right / (place + 1)))
    return np.mean([max((p for r, p in points if r >= level), default=0.0) for level in np.linspace(0, 1, 101)])


@pytest.mark.parametrize("seed", range(5))
def test_federated_labels_are_judged_only_where_they_are_known(seed):
    boxes, images, labels, scores = random_boxes(seed)
    settled = np.random.default_rng(seed).random((6, 3)) < 0.5
    overlaps = find_overlaps(boxes, images, labels, 6, (0.5, 0.8))
    for label in range(3):
        found = class_detections(overlaps, scores[:, label], label, settled[:, label])
        value = resampled_average_precision(found, np.ones((1, 6)))[0]
        for column, threshold in enumerate((0.5, 0.8)):
            args = (boxes, images, labels, scores[:, label], label, settled[:, label], threshold)
            assert value[column] == pytest.approx(naive_federated(*args), abs=1e-12)


def test_bad_input_is_named():
    boxes, images, labels, _ = random_boxes(0)
    with pytest.raises(ValueError, match="sorted by image"):
        find_overlaps(boxes, images[::-1], labels, 6)
    for wrong in ((), (0.6, 0.5), (0.0, 0.5), (0.5, 1.1)):
        with pytest.raises(ValueError, match="must ascend"):
            find_overlaps(boxes, images, labels, 6, wrong)
