import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data import hierarchy as module
from hf_hyperbolic.data.boxes import BoxTable, Federation
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy

SIDE = 12


def table(images: list[list[tuple[float, ...]]], side: int = SIDE, num_classes: int = 3) -> BoxTable:
    boxes = [box for image in images for box in image]
    return BoxTable(
        image_ids=np.array([str(i) for i in range(len(images))], dtype=str),
        image_files=np.array([f"/{i}.jpg" for i in range(len(images))], dtype=str),
        image_sizes=np.full((len(images), 2), side, dtype=np.int32),
        box_image=np.repeat(np.arange(len(images), dtype=np.int32), [len(image) for image in images]),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=(np.arange(len(boxes)) % num_classes).astype(np.int32),
        class_names=tuple(f"class {c}" for c in range(num_classes)),
    )


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def intersection(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a, b):
    return intersection(a, b) / (area(a) + area(b) - intersection(a, b))


def naive(images, threshold, duplicate_iou, side=SIDE):
    """Nested loops over images, boxes and, by depth-first search, paths: node numbers as in Hierarchy."""
    ancestry, direct, levels, marked = set(), set(), {}, set()
    first = len(images)
    for image, boxes in enumerate(images):
        levels[image] = 0
        frame = (0, 0, side, side)
        whole = {i for i, box in enumerate(boxes) if iou(box, frame) > duplicate_iou}
        parts = [i for i in range(len(boxes)) if i not in whole]
        children = {
            a: [
                b
                for b in parts
                if area(boxes[a]) > area(boxes[b])
                and intersection(boxes[a], boxes[b]) >= threshold * area(boxes[b])
                and not iou(boxes[a], boxes[b]) > duplicate_iou
            ]
            for a in parts
        }

        def below(a, children=children):
            found = set()
            for b in children[a]:
                found |= {b} | below(b)
            return found

        reach = {a: below(a) for a in parts}
        cover = {(a, b) for a in parts for b in reach[a] if not any(b in reach[m] for m in reach[a])}
        has_parent = {b for _, b in cover}

        def depth(b, cover=cover):
            return 1 + max((depth(a) for a, child in cover if child == b), default=0)

        for i in range(len(boxes)):
            levels[first + i] = 0 if i in whole else depth(i)
            if i in whole:
                marked.add(first + i)
        ancestry |= {(image, first + b) for b in parts}
        ancestry |= {
            (first + a, first + b) for a in parts for b in reach[a] if iou(boxes[a], boxes[b]) <= duplicate_iou
        }
        direct |= {(first + a, first + b) for a, b in cover}
        direct |= {(image, first + b) for b in parts if b not in has_parent}
        first += len(boxes)
    return sorted(ancestry), sorted(direct), levels, marked


def pairs(array: np.ndarray) -> list[tuple[int, int]]:
    return [tuple(row) for row in array.tolist()]


coordinates = st.tuples(*[st.integers(0, SIDE - 1)] * 2, *[st.integers(1, SIDE)] * 2)
box = coordinates.map(lambda b: (b[0], b[1], min(b[0] + b[2], SIDE), min(b[1] + b[3], SIDE)))
several_images = st.lists(st.lists(box, max_size=9), max_size=6)


@settings(max_examples=200, deadline=None)
@given(several_images, st.sampled_from([0.5, 0.8, 1.0]), st.sampled_from([0.7, 0.9, 1.0]))
def test_matches_nested_loops(images, threshold, duplicate_iou):
    found = build_hierarchy(table(images), threshold, duplicate_iou)
    ancestry, direct, levels, marked = naive(images, threshold, duplicate_iou)
    assert pairs(found.ancestry) == ancestry
    assert pairs(found.direct) == direct
    assert dict(enumerate(found.level.tolist())) == levels
    assert set(np.flatnonzero(found.node_is_scene_duplicate).tolist()) == marked


@settings(max_examples=100, deadline=None)
@given(several_images, st.sampled_from([1, 40, 1000]), st.sampled_from([1.2, 100.0]))
def test_how_images_are_batched_changes_nothing(images, cells, ratio):
    # ratio 100 pads all images to the same number of boxes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_CELLS", cells)
        patch.setattr(module, "_CHUNK_BOXES", cells)
        patch.setattr(module, "_BUCKET_RATIO", ratio)
        found = build_hierarchy(table(images))
    ancestry, direct, _, _ = naive(images, 0.8, 0.9)
    assert pairs(found.ancestry) == ancestry
    assert pairs(found.direct) == direct


@settings(max_examples=50, deadline=None)
@given(several_images)
def test_ancestry_is_the_closure_of_direct_and_direct_its_reduction(images):
    networkx = pytest.importorskip("networkx")
    # with duplicate_iou = 1 nothing is taken out of the closure again
    found = build_hierarchy(table(images), duplicate_iou=1.0)
    graph = networkx.DiGraph(pairs(found.direct))
    assert sorted(networkx.transitive_closure(graph).edges) == pairs(found.ancestry)
    reduced = networkx.transitive_reduction(networkx.DiGraph(pairs(found.ancestry)))
    assert sorted(reduced.edges) == pairs(found.direct)


def test_scene_object_part():
    house, window, pane, tree = (0, 0, 8, 8), (1, 1, 4, 4), (1, 1, 3, 2), (9, 0, 12, 6)
    found = build_hierarchy(table([[pane, house, tree, window]]))
    assert pairs(found.direct) == [(0, 2), (0, 3), (2, 4), (4, 1)]
    assert pairs(found.ancestry) == [(0, 1), (0, 2), (0, 3), (0, 4), (2, 1), (2, 4), (4, 1)]
    assert found.level.tolist() == [0, 3, 1, 1, 2]


def test_share_of_the_child_decides():
    parent = (0, 0, 6, 6)
    eighty, less = (2, 5, 12, 6), (2, 5.001, 12, 6)
    assert intersection(parent, eighty) == 0.4 * area(eighty)
    assert (1, 2) in pairs(build_hierarchy(table([[parent, eighty]]), threshold=0.4).ancestry)
    assert (1, 2) not in pairs(build_hierarchy(table([[parent, eighty]]), threshold=0.41).ancestry)
    assert (1, 2) in pairs(build_hierarchy(table([[parent, less]]), threshold=0.39).ancestry)


def test_near_duplicates_never_pair_even_through_a_third_box():
    # A > M > B by containment, M differs enough from both, but A and B are one and the same object
    a, m, b = (0, 0, 100, 100), (0, 6, 100, 105.9), (0, 2, 100, 98)
    boxes = [a, m, b]
    threshold, duplicate_iou = 0.8, 0.92
    assert iou(a, b) > duplicate_iou
    assert iou(a, m) < duplicate_iou
    assert iou(m, b) < duplicate_iou
    assert area(a) > area(m) > area(b)
    found = build_hierarchy(table([boxes], side=200), threshold, duplicate_iou)
    assert pairs(found.direct) == [(0, 1), (1, 2), (2, 3)]
    assert pairs(found.ancestry) == [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]


def test_box_that_is_the_whole_image_takes_no_part():
    whole, part = (0, 0, 12, 11.5), (1, 1, 4, 4)
    found = build_hierarchy(table([[whole, part]]))
    assert found.node_is_scene_duplicate.tolist() == [False, True, False]
    assert found.active().tolist() == [True, False, True]
    assert pairs(found.ancestry) == pairs(found.direct) == [(0, 2)]
    assert found.level.tolist() == [0, 0, 1]
    # class 0 occurs only as the whole image
    assert found.scene_labels().tolist() == [[False, True, False]]


def test_identical_boxes_stay_siblings():
    found = build_hierarchy(table([[(1, 1, 5, 5)] * 3]))
    assert pairs(found.direct) == [(0, 1), (0, 2), (0, 3)]


def test_image_without_boxes_and_class_with_one_instance():
    found = build_hierarchy(table([[], [(0, 0, 3, 3)], []]))
    assert pairs(found.ancestry) == [(1, 3)]
    assert found.scene_labels().tolist() == [[False] * 3, [True, False, False], [False] * 3]
    assert found.node_image.tolist() == [0, 1, 2, 1]
    assert found.node_label.tolist() == [-1, -1, -1, 0]
    assert found.node_box[3].tolist() == [0, 0, 3, 3]
    assert found.node_box[0].tolist() == [0, 0, SIDE, SIDE]


@pytest.mark.parametrize("images", [[], [[]]])
def test_empty_table(images):
    found = build_hierarchy(table(images))
    assert found.num_nodes == len(images)
    assert found.ancestry.shape == found.direct.shape == (0, 2)
    assert found.subtree_labels().shape == (len(images), 3)


def test_dtypes_and_label_sets():
    found = build_hierarchy(table([[(0, 0, 8, 8), (1, 1, 4, 4)], [(0, 0, 5, 5)]]))
    assert (found.num_images, found.num_classes, found.class_names) == (2, 3, ("class 0", "class 1", "class 2"))
    dtypes = {
        "node_image": np.int32,
        "node_label": np.int32,
        "node_box": np.float32,
        "level": np.int32,
        "direct": np.int64,
        "ancestry": np.int64,
        "node_is_scene_duplicate": np.bool_,
    }
    for name, dtype in dtypes.items():
        assert getattr(found, name).dtype == dtype, name
    assert [np.flatnonzero(row).tolist() for row in found.subtree_labels()] == [[0, 1], [2], [1], [], []]
    np.testing.assert_array_equal(found.scene_labels(), found.subtree_labels()[:2])


@pytest.mark.parametrize("arguments", [{"threshold": 0.0}, {"threshold": 1.1}, {"duplicate_iou": float("nan")}])
def test_thresholds_out_of_range_are_named(arguments):
    with pytest.raises(ValueError, match=rf"{next(iter(arguments))} must lie in \(0, 1\]"):
        build_hierarchy(table([]), **arguments)


def random_table(counts: np.ndarray, seed: int) -> BoxTable:
    rng = np.random.default_rng(seed)
    total = int(counts.sum())
    centre, size = rng.random((total, 2)), np.exp(rng.normal(-1.8, 1.0, (total, 2))).clip(0.01, 1)
    corners = np.concatenate([(centre - size / 2).clip(0, 1), (centre + size / 2).clip(0, 1)], axis=1) * 1000
    return BoxTable(
        image_ids=np.arange(len(counts)).astype(str),
        image_files=np.arange(len(counts)).astype(str),
        image_sizes=np.full((len(counts), 2), 1000, dtype=np.int32),
        box_image=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        boxes=corners.astype(np.float32),
        labels=rng.integers(0, 600, total).astype(np.int32),
        class_names=tuple(str(c) for c in range(600)),
    )


def timed(boxes: BoxTable) -> tuple[Hierarchy, float]:
    start = time.process_time()
    found = build_hierarchy(boxes)
    return found, time.process_time() - start


@pytest.mark.slow
def test_as_many_boxes_as_open_images_validation():
    rng = np.random.default_rng(0)
    weight = rng.lognormal(0, 1, 41_620)
    counts = rng.multinomial(303_980, weight / weight.sum())
    found, seconds = timed(random_table(counts, seed=1))
    # far above what it takes, far below what a Python loop over the boxes of each image would
    assert seconds < 10
    assert len(found.ancestry) > 303_000


@pytest.mark.slow
def test_one_image_of_two_thousand_boxes():
    boxes = random_table(np.array([2000]), seed=2)
    found, seconds = timed(boxes)
    assert seconds < 20
    # spot check against the definition: a scene and every direct box pair is a containment
    corners = found.node_box.astype(np.float64)
    for a, b in pairs(found.direct)[:: max(1, len(found.direct) // 500)]:
        assert intersection(corners[a], corners[b]) >= 0.8 * area(corners[b])
        assert area(corners[a]) > area(corners[b])


def test_federated_labels_are_passed_on():
    boxes = table([[(0, 0, 4, 4)], [(0, 0, 4, 4)]])
    assert build_hierarchy(boxes).federation is None
    federation = Federation(np.array([[0, 2]], dtype=np.int32), np.zeros((0, 2), dtype=np.int32))
    assert build_hierarchy(dataclasses.replace(boxes, federation=federation)).federation is federation


def test_subtree_labels_of_some_nodes_are_those_rows():
    found = build_hierarchy(table([[(0, 0, 10, 10), (1, 1, 5, 5), (2, 2, 3, 3)], [(0, 0, 4, 4)]]))
    nodes = np.array([2, 0, 4])
    assert np.array_equal(found.subtree_labels(nodes), found.subtree_labels()[nodes])
    assert found.subtree_labels()[2].tolist() == [False, True, True]
