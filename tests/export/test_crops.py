import numpy as np
import pytest
from PIL import Image

from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.export.checkpoint import load_checkpoint
from hf_hyperbolic.export.crops import random_crops, source_crops


def test_random_crops_are_varied_and_the_same_again():
    crops = random_crops(6, 20)
    assert (crops.shape, crops.dtype) == ((6, 20, 20, 3), np.uint8)
    assert np.array_equal(crops, random_crops(6, 20))
    assert not np.array_equal(crops, random_crops(6, 20, seed=1))
    assert crops.std(axis=(1, 2, 3)).min() > 20
    # not noise of pixels alone: the means differ too
    assert np.ptp(crops.mean(axis=(1, 2, 3))) > 10


def test_whole_images_and_boxes_as_they_are_embedded(checkpoint, source, photographs):
    encoder = load_checkpoint(checkpoint)
    crops = source_crops(encoder, source, "val")
    assert crops.shape == (45, 32, 32, 3)
    image = Image.open(photographs / "02.png")
    assert np.array_equal(crops[6], crop(image, (0, 0, *image.size), 32, 0.25))
    assert np.array_equal(crops[7], crop(image, (5, 5, 45, 35), 32, 0.25))
    assert len(source_crops(encoder, source, limit=9)) == 9


def test_a_folder_of_images(checkpoint, photographs):
    encoder = load_checkpoint(checkpoint)
    crops = source_crops(encoder, photographs)
    assert len(crops) == 15
    image = Image.open(photographs / "03.png")
    assert np.array_equal(crops[3], crop(image, (0, 0, *image.size), 32))
    assert len(source_crops(encoder, photographs, limit=5)) == 5


def test_images_that_cannot_be_read(checkpoint, photographs, tmp_path):
    encoder = load_checkpoint(checkpoint)
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(ValueError, match=r"no image that can be read.*broken\.png"):
        source_crops(encoder, tmp_path)
    Image.open(photographs / "00.png").save(tmp_path / "whole.png")
    with pytest.warns(UserWarning, match="1 images of .* cannot be read"):
        assert len(source_crops(encoder, tmp_path)) == 1


def test_no_such_source(checkpoint, tmp_path):
    encoder = load_checkpoint(checkpoint)
    with pytest.raises(FileNotFoundError):
        source_crops(encoder, tmp_path / "nowhere")
