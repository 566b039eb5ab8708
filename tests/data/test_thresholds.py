import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.thresholds import changed_pairs, study_thresholds

THRESHOLDS = (0.5, 0.7, 0.8, 0.95, 1.0)
NAMES = ("a", "b", "c", "d")


def table(images, side=40):
    rows = [row for image in images for row in image]
    return BoxTable(
        image_ids=np.array([str(i) for i in range(len(images))], dtype=str),
        image_files=np.array([""] * len(images), dtype=str),
        image_sizes=np.full((len(images), 2), side, dtype=np.int32),
        box_image=np.repeat(np.arange(len(images), dtype=np.int32), [len(image) for image in images]),
        boxes=np.array([box for _, box in rows], dtype=np.float32).reshape(-1, 4),
        labels=np.array([NAMES.index(name) for name, _ in rows], dtype=np.int32),
        class_names=NAMES,
    )


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(3)
    images = []
    for _ in range(60):
        low = rng.uniform(0, 30, (9, 2))
        high = np.minimum(low + rng.uniform(2, 30, (9, 2)), 40)
        images.append([(NAMES[rng.integers(4)], (*a, *b)) for a, b in zip(low.tolist(), high.tolist(), strict=True)])
    images.append([("a", (0, 0, 40, 40)), ("b", (0, 0, 10, 10))])  # a whole image and a single box
    return table(images)


def by_hand(boxes, threshold):
    """From one hierarchy, by loops: direct pairs of boxes, number of transitive ones, levels, class pairs."""
    found = build_hierarchy(boxes, threshold)
    direct = [(a, b) for a, b in found.direct.tolist() if a >= found.num_images]
    ancestry = [(a, b) for a, b in found.ancestry.tolist() if a >= found.num_images]
    levels = Counter(found.level[node] for node in range(found.num_images, found.num_nodes) if found.active()[node])
    classes = Counter((NAMES[found.node_label[a]], NAMES[found.node_label[b]]) for a, b in direct)
    return {(a - found.num_images, b - found.num_images) for a, b in direct}, len(ancestry), levels, classes


def test_every_count_is_that_of_its_own_hierarchy(many):
    study = study_thresholds(many, THRESHOLDS)
    for row, threshold in enumerate(THRESHOLDS):
        direct, ancestry, levels, classes = by_hand(many, threshold)
        assert study.direct[row] == len(direct) > 0
        assert study.transitive[row] == ancestry - len(direct)
        assert dict(enumerate(study.levels[row].tolist(), start=1)) == {
            level: levels[level] for level in range(1, study.levels.shape[1] + 1)
        }
        in_a_box = len({child for _, child in direct})
        assert study.with_parent[row] == pytest.approx(in_a_box / (many.num_boxes - 1)), "a whole image is no box"
        counted = {
            (NAMES[a], NAMES[b]): count
            for (a, b), count in zip(study.classes.tolist(), study.class_direct[:, row].tolist(), strict=True)
            if count
        }
        assert counted == classes


def test_changes_are_the_largest_differences(many):
    study = study_thresholds(many, THRESHOLDS)
    before, after = by_hand(many, 0.7)[3], by_hand(many, 0.8)[3]
    found = study.changes(1, 2, top=5)
    assert len(found) == 5
    for parent, child, low, high in found:
        assert (before[parent, child], after[parent, child]) == (low, high)
    sizes = [abs(low - high) for *_, low, high in found]
    assert sizes == sorted((abs(before[k] - after[k]) for k in before | after), reverse=True)[:5]


def test_text_and_json_say_the_same(many):
    study = study_thresholds(many, THRESHOLDS)
    document = json.loads(json.dumps(study.to_dict()))
    lines = study.to_text().splitlines()
    assert lines[0].split()[:3] == ["threshold", "direct", "transitive"]
    for line, row in zip(lines[1:], document["thresholds"], strict=False):
        cells = [cell.replace(",", "") for cell in line.split()]
        assert float(cells[0]) == row["threshold"]
        assert [int(cell) for cell in cells[1:3]] == [row["direct"], row["transitive"]]
        assert [int(cell) for cell in cells[4:]] == row["boxes_by_level"]
    assert [(change["from"], change["to"]) for change in document["changes"]] == list(pairwise(THRESHOLDS))
    assert any(line.startswith("0.7 to 0.8: ") for line in lines)


def test_lost_and_gained_pairs(many):
    (before, *_), (after, *_) = by_hand(many, 0.7), by_hand(many, 0.95)
    changed = changed_pairs(many, 0.7, 0.95, count=10_000)
    for name, expected in (("lost", before - after), ("gained", after - before)):
        count, examples = changed[name]
        assert count == len(examples) == len(expected) > 0
        shown = set()
        for example in examples:
            rows = [
                np.flatnonzero((many.boxes == box).all(axis=1) & (many.box_image == example.image)).tolist()
                for box in (example.parent, example.child)
            ]
            shown.add((rows[0][0], rows[1][0]))
            parent, rest = example.caption.split(" > ")
            child, share = rest.removesuffix(" %").split(": ")
            assert [NAMES[many.labels[row[0]]] for row in rows] == [parent, child]
            a, b = example.parent, example.child
            width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert int(share) == pytest.approx(100 * width * height / np.prod(b[2:] - b[:2]), abs=0.51)
        assert shown == expected


def test_examples_show_many_class_pairs_before_any_twice(many):
    count, examples = changed_pairs(many, 0.7, 0.95, count=8)["lost"]
    assert count > 8
    assert len({example.caption.partition(":")[0] for example in examples}) == 8
    again = changed_pairs(many, 0.7, 0.95, count=8)["lost"][1]
    assert [example.caption for example in again] == [example.caption for example in examples]
    other = changed_pairs(many, 0.7, 0.95, count=8, seed=1)["lost"][1]
    assert [example.child.tolist() for example in other] != [example.child.tolist() for example in examples]


def test_a_set_without_pairs():
    study = study_thresholds(table([[("a", (0, 0, 9, 9))], []]))
    assert study.direct.tolist() == [0] * 9
    assert study.levels.tolist() == [[1]] * 9
    assert "no direct pair changes" in study.to_text()
    assert changed_pairs(table([[("a", (0, 0, 9, 9))]]), 0.5, 0.6) == {"lost": (0, []), "gained": (0, [])}


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([0.8], "at least two"),
        ([0.8, 0.8], "each above"),
        ([0.9, 0.8], "each above"),
        ([0, 0.5], "lie in"),
        ([0.5, 1.1], "lie in"),
    ],
)
def test_thresholds_must_increase(thresholds, message, many):
    with pytest.raises(ValueError, match=message):
        study_thresholds(many, thresholds)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["ccp", "coco"])
def test_real_data(name):
    root = Path(os.environ.get("HF_HYPERBOLIC_DATA", "/nowhere")) / name
    if not root.is_dir():
        pytest.skip("HF_HYPERBOLIC_DATA is not set")
    from hf_hyperbolic.data.read import read_boxes

    boxes = read_boxes(root, "val")
    study = study_thresholds(boxes, (0.5, 0.8, 1.0))
    for row, threshold in enumerate(study.thresholds):
        found = build_hierarchy(boxes, threshold)
        assert study.direct[row] == (found.direct[:, 0] >= found.num_images).sum()
        assert study.direct[row] + study.transitive[row] == (found.ancestry[:, 0] >= found.num_images).sum()
