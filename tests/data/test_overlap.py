import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.overlap import area, intersection, intersection_over_union

corner = st.integers(0, 12)
box = st.tuples(corner, corner, st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def pixels(box):
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@given(st.lists(box, min_size=1, max_size=4), st.lists(box, min_size=1, max_size=4), st.sampled_from("fd"))
def test_all_of_it_counts_pixels(some, others, dtype):
    a, b = np.array(some, dtype)[:, None], np.array(others, dtype)
    np.testing.assert_array_equal(area(b), [len(pixels(other)) for other in others])
    shared = [[len(pixels(one) & pixels(other)) for other in others] for one in some]
    np.testing.assert_array_equal(intersection(a, b), shared)
    union = [[len(pixels(one) | pixels(other)) for other in others] for one in some]
    np.testing.assert_allclose(intersection_over_union(a, b), np.array(shared) / union, rtol=1e-15)


def test_float32_boxes_lose_nothing():
    # 4097 squared needs 25 bits
    wide = np.array([0, 0, 4097, 4097], dtype=np.float32)
    assert area(wide) == intersection(wide, wide) == 4097**2 != np.float32(4097) ** 2
    assert area(wide).dtype == intersection_over_union(wide, wide).dtype == np.float64
