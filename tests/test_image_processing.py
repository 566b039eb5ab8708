import numpy as np
import pytest
from PIL import Image
from transformers import AutoImageProcessor

from hf_hyperbolic import make_image_processor


def test_the_whole_image_is_resized_to_a_square() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8))
    processor = make_image_processor(32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    pixels = processor(image, return_tensors="np").pixel_values[0]
    resized = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    expected = (resized - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels.transpose(1, 2, 0), expected, atol=1e-6)


def test_gray_and_transparent_images_become_three_channels() -> None:
    images = [Image.new("L", (9, 7), 200), Image.new("RGBA", (5, 8), (10, 20, 30, 128))]
    assert make_image_processor(16)(images, return_tensors="np").pixel_values.shape == (2, 3, 16, 16)


def test_it_comes_back_from_a_folder(tmp_path) -> None:
    make_image_processor(48, mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 64, 3), dtype=np.uint8))
    expected = make_image_processor(48, mean=[0.1, 0.2, 0.3])(image, return_tensors="np").pixel_values
    np.testing.assert_array_equal(loaded(image, return_tensors="np").pixel_values, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be a positive"),
        ({"mean": [0.5]}, "mean must have one"),
        ({"std": [1, 1]}, "std must have"),
    ],
)
def test_bad_arguments_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_image_processor(**arguments)
