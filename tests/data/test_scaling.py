import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.scaling import decoding_scale

WIDTH, HEIGHT = 1000, 700

box = st.tuples(st.integers(0, 900), st.integers(0, 600), st.integers(1, 1000), st.integers(1, 700)).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], WIDTH), min(b[1] + b[3], HEIGHT))
)


def shrinks(x0, y0, x1, y1, size, context, mode):
    """By how much a crop is shrunk across and down, worked out for one box."""
    wider, taller = context * (x1 - x0), context * (y1 - y0)
    width = min(x1 + wider, WIDTH) - max(x0 - wider, 0)
    height = min(y1 + taller, HEIGHT) - max(y0 - taller, 0)
    if mode == "resize":
        return width / size, height / size
    return max(width, height) / size, max(width, height) / size


@given(
    st.lists(box, min_size=1, max_size=5),
    st.integers(1, 300),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from(["resize", "pad"]),
)
def test_every_box_keeps_two_pixels_for_each_shown_and_no_larger_scale_would(boxes, size, context, mode):
    scale = decoding_scale(np.array(boxes, dtype=np.float32), (WIDTH, HEIGHT), size, context, mode)
    least = min(min(shrinks(*b, size, context, mode)) for b in boxes)
    assert scale == max([1] + [s for s in (2, 4, 8) if least / s >= 2])


@pytest.mark.parametrize(("size", "scale"), [(350, 1), (176, 1), (175, 2), (88, 2), (87, 4), (43, 8), (1, 8)])
def test_a_scene(size, scale):
    assert decoding_scale(np.array([[0, 0, WIDTH, HEIGHT]]), (WIDTH, HEIGHT), size) == scale


def test_the_geometry_is_that_of_crop(monkeypatch):
    # pixels that the crop is resized from, as crop itself cuts them
    image = Image.new("RGB", (WIDTH, HEIGHT))
    seen = []
    original = Image.Image.resize

    def resize(self, size, *args, box, **kwargs):
        seen.append(((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]))
        return original(self, size, *args, box=box, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", resize)
    for mode, context in (("resize", 0.0), ("pad", 0.0), ("resize", 0.25), ("pad", 0.25)):
        crop(image, (700, 100, 980, 240), 20, context, mode)
        expected = shrinks(700, 100, 980, 240, 20, context, mode)
        np.testing.assert_allclose(seen[-1], expected, rtol=0.06)  # a padded side is rounded to whole pixels
