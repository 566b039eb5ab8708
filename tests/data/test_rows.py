import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image

from hf_hyperbolic.data import rows as module
from hf_hyperbolic.data.boxes import BoxTable, Federation
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.features import hierarchy_features
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.images import BrokenImageError, decode
from hf_hyperbolic.data.rows import embed_image, hierarchy_rows, slice_images, split_images

WIDTH, HEIGHT = 40, 30


def picture() -> Image.Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([255 * x / WIDTH, 255 * y / HEIGHT, 255 * (x > WIDTH / 2)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def table(files, **changes) -> BoxTable:
    """Two boxes an image, the second a part of the first."""
    count = len(files)
    content = {
        "image_ids": np.array([f"i{index}" for index in range(count)]),
        "image_files": np.array([str(file) for file in files]),
        "image_sizes": np.array([(WIDTH, HEIGHT)] * count, dtype=np.int32),
        "box_image": np.repeat(np.arange(count, dtype=np.int32), 2),
        "boxes": np.array([(2, 2, 22, 22), (5, 5, 12, 12)] * count, dtype=np.float32),
        "labels": np.array([0, 1] * count, dtype=np.int32),
        "class_names": ("a", "b"),
    }
    return BoxTable(**(content | changes))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tif"])
def test_jpeg_and_png_stay_as_they_are_and_the_rest_becomes_png(tmp_path, mode, suffix):
    file = str(tmp_path / f"image.{suffix}")
    try:
        picture().convert(mode).save(file)
    except (OSError, ValueError, KeyError):
        pytest.skip(f"{suffix} has no {mode}")
    content, size, problem = embed_image(file)
    assert size == (WIDTH, HEIGHT)
    if suffix in ("jpg", "png"):
        with open(file, "rb") as stream:
            assert content == stream.read()
        assert problem is None
    else:
        with Image.open(io.BytesIO(content)) as embedded:
            assert embedded.format == "PNG"
            np.testing.assert_array_equal(np.asarray(embedded), np.asarray(decode(file)))
        assert problem.reason == "reencoded"
        assert problem.where == file


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_rotated_files_are_turned_upright(tmp_path, orientation, suffix):
    file = str(tmp_path / f"image.{suffix}")
    picture().save(file, exif=turned(orientation))
    content, size, problem = embed_image(file)
    with Image.open(io.BytesIO(content)) as embedded:
        # a reader that knows nothing of EXIF sees what is shown
        assert embedded.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert embedded.format == {"jpg": "JPEG", "png": "PNG"}[suffix]
        assert embedded.size == size == decode(file).size
        difference = np.abs(np.asarray(embedded).astype(int) - np.asarray(decode(file)))
    assert difference.mean() <= (2 if suffix == "jpg" else 0)
    assert (problem is None) == (orientation == 1)


def test_a_broken_file_has_one_error(tmp_path):
    with pytest.raises(BrokenImageError) as missing:
        embed_image(str(tmp_path / "none.jpg"))
    assert missing.value.reason == "missing_file"
    with pytest.raises(BrokenImageError) as folder:
        embed_image(str(tmp_path))
    assert folder.value.reason == "broken_image"
    with pytest.raises(BrokenImageError) as empty:
        embed_image("somewhere", lambda name: b"")
    assert empty.value.reason == "not_an_image"


def test_a_slice_is_the_table_of_those_images(scenes):
    whole = read_coco(scenes)
    federation = Federation(np.array([[3, 1], [20, 0], [22, 2]], np.int32), np.array([[21, 5]], np.int32))
    part = slice_images(replace(whole, federation=federation), 20, 23)
    assert part.image_ids.tolist() == whole.image_ids[20:23].tolist()
    for index in range(3):
        for name in ("boxes", "labels"):
            there = getattr(whole, name)[whole.box_image == 20 + index]
            np.testing.assert_array_equal(getattr(part, name)[part.box_image == index], there)
    assert part.federation.verified_absent.tolist() == [[0, 0], [2, 2]]
    assert part.federation.not_exhaustive.tolist() == [[1, 5]]


@pytest.mark.parametrize("step", [1, 9, 35, 100])
def test_parts_are_slices(scenes, step):
    whole = read_coco(scenes)
    rng = np.random.default_rng(0)
    federation = Federation(*(rng.integers(0, 70, (n, 2)).astype(np.int32) for n in (200, 0)))
    whole = replace(whole, federation=federation)
    parts = split_images(whole, step)
    assert sum(part.num_images for part in parts) == 70
    for number, part in enumerate(parts):
        alone = slice_images(whole, number * step, min((number + 1) * step, 70))
        for name in ("image_ids", "image_files", "image_sizes", "box_image", "boxes", "labels"):
            assert np.array_equal(getattr(part, name), getattr(alone, name)), name
        for name in ("verified_absent", "not_exhaustive"):
            assert sorted(getattr(part.federation, name).tolist()) == sorted(getattr(alone.federation, name).tolist())


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_rows_hold_the_hierarchy_of_the_whole_table(scenes, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    whole = read_coco(scenes)
    tree = build_hierarchy(whole)
    problems = []
    rows = list(hierarchy_rows(whole, problems))
    assert problems == []
    assert [row["image_id"] for row in rows] == whole.image_ids.tolist()
    first = np.searchsorted(whole.box_image, np.arange(whole.num_images))

    def everywhere(name):
        """Local node numbers back to those of the whole set, image by image."""
        pairs = [
            [index if node == 0 else whole.num_images + first[index] + node - 1 for node in pair]
            for index, row in enumerate(rows)
            for pair in row[name]
        ]
        return sorted(pairs)

    assert everywhere("direct") == tree.direct.tolist()
    assert everywhere("ancestry") == tree.ancestry.tolist()
    boxes = slice(whole.num_images, None)
    assert [level for row in rows for level in row["levels"]] == tree.level[boxes].tolist()
    assert [flag for row in rows for flag in row["is_scene_duplicate"]] == tree.node_is_scene_duplicate[boxes].tolist()
    assert [label for row in rows for label in row["labels"]] == whole.labels.tolist()
    assert np.array_equal([box for row in rows for box in row["boxes"]], whole.boxes)
    assert set(rows[0]) == set(hierarchy_features(whole.class_names))


def test_images_that_cannot_be_used_are_left_out_and_told(tmp_path):
    files = [tmp_path / f"{index}.jpg" for index in range(4)]
    picture().save(files[0])
    files[1].write_text("no image")
    picture().resize((20, 20)).save(files[2])
    picture().save(files[3])
    federation = Federation(np.array([[1, 1], [3, 1]], np.int32), np.array([[0, 0]], np.int32))
    problems = []
    rows = list(hierarchy_rows(table(files, federation=federation), problems))
    assert [row["image_id"] for row in rows] == ["i0", "i3"]
    assert [(problem.reason, problem.where) for problem in problems] == [
        ("not_an_image", str(files[1])),
        ("size_mismatch", str(files[2])),
    ]
    assert [row["verified_absent"] for row in rows] == [[], [1]]
    assert [row["not_exhaustive"] for row in rows] == [[0], []]


def test_a_relative_table_becomes_pixels_of_the_image_as_it_is(tmp_path):
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file, size in zip(files, [(100, 50), (30, 60)], strict=True):
        picture().resize(size).save(file)
    shares = np.array([(0, 0, 0.5, 1), (0.1, 0.1, 0.3, 0.5)] * 2, dtype=np.float32)
    relative = table(files, boxes=shares, relative=True, image_sizes=np.ones((2, 2), np.int32))
    rows = list(hierarchy_rows(relative, []))
    assert [(row["width"], row["height"]) for row in rows] == [(100, 50), (30, 60)]
    np.testing.assert_allclose(rows[0]["boxes"], [(0, 0, 50, 50), (10, 5, 30, 25)], rtol=1e-6)
    np.testing.assert_allclose(rows[1]["boxes"], [(0, 0, 15, 60), (3, 6, 9, 30)], rtol=1e-6)
    assert [row["direct"] for row in rows] == [[[0, 1], [1, 2]]] * 2


def test_images_without_boxes_are_rows_too(tmp_path):
    files = [tmp_path / f"{index}.jpg" for index in range(3)]
    for file in files:
        picture().save(file)
    one = table(
        files,
        box_image=np.array([1], np.int32),
        boxes=np.array([(0, 0, WIDTH, HEIGHT)], np.float32),
        labels=np.array([1], np.int32),
    )
    rows = list(hierarchy_rows(one, []))
    assert [row["labels"] for row in rows] == [[], [1], []]
    assert [row["ancestry"] for row in rows] == [[], [], []]
    assert rows[1]["is_scene_duplicate"] == [True]
    assert rows[1]["levels"] == [0]
