import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.clipping import repeated_boxes

corner = st.sampled_from([0.0, 1.0, np.nextafter(np.float32(1), np.float32(2)).item()])
row = st.tuples(st.integers(0, 2), st.integers(0, 2), corner, corner, st.booleans())


@given(rows=st.lists(row, max_size=40))
def test_repeats_are_those_of_a_loop(rows):
    image, label = (np.array([row[k] for row in rows], dtype=np.int32) for k in (0, 1))
    boxes = np.array([[row[2], row[3], 5, 5] for row in rows], dtype=np.float32).reshape(-1, 4)
    usable = np.array([row[4] for row in rows], dtype=bool)
    seen, expected = set(), []
    for number, (*key, is_usable) in enumerate(rows):
        if is_usable and tuple(key) in seen:
            expected.append(number)
        elif is_usable:
            seen.add(tuple(key))
    assert repeated_boxes(image, label, boxes, usable).tolist() == expected
