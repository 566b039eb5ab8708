import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data import containment as module
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.containment import containment_pairs, hierarchy_of
from hf_hyperbolic.data.hierarchy import build_hierarchy

SIDE = 12
FIELDS = ("node_image", "node_label", "node_box", "level", "direct", "ancestry", "node_is_scene_duplicate")


def table(images):
    boxes = [box for image in images for box in image]
    return BoxTable(
        image_ids=np.array([str(i) for i in range(len(images))], dtype=str),
        image_files=np.array([""] * len(images), dtype=str),
        image_sizes=np.full((len(images), 2), SIDE, dtype=np.int32),
        box_image=np.repeat(np.arange(len(images), dtype=np.int32), [len(image) for image in images]),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=(np.arange(len(boxes)) % 3).astype(np.int32),
        class_names=("a", "b", "c"),
    )


@st.composite
def scenes(draw):
    side = st.integers(0, SIDE - 1)
    length = st.integers(1, SIDE)
    box = st.builds(lambda x, y, w, h: (x, y, min(x + w, SIDE), min(y + h, SIDE)), side, side, length, length)
    return draw(st.lists(st.lists(box, max_size=9), min_size=1, max_size=4))


@settings(max_examples=150, deadline=None)
@given(scenes(), st.sampled_from([0.5, 0.6, 0.75, 0.8, 0.9, 1.0]), st.sampled_from([0.6, 0.9]))
def test_all_contained_pairs_give_the_hierarchy_built_directly(images, threshold, duplicate_iou):
    boxes = table(images)
    pairs = containment_pairs(boxes, floor=0.5, duplicate_iou=duplicate_iou)
    found = hierarchy_of(boxes, pairs, pairs.contained(threshold))
    expected = build_hierarchy(boxes, threshold, duplicate_iou)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(1, 20))
def test_chunks_change_nothing(images, chunk):
    boxes = table(images)
    whole = containment_pairs(boxes)
    expected = hierarchy_of(boxes, whole, whole.contained(0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_PAIRS", chunk)
        pairs = containment_pairs(boxes)
        found = hierarchy_of(boxes, pairs, pairs.contained(0.5))
    for name in ("parent", "child", "shared", "iou", "duplicates"):
        np.testing.assert_array_equal(getattr(pairs, name), getattr(whole, name), err_msg=name)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_measures_are_those_of_the_boxes():
    boxes = table([[(0, 0, 10, 4), (8, 0, 12, 2), (0, 0, 10, 3.8)], [(0, 0, 4, 4)]])
    pairs = containment_pairs(boxes, floor=0.5)
    # the third box is the first over again; half of the second lies in either
    assert list(zip(pairs.parent, pairs.child, strict=True)) == [(0, 1), (2, 1)]
    assert pairs.ratio.tolist() == [0.5, 0.5]
    assert pairs.iou == pytest.approx([4 / 44, 4 / 42])
    assert pairs.duplicates.tolist() == [[0, 2]]
    assert pairs.contained(0.6).tolist() == [False, False]


def test_thresholds_below_the_floor_are_refused():
    pairs = containment_pairs(table([[(0, 0, 10, 4), (8, 0, 12, 2)]]), floor=0.7)
    with pytest.raises(ValueError, match=r"threshold must lie in \[0.7, 1\]"):
        pairs.contained(0.6)


@pytest.mark.parametrize("arguments", [{"floor": 0}, {"floor": 1.1}, {"duplicate_iou": 0}])
def test_out_of_range(arguments):
    with pytest.raises(ValueError, match="must lie in"):
        containment_pairs(table([[(0, 0, 1, 1)]]), **arguments)
