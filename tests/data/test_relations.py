import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data import BoxTable, build_hierarchy
from hf_hyperbolic.data.relations import CrossImageSampler, RelationIndex


def random_table(seed, images=4, classes=3):
    """Nested and scattered boxes on 100 x 100 images, several of a class, some images empty."""
    rng = np.random.default_rng(seed)
    box_image, boxes = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 6)):
            low = rng.integers(0, 60, 2)
            size = rng.integers(5, 40, 2)
            if box_image and box_image[-1] == image and rng.random() < 0.7:  # inside the one before
                x0, y0, x1, y1 = boxes[-1]
                low, size = np.array([x0, y0]), np.maximum(np.array([x1 - x0, y1 - y0]) * 3 // 4, 1)
            boxes.append([*low, *(low + size)])
            box_image.append(image)
    return BoxTable(
        image_ids=np.array([str(i) for i in range(images)]),
        image_files=np.array([f"/nowhere/{i}.jpg" for i in range(images)]),
        image_sizes=np.full((images, 2), 100, dtype=np.int32),
        box_image=np.array(box_image, dtype=np.int32),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=rng.integers(0, classes, len(boxes)).astype(np.int32),
        class_names=tuple("abcdefgh"[:classes]),
    )


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["scene", "all", "none"]))
def test_relations_equal_the_definition_pair_by_pair(seed, cross_parents):
    hierarchy = build_hierarchy(random_table(seed))
    rng = np.random.default_rng(seed)
    nodes = rng.permutation(len(hierarchy.node_image))[: rng.integers(1, 16)]
    found = RelationIndex(hierarchy, cross_parents).relations(nodes)
    pairs = {tuple(pair) for pair in hierarchy.ancestry.tolist()}
    tree = {a: {int(hierarchy.node_label[d]) for x, d in pairs if x == a} for a in nodes.tolist()}
    for i, a in enumerate(nodes.tolist()):
        for j, b in enumerate(nodes.tolist()):
            same_image = hierarchy.node_image[a] == hierarchy.node_image[b]
            by_category = hierarchy.node_label[b] >= 0 and int(hierarchy.node_label[b]) in tree[a]
            wanted = cross_parents == "all" or (cross_parents == "scene" and hierarchy.node_label[a] == -1)
            own = (a, b) in pairs
            cross = bool(by_category and not same_image and wanted)
            twin = same_image and iou(hierarchy.node_box[a], hierarchy.node_box[b]) > 0.9
            related = own or cross or (b, a) in pairs
            ignored = a == b or (not related and (by_category or twin))
            assert (found.own[i, j], found.cross[i, j], found.ignored[i, j]) == (own, cross, ignored), (a, b)
        stands_for = {int(hierarchy.node_label[a])} if hierarchy.node_label[a] >= 0 else tree[a]
        assert set(np.flatnonzero(found.categories[i]).tolist()) == stands_for


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["scene", "all", "none"]), st.data())
def test_blocks_are_parts_of_the_matrices(seed, cross_parents, data):
    hierarchy = build_hierarchy(random_table(seed))
    nodes = np.random.default_rng(seed).permutation(len(hierarchy.node_image))
    sparse = RelationIndex(hierarchy, cross_parents).sparse(nodes)
    dense = sparse.dense()
    rows, columns = (
        slice(*sorted(data.draw(st.tuples(st.integers(0, len(nodes)), st.integers(0, len(nodes)))))) for _ in range(2)
    )
    for found, name in zip(sparse.block(rows, columns), ("own", "cross", "ignored"), strict=True):
        np.testing.assert_array_equal(found.numpy(), getattr(dense, name)[rows, columns], err_msg=name)


def test_a_repeated_node_is_refused():
    hierarchy = build_hierarchy(random_table(0))
    with pytest.raises(ValueError, match="distinct"):
        RelationIndex(hierarchy).relations(np.array([0, 1, 0]))


def test_unknown_cross_parents_are_refused():
    with pytest.raises(ValueError, match="cross_parents"):
        RelationIndex(build_hierarchy(random_table(0)), "boxes")


def test_mates_share_the_category_and_never_the_image():
    hierarchy = build_hierarchy(random_table(1, images=12))
    boxes = np.nonzero(hierarchy.active() & (hierarchy.node_label >= 0))[0]
    mates = CrossImageSampler(hierarchy).sample(boxes, 500, np.random.default_rng(0))
    assert mates.shape == (len(boxes), 500)
    for box, row in zip(boxes, mates, strict=True):
        drawn = row[row >= 0]
        same_class = boxes[hierarchy.node_label[boxes] == hierarchy.node_label[box]]
        elsewhere = set(same_class[hierarchy.node_image[same_class] != hierarchy.node_image[box]].tolist())
        assert set(drawn.tolist()) == elsewhere, "500 draws reach every mate of so small a set, and nothing else"


def test_a_category_of_one_instance_or_one_image_has_no_mate():
    table = BoxTable(
        image_ids=np.array(["0", "1"]),
        image_files=np.array(["a", "b"]),
        image_sizes=np.full((2, 2), 100, dtype=np.int32),
        box_image=np.array([0, 0, 1], dtype=np.int32),
        boxes=np.array([[0, 0, 10, 10], [30, 30, 50, 50], [0, 0, 20, 20]], dtype=np.float32),
        labels=np.array([0, 0, 1], dtype=np.int32),
        class_names=("twice in one image", "once"),
    )
    mates = CrossImageSampler(build_hierarchy(table)).sample(np.array([2, 3, 4]), 3, np.random.default_rng(0))
    assert (mates == -1).all()


def test_scenes_have_no_mates():
    with pytest.raises(ValueError, match="boxes only"):
        CrossImageSampler(build_hierarchy(random_table(1))).sample(np.array([0]), 1, np.random.default_rng(0))
