import numpy as np
import pytest
from PIL import Image, ImageColor

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.draw import BOX_COLOURS, PairExample, box_colour, contact_sheet, draw_boxes, pair_sheet
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader

GREY = (120, 120, 120)
CELL = 100


def colours(picture):
    return {colour for _, colour in picture.getcolors(1 << 20)}


def rgb(level):
    return ImageColor.getrgb(box_colour(level))


@pytest.fixture
def reader(tmp_path):
    """Two images of 200 x 100; in the first a box in a box, in the second none."""
    files = []
    for name in ("one", "two"):
        Image.new("RGB", (200, 100), GREY).save(tmp_path / f"{name}.png")
        files.append(str(tmp_path / f"{name}.png"))
    return ImageReader(
        BoxTable(
            image_ids=np.array(["one", "two"]),
            image_files=np.array(files),
            image_sizes=np.array([[200, 100]] * 2, dtype=np.int32),
            box_image=np.array([0, 0], dtype=np.int32),
            boxes=np.array([[20, 20, 180, 80], [60, 40, 100, 60]], dtype=np.float32),
            labels=np.array([0, 1], dtype=np.int32),
            class_names=("a class with a very, very long name", "b"),
        )
    )


def test_levels_have_colours_of_their_own():
    assert [box_colour(level) for level in range(1, 6)] == list(BOX_COLOURS)
    assert box_colour(9) == BOX_COLOURS[-1]


def test_outlines_lie_on_the_box():
    image = Image.new("RGB", (50, 50), GREY)
    draw_boxes(image, np.array([[10, 12, 40, 45]]), [2])
    pixels = np.asarray(image)
    painted = np.argwhere((pixels == rgb(2)).all(axis=-1))
    assert painted.min(axis=0).tolist() == [12, 10]
    assert painted.max(axis=0).tolist() == [45, 40]
    assert tuple(pixels[30, 20]) == GREY


def test_contact_sheet(reader):
    hierarchy = build_hierarchy(reader.table)
    sheet = contact_sheet(hierarchy, reader, rows=1, columns=2, cell=CELL)
    assert sheet.width == 2 * CELL + 3 * 8
    first, second = sheet.crop((8, 8, 8 + CELL, 8 + CELL)), sheet.crop((16 + CELL, 8, 16 + 2 * CELL, 8 + CELL))
    assert {rgb(1), rgb(2)} <= colours(first), "each box in the colour of its level"
    assert not {rgb(1), rgb(2)} & colours(second)
    legend = sheet.crop((0, sheet.height - 22, sheet.width, sheet.height))
    assert {rgb(1), rgb(2)} <= colours(legend)
    assert rgb(3) not in colours(legend), "no level that does not occur"
    # the image is shrunk by half to 100 x 50, in the middle of its square: the outer box spans x 10..90, y 35..65
    red = np.argwhere((np.asarray(first) == rgb(1)).all(axis=-1))
    assert red.min(axis=0).tolist() == [35, 10]
    assert red.max(axis=0).tolist() == [65, 90]


def test_fewer_images_than_squares(reader):
    hierarchy = build_hierarchy(reader.table)
    assert contact_sheet(hierarchy, reader, rows=5, columns=2, cell=CELL).height < 2 * CELL
    with pytest.raises(ValueError, match="must be at least 1, got 0, 4 and 320"):
        contact_sheet(hierarchy, reader, rows=0)


def test_the_seed_decides(reader):
    hierarchy = build_hierarchy(reader.table)
    sheets = [contact_sheet(hierarchy, reader, 1, 1, seed, CELL).tobytes() for seed in range(8)]
    assert len(set(sheets)) == 2
    assert contact_sheet(hierarchy, reader, 1, 1, 0, CELL).tobytes() == sheets[0]


def test_a_broken_image_leaves_its_square_empty(reader, tmp_path):
    (tmp_path / "one.png").write_bytes(b"no image")
    sheet = contact_sheet(build_hierarchy(reader.table), reader, rows=1, columns=2, cell=CELL)
    assert rgb(1) not in colours(sheet.crop((8, 8, 8 + CELL, 8 + CELL)))


def test_pairs_fill_their_square(reader):
    boxes = reader.table.boxes
    sheet = pair_sheet([PairExample(0, boxes[0], boxes[1], "a > b")], reader, cell=CELL, margin=0)
    square = np.asarray(sheet.crop((8, 8, 8 + CELL, 8 + CELL)))
    parent = np.argwhere((square == rgb(1)).all(axis=-1))
    # 160 x 60 pixels around the parent become 100 x 38 (37.5), in the middle
    assert parent.min(axis=0).tolist() == [31, 0]
    assert parent.max(axis=0).tolist() == [68, 99]
    child = np.argwhere((square == rgb(2)).all(axis=-1))
    np.testing.assert_allclose(child.min(axis=0), [31 + 20 / 1.6, 40 / 1.6], atol=1)
    np.testing.assert_allclose(child.max(axis=0), [31 + 40 / 1.6, 80 / 1.6], atol=1)


def test_no_pair_no_sheet(reader):
    with pytest.raises(ValueError, match="no pair to show"):
        pair_sheet([], reader)
