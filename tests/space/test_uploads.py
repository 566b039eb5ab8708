"""What strangers send is a small picture or one plain sentence."""

import numpy as np
import pytest
from PIL import Image
from uploads import FORMATS, KEPT_SIDE, UnusableUploadError, read_upload

SENTENCES = {
    "truncated.jpg": "breaks off",
    "truncated.png": "breaks off",
    "huge.jpg": "larger than 10 MB",
    "many_pixels.png": "more than 40 million pixels",
    "bomb.gif": "more than 40 million pixels",
    "bomb.webp": "more than 40 million pixels",
    "text_bomb.png": "damaged",
    "drawing.svg": "not a picture that can be read",
    "drawing.png": "not a picture that can be read",
    "text.png": "not a picture that can be read",
    "script.ps": "not a picture that can be read",
    "scan.tiff": "not a picture that can be read",
    "empty.jpg": "not a picture that can be read",
}


def test_every_hostile_file_has_its_sentence_and_none_names_a_path(hostile):
    assert set(SENTENCES) == set(hostile)
    for name, file in hostile.items():
        with pytest.raises(UnusableUploadError) as error:
            read_upload(file)
        assert SENTENCES[name] in str(error.value), name
        assert str(file.parent) not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("path", ["", "/nowhere/at/all.png", "/"])
def test_no_file_and_folders_are_refused(path):
    with pytest.raises(UnusableUploadError, match="No file arrived"):
        read_upload(path)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_it_names_is_read_whatever_the_file_is_called(format, tmp_path):
    Image.new("RGB", (30, 20), (200, 30, 30)).save(tmp_path / "picture.txt", format)
    image = read_upload(tmp_path / "picture.txt")
    assert (image.size, image.mode) == ((30, 20), "RGB")
    assert np.abs(np.asarray(image).mean((0, 1)) - (200, 30, 30)).max() < 5


def test_of_an_animation_the_first_frame_is_shown(tmp_path):
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in range(200, 0, -1)]
    frames[0].save(tmp_path / "many.gif", save_all=True, append_images=frames[1:])
    assert abs(int(np.asarray(read_upload(tmp_path / "many.gif"))[0, 0, 0]) - 200) < 5


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_comes_back_small_in_its_proportions(format, tmp_path):
    Image.new("RGB", (4000, 2000)).save(tmp_path / "large", format)
    assert read_upload(tmp_path / "large").size == (KEPT_SIDE, KEPT_SIDE // 2)


def test_a_picture_is_turned_as_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_upload(tmp_path / "turned.jpg").size == (20, 40)
