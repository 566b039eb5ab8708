import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.non_maximum import non_maximum_suppression

corner = st.integers(0, 12)
box = st.tuples(corner, corner, st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
detection = st.tuples(box, st.sampled_from([0.2, 0.5, 0.9]), st.sampled_from(["car", "dog"]))


def pixels(box):
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


def naive_iou(a, b):
    return len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))


@given(st.lists(detection, max_size=8), st.lists(detection, max_size=3), st.sampled_from([0.0, 0.3, 0.5]))
def test_against_a_naive_loop(candidates, settled, iou):
    standing, expected = [(box, label) for box, _, label in settled], []
    for row in sorted(range(len(candidates)), key=lambda row: -candidates[row][1]):
        box, _, label = candidates[row]
        if all(naive_iou(box, other) <= (iou if label == name else 0.9) for other, name in standing):
            standing.append((box, label))
            expected.append(row)
    kept = non_maximum_suppression(
        np.array([box for box, _, _ in candidates], float).reshape(-1, 4),
        np.array([score for _, score, _ in candidates]),
        np.array([label for _, _, label in candidates], dtype=np.str_),
        np.array([box for box, _, _ in settled], float).reshape(-1, 4),
        np.array([label for _, _, label in settled], dtype=np.str_),
        iou,
    )
    assert kept.tolist() == expected


def test_classes_share_only_near_duplicates():
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 95], [0, 0, 100, 80]], float)
    scores, none = np.array([0.9, 0.8, 0.7]), np.empty((0, 4))
    labels = np.array(["car", "truck", "truck"])
    assert non_maximum_suppression(boxes, scores, labels, none, none[:, 0], 0.5).tolist() == [0, 2]
    labels = np.array(["car", "car", "car"])
    assert non_maximum_suppression(boxes, scores, labels, none, none[:, 0], 0.5).tolist() == [0]
