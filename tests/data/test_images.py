import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from hf_hyperbolic.data import images as module
from hf_hyperbolic.data.boxes import BoxTable, Problem, drop_images
from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.image_reader import ImageReader, drop_broken, find_broken
from hf_hyperbolic.data.images import BrokenImageError, decode, decode_scaled, probe

WIDTH, HEIGHT = 60, 40


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth, without symmetry, so that JPEG keeps it and no rotation or flip goes unseen."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, 255 * (x > width / 2)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def table(files, sizes=None) -> BoxTable:
    count = len(files)
    return BoxTable(
        image_ids=np.array([str(i) for i in range(count)]),
        image_files=np.array([str(file) for file in files]),
        image_sizes=np.array(sizes or [(WIDTH, HEIGHT)] * count, dtype=np.int32),
        box_image=np.repeat(np.arange(count, dtype=np.int32), 2),
        boxes=np.array([(0, 0, 10, 10), (5, 5, 30, 30)] * count, dtype=np.float32),
        labels=np.arange(2 * count, dtype=np.int32) % 3,
        class_names=("a", "b", "c"),
    )


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "png"), ("RGB", "jpg"), ("P", "png"), ("CMYK", "jpg"), ("L", "jpg"), ("1", "png")]
)
def test_modes_become_rgb_as_shown(tmp_path, mode, suffix):
    file = str(tmp_path / f"image.{suffix}")
    original = picture().convert(mode)
    original.save(file, **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {}))
    decoded = decode(file)
    assert decoded.mode == "RGB"
    assert np.abs(pixels(decoded) - pixels(original.convert("RGB"))).max() <= (6 if suffix == "jpg" else 0)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    file = str(tmp_path / "grey.png")
    Image.fromarray(grey).save(file)
    with Image.open(file) as stored:
        assert stored.mode.startswith("I")
    np.testing.assert_array_equal(pixels(decode(file)), np.repeat(np.rint(grey / 257)[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_lie_on_white(tmp_path, mode):
    image = picture().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 30, HEIGHT))
    image.putalpha(alpha)
    image.save(tmp_path / "image.png")
    decoded = pixels(decode(str(tmp_path / "image.png")))
    assert (decoded[:, :30] == 255).all()
    np.testing.assert_array_equal(decoded[:, 30:], pixels(image.convert("RGB"))[:, 30:])


def test_transparent_palette_colour_lies_on_white(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "image.png", transparency=0)
    decoded = decode(str(tmp_path / "image.png"))
    assert decoded.getpixel((0, 0)) == (255, 255, 255)
    assert decoded.getpixel((1, 1)) == (10, 20, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    stored, file = picture(), str(tmp_path / f"image.{suffix}")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(file, exif=exif, quality=100, subsampling=0)
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    shown = turns[orientation](pixels(stored))
    decoded = decode(file)
    assert pixels(decoded).shape == shown.shape
    assert np.abs(pixels(decoded) - shown).max() <= 40
    assert np.abs(pixels(decoded) - shown).mean() <= 2
    assert probe(file) == decoded.size == shown.shape[1::-1]
    # a crop is of what is shown
    cut = crop(decoded, (4, 6, 24, 26), 20)
    assert np.abs(cut.astype(int) - shown[6:26, 4:24]).mean() <= 2


def jpeg(file, image=None):
    (image or picture(200, 150)).save(file, quality=95)
    return file


def truncated(file):
    content = jpeg(file).read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


def truncated_png(file):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)).save(file, "PNG")
    file.write_bytes(file.read_bytes()[:2000])
    return file


def text(file):
    file.write_text("I am no photograph\n")
    return file


def empty(file):
    file.touch()
    return file


def damaged_png(file):
    """A PNG whose first data chunk is garbage: complete, but its check sum is wrong."""
    picture().save(file, "PNG")
    content = bytearray(file.read_bytes())
    at = content.index(b"IDAT") + 4
    content[at : at + 20] = bytes(20)
    file.write_bytes(bytes(content))
    return file


BROKEN = [
    (truncated, "truncated", "cannot be decoded"),
    (truncated_png, "truncated", "cannot be decoded"),
    (text, "not_an_image", "not an image"),
    (empty, "not_an_image", "the file is empty"),
    (damaged_png, "broken_image", "cannot be decoded"),
    (lambda file: file, "missing_file", "no such file"),
    (lambda file: file.mkdir() or file, "broken_image", "Is a directory"),
]


@pytest.mark.parametrize(("make", "reason", "detail"), BROKEN)
def test_broken_files_are_named_with_the_reason(tmp_path, make, reason, detail):
    file = str(make(tmp_path / "photo.jpg"))
    with pytest.raises(BrokenImageError, match=detail) as caught:
        decode(file)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(file)
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.file, again.reason, str(again)) == (file, reason, str(caught.value))


@pytest.mark.parametrize(("make", "reason", "detail"), [case for case in BROKEN if case[0] is not damaged_png])
def test_probe_sees_all_but_damage_in_the_middle(tmp_path, make, reason, detail):
    with pytest.raises(BrokenImageError, match=detail) as caught:
        probe(str(make(tmp_path / "photo.jpg")))
    assert caught.value.reason == reason


def test_probe_accepts_a_complete_file_with_bytes_behind_its_end(tmp_path):
    file = jpeg(tmp_path / "photo.jpg")
    file.write_bytes(file.read_bytes() + bytes(500))
    assert probe(str(file)) == (200, 150)


def test_decompression_bomb(tmp_path, monkeypatch):
    file = jpeg(tmp_path / "photo.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 150 // 2 - 1)
    with pytest.raises(BrokenImageError, match="MAX_IMAGE_PIXELS") as caught:
        decode(str(file))
    assert caught.value.reason == "too_large"


@pytest.fixture
def opens(monkeypatch):
    """The files opened, in order."""
    opened: list[str] = []
    original = Image.open

    def counting(file, *args, **kwargs):
        opened.append(str(file))
        return original(file, *args, **kwargs)

    monkeypatch.setattr(module.Image, "open", counting)
    return opened


@pytest.fixture
def four(tmp_path):
    return [str(jpeg(tmp_path / f"{i}.jpg", picture())) for i in range(4)]


def test_each_image_is_decoded_once(four, opens):
    reader = ImageReader(table(four))
    for _ in range(3):
        for index in range(4):
            np.testing.assert_array_equal(pixels(reader[index]), pixels(reader[np.int64(index)]))
    assert opens == four
    assert len(reader) == 4


def test_cache_is_bounded_in_bytes_and_forgets_the_least_recently_used(four, opens):
    reader = ImageReader(table(four), cache_bytes=2 * WIDTH * HEIGHT * 4)
    for index in (0, 1, 0, 2, 0, 1):
        reader[index]
    # 2 pushed out 1, not 0 which had been used since
    assert opens == [four[0], four[1], four[2], four[1]]


def test_cache_of_no_bytes_keeps_nothing(four, opens):
    reader = ImageReader(table(four), cache_bytes=0)
    assert pixels(reader[0]).shape == pixels(reader[0]).shape == (HEIGHT, WIDTH, 3)
    assert opens == [four[0], four[0]]


def test_reader_travels_without_its_cache(four, opens):
    reader = ImageReader(table(four))
    before = len(pickle.dumps(reader))
    reader[0]
    assert len(pickle.dumps(reader)) == before
    np.testing.assert_array_equal(pixels(pickle.loads(pickle.dumps(reader))[0]), pixels(reader[0]))
    assert opens == [four[0]] * 2


def test_image_of_another_size_than_its_boxes_were_drawn_on(four):
    reader = ImageReader(table(four, [(HEIGHT, WIDTH)] * 4))
    with pytest.raises(BrokenImageError, match=r"0\.jpg: shows 60 x 40 pixels .* 40 x 60 in the table") as caught:
        reader[0]
    assert caught.value.reason == "size_mismatch"


@pytest.mark.parametrize("index", [-1, 4])
def test_index_out_of_range(four, index):
    with pytest.raises(IndexError, match=r"image_index must lie in \[0, 4\)"):
        ImageReader(table(four))[index]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 80), st.integers(0, 80), st.integers(1, 119), st.integers(1, 119), st.sampled_from([1, 7, 32, 100])
)
def test_crop_of_whole_pixels_is_plain_crop_and_resize(x0, y0, width, height, size):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8))
    box = (x0, y0, x0 + width, y0 + height)
    plain = image.crop(box).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    np.testing.assert_array_equal(crop(image, box, size), np.asarray(plain))


def test_shrinking_in_two_steps_stays_near_the_plain_filter():
    image = picture(400, 390)
    plain = image.resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(crop(image, (0, 0, 400, 390), 32).astype(int) - pixels(plain)).max() <= 4


def test_fractional_box_is_resampled_not_rounded():
    # a horizontal ramp of four grey levels a pixel: a crop's mean is the ramp at its centre, to a quarter of a pixel
    ramp = Image.fromarray(np.tile((4 * np.arange(60, dtype=np.uint8))[None, :, None], (50, 1, 3)))
    shifts = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    means = [crop(ramp, (20 + shift, 10, 52 + shift, 40), 32).mean() for shift in shifts]
    np.testing.assert_allclose(means, 4 * (36 + shifts - 0.5), atol=0.15)


def test_nothing_outside_the_box_leaks_in():
    image = Image.new("RGB", (100, 100), "red")
    image.paste("blue", (30, 30, 70, 70))
    for size in (8, 40, 200):
        assert (crop(image, (30, 30, 70, 70), size) == (0, 0, 255)).all()


def test_context_is_a_share_of_each_side_and_cut_at_the_image():
    image = picture(100, 80)
    np.testing.assert_array_equal(crop(image, (40, 30, 60, 40), 16, context=0.5), crop(image, (30, 25, 70, 45), 16))
    np.testing.assert_array_equal(crop(image, (0, 30, 20, 80), 16, context=0.5), crop(image, (0, 5, 30, 80), 16))


@pytest.mark.parametrize(("box", "inner"), [((10, 10, 90, 30), (40, 10)), ((10, 10, 30, 90), (10, 40))])
def test_pad_keeps_the_aspect_ratio_and_fills_with_the_mean_colour(box, inner):
    image = picture(100, 100)
    padded = crop(image, box, 40, mode="pad")
    resized = np.asarray(image.crop(box).resize(inner, Image.Resampling.BICUBIC))
    margin_x, margin_y = (40 - inner[0]) // 2, (40 - inner[1]) // 2
    inside = np.zeros((40, 40), dtype=bool)
    inside[margin_y : 40 - margin_y, margin_x : 40 - margin_x] = True
    np.testing.assert_array_equal(padded[inside].reshape(resized.shape), resized)
    assert (padded[~inside] == np.rint(resized.mean(axis=(0, 1)))).all()


def test_pad_of_a_square_is_resize():
    image = picture(100, 100)
    np.testing.assert_array_equal(crop(image, (10, 20, 60, 70), 24, mode="pad"), crop(image, (10, 20, 60, 70), 24))


MODES = ["resize", "pad"]
floats = st.floats(-20, 120, allow_nan=False, width=32)


@settings(max_examples=200, deadline=None)
@given(floats, floats, floats, floats, st.integers(1, 70), st.sampled_from([0.0, 0.3]), st.sampled_from(MODES))
def test_any_box_gives_a_square_or_one_clear_error(x0, y0, x1, y1, size, context, mode):
    image = picture(100, 80)
    grown = [x0 - context * (x1 - x0), y0 - context * (y1 - y0), x1 + context * (x1 - x0), y1 + context * (y1 - y0)]
    touches = grown[0] < 100 and grown[1] < 80 and grown[2] > 0 and grown[3] > 0
    if x1 > x0 and y1 > y0 and touches:
        result = crop(image, (x0, y0, x1, y1), size, context, mode)
        assert result.shape == (size, size, 3)
        assert result.dtype == np.uint8
        assert result.flags.writeable
    else:
        with pytest.raises(ValueError, match="has no area" if not (x1 > x0 and y1 > y0) else "lies outside"):
            crop(image, (x0, y0, x1, y1), size, context, mode)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"box": (5, 5, 5, 9)}, "has no area"),
        ({"box": (9, 5, 5, 9)}, "has no area"),
        ({"box": (float("nan"), 5, 5, 9)}, "has no area"),
        ({"box": (100, 0, 120, 10)}, "outside the image of 60 x 40"),
        ({"size": 0}, "size >= 1"),
        ({"context": -0.1}, "context >= 0"),
        ({"mode": "reflect"}, "mode 'reflect'"),
        ({"image": Image.new("L", (9, 9))}, "mode 'L'"),
    ],
)
def test_bad_arguments_of_crop(arguments, message):
    with pytest.raises(ValueError, match=message):
        crop(**({"image": picture(), "box": (0, 0, 9, 9), "size": 8} | arguments))


def block_means(shown: np.ndarray, scale: int) -> np.ndarray:
    """Means of the whole scale x scale blocks of an image: what a decoder of fractions gives, but for its rounding."""
    height, width = (side // scale * scale for side in shown.shape[:2])
    return shown[:height, :width].reshape(height // scale, scale, width // scale, scale, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_scaled_pixel_covers_a_block_of_the_image_as_shown(tmp_path, orientation, scale):
    file = str(tmp_path / "image.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for size in [(160, 96), (157, 99)]:
        picture(*size).save(file, exif=exif, quality=98, subsampling=0)
        full, found = decode(file), decode_scaled(file, scale)
        assert found.size == full.size
        if orientation > 1 and size[0] % 2:
            assert found.scale == 1, "its rounded-up edge would lie on the wrong side"
        else:
            assert found.scale == scale
            assert found.image.size == tuple(-(-side // scale) for side in full.size)
        means = block_means(pixels(full), found.scale)
        rows, columns = means.shape[:2]
        # off by half a scaled pixel, the ramps alone would differ by more
        assert np.abs(pixels(found.image)[:rows, :columns] - means).mean() < 0.7


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_size_of_a_turned_tiff(tmp_path, orientation):
    file = str(tmp_path / "image.tif")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture().save(file, exif=exif)
    found = decode_scaled(file)
    assert found.size == found.image.size == probe(file)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_only_jpegs_are_scaled(tmp_path, suffix):
    file = str(tmp_path / f"image.{suffix}")
    picture().save(file)
    found = decode_scaled(file, 4)
    assert (found.scale, found.size) == (1, (WIDTH, HEIGHT))
    np.testing.assert_array_equal(pixels(found.image), pixels(decode(file)))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_scaled_jpegs_of_other_modes(tmp_path, mode):
    file = str(tmp_path / "image.jpg")
    picture(160, 96).convert(mode).save(file, quality=98)
    found = decode_scaled(file, 4)
    assert found.scale == 4
    assert np.abs(pixels(found.image) - block_means(pixels(decode(file)), 4)).mean() < 1.5


def test_a_jpeg_smaller_than_the_scale_is_decoded_in_full(tmp_path):
    file = str(tmp_path / "image.jpg")
    picture(5, 40).save(file)
    assert (decode_scaled(file, 8).scale, decode_scaled(file, 4).scale) == (1, 4)


@pytest.mark.parametrize(("make", "reason", "detail"), BROKEN)
def test_broken_files_are_broken_at_every_scale_and_as_bytes(tmp_path, make, reason, detail):
    path = make(tmp_path / "photo.jpg")
    with pytest.raises(BrokenImageError, match=detail) as caught:
        decode_scaled(str(path), 8)
    assert caught.value.reason == reason
    if path.is_file():
        with pytest.raises(BrokenImageError, match=detail) as caught:
            decode_scaled("row 7", 8, path.read_bytes())
        assert (caught.value.reason, caught.value.file) == (reason, "row 7")


def test_bytes_are_decoded_as_their_file(tmp_path):
    file = jpeg(tmp_path / "photo.jpg")
    for scale in (1, 4):
        a, b = decode_scaled(str(file), scale), decode_scaled("name", scale, file.read_bytes())
        assert a[1:] == b[1:]
        np.testing.assert_array_equal(pixels(a.image), pixels(b.image))


def test_pixels_do_not_depend_on_what_the_cache_holds(four, opens):
    fresh = {scale: pixels(ImageReader(table(four)).read(0, scale).image) for scale in (1, 2, 4)}
    opens.clear()
    for order in ([1, 2, 4], [4, 2, 1], [2, 1, 4]):
        reader = ImageReader(table(four))
        for scale in order * 2:
            found = reader.read(0, scale)
            assert found.scale == scale
            np.testing.assert_array_equal(pixels(found.image), fresh[scale])
    assert len(opens) == 9, "each scale is decoded once and then kept"


def test_cache_counts_the_pixels_of_every_scale(four, opens):
    # room for one image in full and one at half: a second full one pushes out the least recently used
    reader = ImageReader(table(four), cache_bytes=WIDTH * HEIGHT * 5)
    for index, scale in [(0, 1), (0, 2), (1, 1), (0, 2), (0, 1)]:
        reader.read(index, scale)
    assert opens == [four[0], four[0], four[1], four[0]]


def test_a_scaled_image_of_another_size_than_its_boxes_were_drawn_on(four):
    # half of 60 x 40 is half of 59 x 39 as well: the header's size must be compared
    with pytest.raises(BrokenImageError, match="shows 60 x 40 pixels") as caught:
        ImageReader(table(four, [(WIDTH - 1, HEIGHT - 1)] * 4)).read(0, 2)
    assert caught.value.reason == "size_mismatch"


def test_sizes_of_a_relative_table_come_from_the_header(four, monkeypatch):
    shares = replace(table(four, [(1, 1)] * 4), relative=True)
    shares.boxes[:] = np.tile([[0.25, 0.25, 0.75, 0.5]], (8, 1))
    reader = pickle.loads(pickle.dumps(ImageReader(shares)))
    with monkeypatch.context() as only_headers:
        only_headers.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
        only_headers.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
        assert reader.size(2) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(reader.pixel_scale(2), [WIDTH, HEIGHT] * 2)
    assert reader.cut(2, shares.boxes[4]).shape == (HEIGHT // 4, WIDTH // 2, 3)
    with pytest.raises(IndexError):
        reader.size(4)


@pytest.fixture
def mixed(tmp_path, four):
    files = [four[0], truncated(tmp_path / "cut.jpg"), four[1], text(tmp_path / "text.jpg"), tmp_path / "gone.jpg"]
    return table(files)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_find_broken_lists_them_in_order(mixed, num_workers):
    problems = find_broken(mixed, num_workers)
    assert [problem.reason for problem in problems] == ["truncated", "not_an_image", "missing_file"]
    assert [problem.where for problem in problems] == mixed.image_files[[1, 3, 4]].tolist()


def test_drop_broken_leaves_a_table_of_the_sound_images(mixed, four):
    sound = drop_broken(mixed)
    assert sound.image_files.tolist() == [four[0], four[1]]
    assert sound.box_image.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(sound.labels, mixed.labels[[0, 1, 4, 5]])
    np.testing.assert_array_equal(sound.boxes, mixed.boxes[[0, 1, 4, 5]])
    assert sound.skipped() == {"truncated": 1, "not_an_image": 1, "missing_file": 1}
    assert [ImageReader(sound)[index].size for index in range(2)] == [(WIDTH, HEIGHT)] * 2


def test_drop_images_appends_to_the_problems(mixed):
    once = drop_images(mixed, [1], [Problem("truncated", "cut.jpg", "why")])
    twice = drop_images(once, np.array([3, 2]), [Problem("not_an_image", "text.jpg", "why")])
    assert twice.num_images == 2
    assert [problem.where for problem in twice.problems] == ["cut.jpg", "text.jpg"]
    assert drop_images(mixed, [], []).num_boxes == mixed.num_boxes


def test_nothing_left_is_an_error(tmp_path):
    broken = table([text(tmp_path / "a.jpg"), tmp_path / "b.jpg"])
    with pytest.raises(ValueError, match=r"none of the 2 images can be used: not_an_image: .*a\.jpg.*missing_file"):
        drop_broken(broken)


def test_the_transposed_picture_has_no_symmetry():
    # the EXIF tests above would be vacuous with a symmetric picture
    base = picture(40, 40)
    turned = [pixels(base.transpose(how)) for how in Image.Transpose]
    assert all(np.abs(other - pixels(base)).mean() > 20 for other in turned)


@pytest.mark.parametrize(("make", "reason", "detail"), [case for case in BROKEN if case[1] != "missing_file"][:5])
def test_broken_contents_are_named_as_broken_files_are(tmp_path, make, reason, detail):
    content = make(tmp_path / "photo.jpg").read_bytes()
    with pytest.raises(BrokenImageError, match=detail) as caught:
        decode("a set#3", content)
    assert (caught.value.reason, caught.value.file) == (reason, "a set#3")


def test_contents_are_read_as_files_are(tmp_path):
    files = [tmp_path / "a.jpg", tmp_path / "b.png"]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture().save(files[0], exif=exif)
    picture().save(files[1])
    on_disk = table(files, sizes=[(HEIGHT, WIDTH), (WIDTH, HEIGHT)])
    contents = {f"a set#{index}": file.read_bytes() for index, file in enumerate(files)}
    in_rows = table(list(contents), sizes=[(HEIGHT, WIDTH), (WIDTH, HEIGHT)])
    reader = pickle.loads(pickle.dumps(ImageReader(in_rows, load=contents.__getitem__)))
    for index, file in enumerate(files):
        np.testing.assert_array_equal(pixels(reader[index]), pixels(ImageReader(on_disk)[index]))
        assert probe(f"a set#{index}", contents[f"a set#{index}"]) == probe(str(file))
    contents["a set#1"] = contents["a set#1"][:100]
    assert [problem.where for problem in find_broken(in_rows, load=contents.__getitem__)] == ["a set#1"]
    kept = drop_broken(in_rows, load=contents.__getitem__)
    assert kept.image_files.tolist() == ["a set#0"]
    with pytest.raises(BrokenImageError, match=r"a set#1: .*truncated"):
        probe("a set#1", contents["a set#1"])
