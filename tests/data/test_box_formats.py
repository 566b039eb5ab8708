import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.box_formats import BOX_FORMATS, detect_format, impossible, to_corners


def from_corners(corners, box_format, size):
    """The way back, box by box."""
    rows = []
    for x0, y0, x1, y1 in corners:
        if box_format.endswith("_relative"):
            x0, x1, y0, y1 = x0 / size[0], x1 / size[0], y0 / size[1], y1 / size[1]
        rows.append(
            {
                "xywh": (x0, y0, x1 - x0, y1 - y0),
                "xyxy": (x0, y0, x1, y1),
                "cxcywh": ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0),
            }[box_format.removesuffix("_relative")]
        )
    return np.array(rows)


@st.composite
def boxes_in_an_image(draw, least=1):
    width, height = draw(st.integers(4, 2000)), draw(st.integers(4, 2000))
    boxes = []
    for _ in range(draw(st.integers(least, 8))):
        x0, y0 = draw(st.floats(0, width - 3)), draw(st.floats(0, height - 3))
        boxes.append((x0, y0, draw(st.floats(x0 + 2, width)), draw(st.floats(y0 + 2, height))))
    return np.array(boxes), (width, height)


@given(boxes_in_an_image(), st.sampled_from(BOX_FORMATS))
def test_there_and_back(drawn, box_format):
    corners, size = drawn
    sizes = np.tile(size, (len(corners), 1))
    np.testing.assert_allclose(
        to_corners(from_corners(corners, box_format, size), box_format, sizes), corners, atol=1e-6
    )


@given(boxes_in_an_image(), st.sampled_from(BOX_FORMATS))
def test_nothing_but_the_truth_is_detected(drawn, box_format):
    corners, size = drawn
    sizes = np.tile(size, (len(corners), 1))
    written = from_corners(corners, box_format, size)
    possible = [other for other in BOX_FORMATS if not impossible(written, other, sizes).any()]
    assert box_format in possible
    if len(possible) == 1:
        assert detect_format(written, sizes, "set") == box_format
    else:
        with pytest.raises(ValueError, match=f"cannot be told: .*{box_format}"):
            detect_format(written, sizes, "set")


@pytest.mark.parametrize(
    ("box", "formats"),
    [
        ((10, 10, 20, 20), ("xywh", "xyxy", "cxcywh")),
        ((20, 20, 10, 10), ("xywh", "cxcywh")),
        ((0, 0, 20, 20), ("xywh", "xyxy")),
        ((90, 90, 95, 95), ("xyxy",)),
        ((0, 0, 100.9, 50), ("xywh", "xyxy")),
        ((0, 0, 101.1, 50), ()),
        ((0.5, 0.5, 1, 1), ("xyxy_relative", "cxcywh_relative")),
        ((0.2, 0.2, 0.8, 0.8), ("xywh_relative", "xyxy_relative")),
        ((0.9, 0.9, 0.1, 0.1), ("xywh_relative", "cxcywh_relative")),
        ((-5, 10, 20, 20), ()),
        ((float("nan"), 1, 1, 1), BOX_FORMATS),
    ],
)
def test_which_formats_a_box_can_be_in(box, formats):
    boxes, sizes = np.array([box]), np.array([[100, 100]])
    assert tuple(other for other in BOX_FORMATS if not impossible(boxes, other, sizes)[0]) == tuple(formats)


@pytest.mark.parametrize("box_format", BOX_FORMATS)
@pytest.mark.parametrize("faulty", [0, 3])
def test_many_boxes_tell_their_format_in_spite_of_mistakes(box_format, faulty):
    rng = np.random.default_rng(0)
    low, high = np.sort(rng.uniform(0, 1, (2, 1000, 2)), axis=0)
    size = (640, 480)
    corners = np.concatenate([low, high + 0.01], axis=1) / 1.01 * np.tile(size, 2)
    written = from_corners(corners, box_format, size)
    written[:faulty] = np.array([5000, -5000, -1, 0])
    written[faulty] = np.nan
    assert detect_format(written, np.tile(size, (1000, 1)), "set") == box_format


def test_doubt_is_an_error_that_says_what_fits():
    small = np.array([[10.0, 10, 20, 20]])
    with pytest.raises(
        ValueError, match=r"set: .* its 1 boxes cannot be told: xywh, xyxy, cxcywh all fit; .*box_format="
    ):
        detect_format(small, np.array([[100, 100]]), "set")
    with pytest.raises(ValueError, match=r"no format fits its 1 boxes .*xywh 100%"):
        detect_format(np.array([[500.0, 500, -3, 2]]), np.array([[100, 100]]), "set")


def test_unknown_format():
    with pytest.raises(ValueError, match="box_format 'yxyx': choose one of xywh, xyxy"):
        to_corners(np.ones((1, 4)), "yxyx", np.ones((1, 2)))
