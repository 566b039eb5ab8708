from collections import Counter

import numpy as np
import pytest
from oracle import Oracle, coded_image

from hf_hyperbolic.data.part_search import SearchSettings, search
from hf_hyperbolic.data.scenes import CLASS_NAMES, render_scene
from hf_hyperbolic.data.vocabulary import Vocabulary, read_vocabulary

SETTINGS = {
    "depth": 3,
    "score_threshold": 0.1,
    "min_size": 2.0,
    "min_crop": 16.0,
    "crop_context": 0.1,
    "nms_iou": 0.5,
    "max_boxes": 50,
}
STREET = [
    ((20, 60, 140, 160), "car"),
    ((30, 130, 60, 160), "wheel"),  # flush with the car's lower side
    ((40, 140, 50, 150), "hub"),
    ((100, 130, 130, 160), "wheel"),
    ((120, 20, 200, 190), "tree"),  # reaches into the car's crop, where it is cut
    ((210, 100, 220, 120), "wheel"),  # in the street, not in the car
]
PARTS = {"car": ["wheel"], "wheel": ["hub"], "tree": []}


def find(truth, vocabulary, finest=0.0, **changes):
    oracle = Oracle([truth], finest)
    (found,) = search([coded_image(0, 240, 200)], oracle, vocabulary, SearchSettings(**SETTINGS | changes))
    return found, oracle


def rows(found):
    return sorted(
        (*box, label, depth, found.labels[parent] if parent >= 0 else None)
        for box, label, depth, parent in zip(
            found.boxes.tolist(), found.labels.tolist(), found.depths.tolist(), found.parents.tolist(), strict=True
        )
    )


def test_objects_their_parts_and_parts_of_parts_come_back_in_pixels_of_the_image():
    found, oracle = find(STREET, read_vocabulary(PARTS, 3))
    assert rows(found) == sorted(
        [
            (20, 60, 140, 160, "car", 0, None),
            (120, 20, 200, 190, "tree", 0, None),
            (30, 130, 60, 160, "wheel", 1, "car"),
            (100, 130, 130, 160, "wheel", 1, "car"),
            (40, 140, 50, 150, "hub", 2, "wheel"),
        ]
    )
    # the image, the car with a tenth of its sides around, the two wheels; nothing is looked for in the tree
    assert oracle.shown == [
        (0, 0, 0, 240, 200),
        (0, 8, 50, 144, 120),
        *sorted([(0, 27, 127, 36, 36), (0, 97, 127, 36, 36)], key=oracle.shown.index),
    ]


def test_what_a_crop_cuts_is_no_part_and_what_was_found_before_is_not_found_again():
    every = read_vocabulary(["car", "wheel", "tree", "hub"], 3)
    shallow, _ = find(STREET, every, depth=1)
    deep, _ = find(STREET, every)
    assert rows(deep) == rows(shallow)
    assert len(rows(deep)) == len(STREET)
    # without a ring around the crop nothing tells a cut wheel from a part that is flush with the tree
    bare, _ = find(STREET, every, crop_context=0.0)
    extra = set(rows(bare)) - set(rows(deep))
    assert extra == {(120, 130, 130, 160, "wheel", 1, "tree")}


def test_what_is_too_small_in_the_whole_image_is_found_in_a_crop():
    every = read_vocabulary(["car", "wheel", "tree", "hub"], 3)
    found, _ = find(STREET, every, finest=0.2)
    assert Counter(found.depths.tolist()) == {0: 2, 1: 2, 2: 1}
    assert (210, 100, 220, 120) not in found.boxes.tolist()  # too small, and in no box


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"depth": 1}, {"car", "tree"}),
        ({"depth": 2}, {"car", "tree", "wheel"}),
        ({"min_size": 11}, {"car", "tree", "wheel"}),
        ({"min_crop": 31}, {"car", "tree", "wheel"}),
        ({"min_crop": 121}, {"car", "tree"}),
        ({"score_threshold": 0.95}, set()),
    ],
)
def test_settings_bound_the_search(changes, kept):
    found, _ = find(STREET, read_vocabulary(PARTS, 3), **changes)
    assert set(found.labels.tolist()) == kept


def test_at_most_max_boxes_from_each_picture():
    grid = [((x, y, x + 8, y + 8), "wheel") for x in range(20, 100, 10) for y in range(60, 140, 10)]
    found, _ = find([((10, 50, 110, 150), "car"), *grid], read_vocabulary(PARTS, 3), depth=2, max_boxes=7)
    assert Counter(found.labels.tolist()) == {"car": 1, "wheel": 7}


class InCrop:
    """Sees a car of 100 x 100 in the whole image, and given boxes, in pixels of the image, in the car's crop."""

    task = "object-detection"

    def __init__(self, boxes):
        self.boxes = boxes

    def __call__(self, inputs, threshold, batch_size):
        return [self.see(*picture.getpixel((0, 0))[:2]) for picture in inputs]

    def see(self, left, top):
        if (left, top) == (0, 0):
            return [{"score": 0.8, "label": "car", "box": {"xmin": 50, "ymin": 50, "xmax": 150, "ymax": 150}}]
        return [
            {
                "score": 0.9,
                "label": "x",
                "box": {"xmin": x0 - left, "ymin": y0 - top, "xmax": x1 - left, "ymax": y1 - top},
            }
            for x0, y0, x1, y1 in self.boxes
        ]


@pytest.mark.parametrize(
    ("box", "is_part"),
    [
        ((40, 40, 160, 160), False),  # fills the crop
        ((46, 46, 154, 154), False),  # larger than the car
        ((51, 50, 150, 148), False),  # the car again
        ((50, 50, 150, 130), True),
        ((48, 70, 58, 80), True),  # 80 % inside
        ((47, 70, 57, 80), False),  # 70 %
        ((50, 140, 60, 150), True),  # flush with the car's corner
        ((50, 100, 100, 156), False),  # cut by the crop
    ],
)
def test_what_is_a_part(box, is_part):
    settings = SearchSettings(**SETTINGS | {"depth": 2})
    (found,) = search([coded_image(0, 240, 200)], InCrop([box]), Vocabulary(), settings)
    assert found.boxes.tolist()[1:] == ([list(map(float, box))] if is_part else [])


def test_a_box_that_fills_the_image_is_searched_once():
    truth = [((0, 0, 240, 200), "car"), ((30, 30, 60, 60), "wheel")]
    found, _ = find(truth, read_vocabulary(PARTS, 3))
    assert rows(found) == [(0, 0, 240, 200, "car", 0, None), (30, 30, 60, 60, "wheel", 1, "car")]


def test_scenes_come_back():
    """With a sharp oracle all that can come back does, from the whole image; with a short-sighted one crops help."""
    scenes = [render_scene(3, index, "test", 240) for index in range(6)]
    truth = [list(zip(scene.boxes.tolist(), scene.labels, strict=True)) for scene in scenes]
    images = [coded_image(number, 240, 240) for number in range(len(scenes))]
    every = Vocabulary((tuple(CLASS_NAMES),))
    found = {}
    for depth, finest in [(1, 0.0), (3, 0.0), (1, 0.25), (3, 0.25)]:
        settings = SearchSettings(**SETTINGS | {"depth": depth, "nms_iou": 0.7})
        found[depth, finest] = search(images, Oracle(truth, finest), every, settings, batch_size=4)
        for detections, true in zip(found[depth, finest], truth, strict=True):
            for box, label in zip(detections.boxes, detections.labels, strict=True):
                error = min(np.abs(box - other).max() for other, name in true if name == label)
                assert error <= 1, (depth, finest, box, label)

    def count(key):
        return sum(len(detections.boxes) for detections in found[key])

    total = sum(map(len, truth))
    # each within a pixel of a true one (above), none twice, so as many are all
    assert count((1, 0.0)) == count((3, 0.0)) == total
    assert count((3, 0.25)) > 1.5 * count((1, 0.25))
    for detections in found[3, 0.25]:
        for box, parent, depth in zip(detections.boxes, detections.parents, detections.depths, strict=True):
            assert (parent == -1) == (depth == 0)
            if parent >= 0:
                assert detections.depths[parent] == depth - 1
                whole = detections.boxes[parent]
                sides = np.clip(np.minimum(box[2:], whole[2:]) - np.maximum(box[:2], whole[:2]), 0, None)
                assert sides.prod() >= 0.8 * (box[2:] - box[:2]).prod()


class Broken:
    """Answers one box that is not a box."""

    task = "object-detection"

    def __init__(self, box, score=0.9):
        self.box, self.score = box, score

    def __call__(self, inputs, threshold, batch_size):
        good = {"score": 0.8, "label": "car", "box": {"xmin": 10, "ymin": 10, "xmax": 50, "ymax": 50}}
        bad = {"score": self.score, "label": "car", "box": dict(zip(good["box"], self.box, strict=True))}
        return [[bad, good] for _ in inputs]


@pytest.mark.parametrize(
    ("box", "score", "reason"),
    [
        ((float("nan"), 10, 50, 50), 0.9, "not_a_box"),
        ((float("-inf"), 10, 50, 50), 0.9, "not_a_box"),
        ((50, 10, 20, 50), 0.9, "zero_area"),
        ((20, 50, 50, 50), 0.9, "zero_area"),
        ((300, 10, 350, 50), 0.9, "outside_image"),
        ((60, 60, 90, 90), float("nan"), "not_a_score"),
    ],
)
def test_faults_of_a_detector_are_counted_and_left_out(box, score, reason):
    settings = SearchSettings(**SETTINGS | {"depth": 1})
    (found,) = search([coded_image(0, 240, 200)], Broken(box, score), Vocabulary(), settings)
    assert +found.faults == Counter({reason: 1})
    assert found.boxes.tolist() == [[10, 10, 50, 50]]


def test_a_box_over_the_border_is_cut_there():
    settings = SearchSettings(**SETTINGS | {"depth": 1})
    (found,) = search([coded_image(0, 240, 200)], Broken((100, -7, 300, 90)), Vocabulary(), settings)
    assert found.boxes.tolist() == [[100, 0, 240, 90], [10, 10, 50, 50]]
    assert not +found.faults


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 0},
        {"score_threshold": 1.1},
        {"score_threshold": float("nan")},
        {"min_size": -1},
        {"min_crop": float("inf")},
        {"crop_context": -0.1},
        {"nms_iou": 2},
        {"max_boxes": 0},
    ],
)
def test_settings_out_of_range(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"^{name} must be "):
        SearchSettings(**SETTINGS | change)
