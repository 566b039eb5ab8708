from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.class_pairs import class_pairs
from hf_hyperbolic.data.containment import containment_pairs
from hf_hyperbolic.data.guards import Guards, build_guarded_hierarchy, guard_pairs
from hf_hyperbolic.data.hierarchy import build_hierarchy

SIDE = 12
NAMES = ("a", "b", "c")


def table(images):
    """Each image a list of (class, box)."""
    rows = [row for image in images for row in image]
    return BoxTable(
        image_ids=np.array([str(i) for i in range(len(images))], dtype=str),
        image_files=np.array([""] * len(images), dtype=str),
        image_sizes=np.full((len(images), 2), SIDE, dtype=np.int32),
        box_image=np.repeat(np.arange(len(images), dtype=np.int32), [len(image) for image in images]),
        boxes=np.array([box for _, box in rows], dtype=np.float32).reshape(-1, 4),
        labels=np.array([NAMES.index(name) for name, _ in rows], dtype=np.int32),
        class_names=NAMES,
    )


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a, b):
    return shared(a, b) / (area(a) + area(b) - shared(a, b))


def naive(images, dropped, threshold=0.8, duplicate_iou=0.9):
    """Loops and depth-first search: pairs of boxes, direct and at any distance; `dropped(parent, child)` says which
    containments do not count."""
    direct, ancestry, first = set(), set(), 0
    for image in images:
        boxes = [box for _, box in image]
        part = [i for i, box in enumerate(boxes) if area(box) / SIDE**2 <= duplicate_iou]
        children = {
            i: [
                j
                for j in part
                if area(boxes[i]) > area(boxes[j])
                and shared(boxes[i], boxes[j]) >= threshold * area(boxes[j])
                and iou(boxes[i], boxes[j]) <= duplicate_iou
                and not dropped(image[i], image[j])
            ]
            for i in part
        }

        def below(i, children=children):
            found = set()
            for j in children[i]:
                found |= {j} | below(j)
            return found

        for i in part:
            for j in below(i):
                if iou(boxes[i], boxes[j]) <= duplicate_iou:
                    ancestry.add((first + i, first + j))
                if j in children[i] and not any(j in below(k) for k in children[i]):
                    direct.add((first + i, first + j))
        first += len(boxes)
    return direct, ancestry


def boxes_only(pairs, images):
    return {(a - images, b - images) for a, b in pairs.tolist() if a >= images}


@st.composite
def scenes(draw):
    side, length = st.integers(0, SIDE - 1), st.integers(1, SIDE)
    box = st.builds(lambda x, y, w, h: (x, y, min(x + w, SIDE), min(y + h, SIDE)), side, side, length, length)
    row = st.tuples(st.sampled_from(NAMES), box)
    return draw(st.lists(st.lists(row, max_size=8), min_size=1, max_size=3))


@settings(max_examples=200, deadline=None)
@given(
    scenes(),
    st.sets(st.tuples(st.sampled_from((*NAMES, "*")), st.sampled_from((*NAMES, "*"))), max_size=3),
    st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=2),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
)
def test_what_is_left_is_closed_and_reduced_as_by_hand(images, deny, allow, same_class_iou):
    def dropped(parent, child):
        (p, big), (c, small) = parent, child
        named = any(a in (p, "*") and b in (c, "*") for a, b in deny) and (p, c) not in allow
        return named or (p == c and iou(big, small) > same_class_iou)

    guards = Guards(deny=deny, allow=allow, same_class_iou=same_class_iou)
    found, _ = build_guarded_hierarchy(table(images), guards)
    direct, ancestry = naive(images, dropped)
    assert boxes_only(found.direct, len(images)) == direct
    assert boxes_only(found.ancestry, len(images)) == ancestry


def test_off_by_default():
    rng = np.random.default_rng(0)
    images = [
        [(NAMES[rng.integers(3)], (x, y, x + w, y + h)) for x, y, w, h in rng.integers(1, 6, (12, 4)).tolist()]
        for _ in range(20)
    ]
    found, counts = build_guarded_hierarchy(table(images), Guards())
    expected = build_hierarchy(table(images))
    for name in ("direct", "ancestry", "level"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert not any(counts.values())


# a holds b holds c, and a holds c in its own right
NESTED = [[("a", (0, 0, 9, 9)), ("b", (1, 1, 7, 7)), ("c", (2, 2, 4, 4))]]


def pairs_of(guards, images=NESTED):
    hierarchy, counts = build_guarded_hierarchy(table(images), guards)
    return boxes_only(hierarchy.direct, len(images)), boxes_only(hierarchy.ancestry, len(images)), counts


def test_a_pair_contained_in_its_own_right_becomes_direct():
    direct, ancestry, counts = pairs_of(Guards(deny=[("a", "b")]))
    assert direct == {(1, 2), (0, 2)}
    assert ancestry == {(1, 2), (0, 2)}
    assert counts["deny"] == 1
    assert counts["returned"] == 0


def test_a_pair_that_hung_on_a_dropped_one_goes_with_it():
    # three quarters of c lie in a: an ancestor only by way of b
    images = [[("a", (0, 0, 8, 10)), ("b", (2, 2, 9, 8)), ("c", (5, 3, 9, 6))]]
    assert pairs_of(Guards(), images)[1] == {(0, 1), (1, 2), (0, 2)}
    direct, ancestry, _ = pairs_of(Guards(deny=[("a", "b")]), images)
    assert direct == ancestry == {(1, 2)}


def test_a_dropped_pair_returns_by_way_of_a_third_and_is_counted():
    direct, ancestry, counts = pairs_of(Guards(deny=[("a", "c")]))
    assert direct == {(0, 1), (1, 2)}
    assert (0, 2) in ancestry
    assert (counts["deny"], counts["returned"]) == (1, 1)


def test_allow_alone():
    assert pairs_of(Guards(deny=[("*", "*")], allow=[("a", "c")]))[1] == {(0, 2)}


def test_same_class_nesting():
    images = [[("a", (0, 0, 9, 9)), ("a", (0, 0, 9, 7)), ("a", (0, 0, 2, 2)), ("b", (0, 0, 9, 6))]]
    assert pairs_of(Guards(same_class_iou=0.7), images)[0] == {(0, 3), (1, 3), (3, 2)}
    direct, ancestry, counts = pairs_of(Guards(same_class_iou=0), images)
    assert counts["same_class_iou"] == 3
    assert direct == {(0, 3), (1, 3), (3, 2)}
    assert counts["returned"] == 2, "a holds a by way of b"
    assert (0, 2) in ancestry


def naive_class_pairs(images, threshold=0.8):
    """parent, child -> nested, together, images nested, images together."""
    counts = {}
    for image in images:
        seen = {}
        for (i, (p, big)), (j, (c, small)) in product(enumerate(image), repeat=2):
            if i == j or any(area(box) / SIDE**2 > 0.9 for box in (big, small)):
                continue
            nested = (
                area(big) > area(small) and shared(big, small) >= threshold * area(small) and iou(big, small) <= 0.9
            )
            # two boxes of one class make one pair: only the larger may contain the other
            old = seen.get((p, c), (0, 0))
            seen[p, c] = (old[0] + nested, old[1] + (0.5 if p == c else 1))
        for key, (nested, together) in seen.items():
            old = counts.get(key, (0, 0, 0, 0))
            counts[key] = (old[0] + nested, old[1] + together, old[2] + (nested > 0), old[3] + (together > 0))
    return {key: value for key, value in counts.items() if value[0]}


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_class_pairs_are_counted_as_by_hand(images):
    boxes = table(images)
    found = class_pairs(boxes, containment_pairs(boxes), draws=4)
    columns = (found.nested, found.together, found.images_nested, found.images_together)
    rows = {
        (NAMES[p], NAMES[c]): values
        for p, c, *values in zip(found.parent, found.child, *(column.tolist() for column in columns), strict=True)
    }
    assert {key: tuple(value) for key, value in rows.items()} == naive_class_pairs(images)


def test_chance_is_the_rate_among_boxes_of_different_images():
    rng = np.random.default_rng(1)
    images = []
    for _ in range(40):
        x, y = rng.integers(0, 7, 2).tolist()
        u, v = rng.integers(0, 11, 2).tolist()
        # c lies in a always, b anywhere
        images.append([("a", (x, y, x + 5, y + 5)), ("c", (x + 1, y + 1, x + 2, y + 2)), ("b", (u, v, u + 1, v + 1))])
    boxes = table(images)
    found = class_pairs(boxes, containment_pairs(boxes), draws=20_000)
    lift = dict(zip(zip(found.parent.tolist(), found.child.tolist(), strict=True), found.lift.tolist(), strict=True))
    chance = dict(zip(zip(found.parent.tolist(), found.child.tolist(), strict=True), found.chance, strict=True))
    exact = np.mean(
        [
            shared(one[0][1], other[1][1]) >= 0.8
            for i, one in enumerate(images)
            for j, other in enumerate(images)
            if i != j
        ]
    )
    assert chance[0, 2] == pytest.approx(exact, abs=0.01)
    assert lift[0, 2] == pytest.approx(1 / exact, rel=0.05)
    assert lift[0, 1] < 2
    assert lift[0, 2] > 2

    kept, dropped = guard_pairs(boxes, containment_pairs(boxes), Guards(min_lift=2))
    pairs = containment_pairs(boxes)
    assert set(boxes.labels[pairs.child[kept]].tolist()) == {2}
    assert dropped["min_lift"] == (boxes.labels[pairs.child[pairs.contained(0.8)]] == 1).sum() > 0


def test_share_of_images():
    nested = [("a", (0, 0, 6, 6)), ("b", (1, 1, 3, 3))]
    apart = [("a", (0, 0, 6, 6)), ("b", (8, 8, 10, 10))]
    images = [nested, apart, apart, apart, [("a", (0, 0, 6, 6))]]
    assert pairs_of(Guards(min_share=0.25), images)[0] == {(0, 1)}
    direct, _, counts = pairs_of(Guards(min_share=0.26), images)
    assert direct == set()
    assert counts["min_share"] == 1
    assert pairs_of(Guards(min_share=0.26, allow=[("a", "b")]), images)[0] == {(0, 1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_share": 1.5}, "min_share must lie in"),
        ({"same_class_iou": -0.1}, "same_class_iou must lie in"),
        ({"min_lift": float("nan")}, "min_lift cannot be negative"),
    ],
)
def test_guards_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        Guards(**arguments)


@pytest.mark.parametrize(
    ("deny", "message"),
    [([("a", "window")], "class 'window', which the table does not have: a, b, c"), (["ab"], "takes pairs")],
)
def test_class_names_must_be_known(deny, message):
    with pytest.raises(ValueError, match=message):
        build_guarded_hierarchy(table(NESTED), Guards(deny=deny))
