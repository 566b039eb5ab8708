"""Every odd kind of image file, made here byte by byte where Pillow cannot write it."""

import json
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.images import BrokenImageError, decode, probe

WIDTH, HEIGHT = 60, 40


def picture() -> Image.Image:
    """Smooth and without symmetry."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return Image.fromarray(
        np.stack([255 * x / WIDTH, 255 * y / HEIGHT, 255 * (x > WIDTH / 2)], axis=-1).astype(np.uint8)
    )


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, before: tuple = (), after: tuple = ()) -> bytes:
    """A PNG of one filterless data chunk; `before` and `after` are (type, content) chunks around it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    chunks = [header, *before, (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = orientation
    return made


@pytest.fixture
def save(tmp_path):
    def to_file(content: bytes, name: str = "image.png") -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return to_file


def segments(content: bytes):
    """(marker, segment) of a JPEG up to its scan, then the rest."""
    place = 2
    while content[place + 1] != 0xDA:
        length = 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
        yield content[place + 1], content[place : place + length]
        place += length
    yield 0xDA, content[place:]


def test_cmyk_jpeg_is_shown_as_browsers_show_it_with_and_without_the_adobe_marker(save, tmp_path):
    cmyk = picture().convert("CMYK")
    expected = pixels(cmyk.convert("RGB"))
    cmyk.save(tmp_path / "adobe.jpg", quality=100, subsampling=0)
    content = (tmp_path / "adobe.jpg").read_bytes()
    # the premise: there is a marker, and no ink is stored as 255
    assert 0xEE in [marker for marker, _ in segments(content)]
    plain = save(b"\xff\xd8" + b"".join(part for marker, part in segments(content) if marker != 0xEE), "plain.jpg")
    with Image.open(plain) as stored:
        assert stored.mode == "CMYK"
        assert "adobe" not in stored.info
    for file in (str(tmp_path / "adobe.jpg"), plain):
        assert np.abs(pixels(decode(file)) - expected).max() <= 6
        assert probe(file) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_a_channel(save, colour, channels):
    values = np.random.default_rng(0).integers(0, 65536, (3, 5, channels))
    if channels in (2, 4):
        values[..., -1] = 65535
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    file = save(png(5, 3, 16, colour, rows))
    expected = np.broadcast_to(values[..., : 3 if channels > 2 else 1] / 257, (3, 5, 3))
    assert np.abs(pixels(decode(file)) - expected).max() <= 1
    assert probe(file) == (5, 3)


def test_sixteen_bit_transparency_lies_on_white(save):
    pixel = struct.pack(">HH", 0, 65535 // 4)
    file = save(png(2, 1, 16, 4, b"\0" + 2 * pixel))
    assert np.abs(pixels(decode(file)) - 255 * 0.75).max() <= 1


def test_one_bit(save):
    file = save(png(8, 1, 1, 0, b"\0" + bytes([0b01100001])))
    assert pixels(decode(file))[0, :, 0].tolist() == [0, 255, 255, 0, 0, 0, 0, 255]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_palette_of_any_depth_with_shades_of_transparency(save, depth, transparent):
    palette = bytes([200, 0, 0, 0, 100, 50])
    before = [(b"PLTE", palette)] + ([(b"tRNS", bytes([255, 128]))] if transparent else [])
    # two pixels, of colours 0 and 1
    row = {1: bytes([0b01000000]), 2: bytes([0b00010000]), 4: bytes([0x01]), 8: bytes([0, 1])}[depth]
    shown = pixels(decode(save(png(2, 1, depth, 3, b"\0" + row, tuple(before)))))
    assert shown[0, 0].tolist() == [200, 0, 0]
    second = np.array([0, 100, 50])
    expected = second * 128 / 255 + 255 * 127 / 255 if transparent else second
    assert np.abs(shown[0, 1] - expected).max() <= 1


@pytest.mark.parametrize(("colour", "grey"), [(0, True), (2, False)])
def test_one_transparent_colour_lies_on_white(save, colour, grey):
    two = [[9], [200]] if grey else [[9, 8, 7], [200, 0, 1]]
    key = b"".join(struct.pack(">H", value) for value in two[0])
    file = save(png(2, 1, 8, colour, b"\0" + bytes(two[0] + two[1]), ((b"tRNS", key),)))
    assert pixels(decode(file))[0].tolist() == [[255] * 3, two[1] * 3 if grey else two[1]]


FRAMES = ["red", "lime", "blue"]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("gif", {}),
        ("webp", {"lossless": True}),
        ("png", {}),
        ("tif", {}),
        ("mpo", {"quality": 100, "subsampling": 0}),
    ],
)
def test_of_many_frames_the_first_counts(tmp_path, suffix, options):
    first, *others = (Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in FRAMES)
    first.paste("black", (0, 0, 10, 10))
    file = str(tmp_path / f"frames.{suffix}")
    first.save(file, save_all=True, append_images=others, **options)
    with Image.open(file) as stored:
        assert stored.n_frames == 3
    assert np.abs(pixels(decode(file)) - pixels(first)).max() <= 2
    assert probe(file) == (WIDTH, HEIGHT)


def test_gif_with_a_transparent_colour(tmp_path):
    frames = [Image.new("P", (4, 4), 1) for _ in range(2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 10, 200, 30])
        frame.putpixel((0, 0), 0)
    file = str(tmp_path / "image.gif")
    frames[0].save(file, save_all=True, append_images=frames[1:], transparency=0, optimize=False)
    shown = pixels(decode(file))
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[2, 2].tolist() == [10, 200, 30]


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """What is shown of the stored pixels, by the EXIF standard's words on where row 0 and column 0 lie."""
    rows_down, columns_right = orientation in (1, 2, 5, 6), orientation in (1, 4, 5, 8)
    if orientation >= 5:
        # row 0 is a side: left for 5 and 8, right for 6 and 7; column 0 is the top for 5 and 6
        array = array.transpose(1, 0, 2)
    return array[:: 1 if rows_down else -1, :: 1 if columns_right else -1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "mpo"])
def test_boxes_are_of_the_photograph_as_shown(tmp_path, suffix, orientation):
    shown = turned(np.asarray(picture()), orientation)
    height, width = shown.shape[:2]
    file = tmp_path / f"photo.{suffix}"
    options = {"webp": {"lossless": True}, "tif": {}, "png": {}}.get(suffix, {"quality": 100, "subsampling": 0})
    picture().save(file, exif=exif(orientation), **options)
    assert probe(str(file)) == decode(str(file)).size == (width, height)
    document = {
        "images": [{"id": 1, "file_name": file.name, "width": width, "height": height}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 5, 20, 20]}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    table = read_coco(tmp_path / "instances.json", check_images=True)
    assert table.problems == ()
    cut = crop(ImageReader(table)[0], table.boxes[0], 20).astype(int)
    assert np.abs(cut - shown[5:25, 3:23]).mean() <= 3


def test_orientation_behind_the_pixels_of_a_png_counts(save):
    tag = exif(6).tobytes().removeprefix(b"Exif\0\0")
    file = save(png(4, 3, 8, 0, 3 * b"\0\1\2\3\4", after=((b"eXIf", tag),)))
    assert probe(file) == decode(file).size == (3, 4)


GARBAGE = [
    b"garbage",
    b"",
    b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0",
    # orientation 9, and orientation as text
    b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0",
    b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0",
]


@pytest.mark.parametrize("tag", GARBAGE)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_a_photograph_with_a_broken_exif_tag_is_still_one(save, tmp_path, tag):
    picture().save(tmp_path / "plain.jpg")
    plain = (tmp_path / "plain.jpg").read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", 8 + len(tag)) + b"Exif\0\0" + tag
    file = save(plain[:2] + segment + plain[2:], "photo.jpg")
    assert probe(file) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(pixels(decode(file)), pixels(decode(str(tmp_path / "plain.jpg"))))


def small_claiming(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be of that size."""
    return png(width, height, 8, 2, bytes(1000))


@pytest.mark.parametrize("read", [decode, probe])
def test_a_bomb_is_refused_before_it_is_decoded(save, monkeypatch, read):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    file = save(small_claiming(50_000, 50_000))
    with pytest.raises(
        BrokenImageError, match=r"image\.png: .*2500000000 pixels.* raise PIL\.Image\.MAX_IMAGE"
    ) as caught:
        read(file)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("read", [decode, probe])
def test_between_the_limits_pillow_warns_and_the_image_is_read(tmp_path, monkeypatch, read):
    file = str(tmp_path / "photo.jpg")
    picture().save(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        read(file)
    # whoever makes the warning an error gets the error of a bomb
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with pytest.raises(BrokenImageError, match="MAX_IMAGE_PIXELS") as caught:
            read(file)
    assert caught.value.reason == "too_large"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(file)


def test_a_bomb_among_others_is_a_counted_problem(save, tmp_path):
    picture().save(tmp_path / "sound.png")
    save(small_claiming(50_000, 50_000), "bomb.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder.png").mkdir()
    save(b"", "empty.png")
    names = ("sound", "bomb", "loop", "folder", "empty")
    document = {
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
            for number, name in enumerate(names)
        ],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [3, 5, 20, 20]}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    table = read_coco(tmp_path / "instances.json", check_images=True)
    assert table.image_ids.tolist() == ["0"]
    assert table.skipped() == {"too_large": 1, "broken_image": 2, "not_an_image": 1}
    assert [problem.where for problem in table.problems] == [str(tmp_path / f"{name}.png") for name in names[1:]]


@pytest.mark.parametrize("read", [decode, probe])
def test_symlinks(tmp_path, read):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    with pytest.raises(BrokenImageError, match=r"loop\.jpg: .*Too many levels of symbolic links"):
        read(str(tmp_path / "loop.jpg"))
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(BrokenImageError, match="no such file") as caught:
        read(str(tmp_path / "dangling.jpg"))
    assert caught.value.reason == "missing_file"
    picture().save(tmp_path / "photo.jpg")
    (tmp_path / "link.jpg").symlink_to("photo.jpg")
    read(str(tmp_path / "link.jpg"))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(
    ("suffix", "frames"), [("gif", 1), ("webp", 1), ("webp", 3), ("tif", 1), ("mpo", 1), ("bmp", 1)]
)
def test_the_first_part_of_a_file_is_one_clear_error(save, tmp_path, suffix, frames, share):
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    more = {"save_all": True, "append_images": [picture()] * (frames - 1)} if frames > 1 else {}
    Image.fromarray(noise).save(tmp_path / f"whole.{suffix}", **more)
    content = (tmp_path / f"whole.{suffix}").read_bytes()
    with pytest.raises(BrokenImageError, match=r"cut\.") as caught:
        decode(save(content[: int(share * len(content))], f"cut.{suffix}"))
    assert caught.value.reason in ("truncated", "broken_image", "not_an_image")


def test_names_may_lie_about_the_format(save, tmp_path):
    picture().save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    assert decode(save(content, "image.jpg")).size == (WIDTH, HEIGHT)
    with pytest.raises(BrokenImageError, match="not an image"):
        decode(save(b"%!not a photograph", "page.jpg"))


@pytest.mark.parametrize("read", [decode, probe])
def test_no_other_program_is_called_for_a_file_that_claims_to_be_a_picture(tmp_path, monkeypatch, read):
    """Pillow would hand PostScript to Ghostscript, whatever the file is called."""
    monkeypatch.setattr("subprocess.check_call", lambda *args, **kwargs: pytest.fail("another program was called"))
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(BrokenImageError) as caught:
        read(str(file))
    assert caught.value.reason == "not_an_image"
