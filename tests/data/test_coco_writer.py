import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hf_hyperbolic.data.boxes import BoxTable, Federation, drop_images
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.coco_writer import write_coco
from hf_hyperbolic.data.images import BrokenImageError

COLUMNS = ("image_ids", "image_files", "image_sizes", "box_image", "boxes", "labels")


@pytest.fixture
def table(tmp_path):
    files = [tmp_path / "images" / "b.png", tmp_path / "images" / "sub" / "a.png", tmp_path / "far" / "c.png"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(file)
    return BoxTable(
        image_ids=np.array(["12", "3", "5"]),
        image_files=np.array([str(file) for file in files]),
        image_sizes=np.array([[40, 30]] * 3, dtype=np.int32),
        box_image=np.array([0, 0, 2], dtype=np.int32),
        boxes=np.array([[0.1, 0.2, 39.7, 30], [1 / 3, 2 / 3, 5, 7], [0, 0, 40, 30]], dtype=np.float32),
        labels=np.array([2, 0, 2], dtype=np.int32),
        class_names=("zebra", "unused", "ant"),
    )


def same(found, table):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name), err_msg=name)
    assert found.class_names == table.class_names
    assert found.problems == ()


@pytest.mark.parametrize("place", ["out.json", "deep/er/out.json"])
def test_what_is_written_is_read_again(place, table, tmp_path):
    file = write_coco(table, tmp_path / place)
    assert file == tmp_path / place
    # images elsewhere are read only where that is said
    same(read_coco(file, None if place == "out.json" else tmp_path), table)
    assert [path.name for path in file.parent.glob("*.json")] == ["out.json"], "nothing is left beside it"


def test_files_below_are_named_relative_to_where_the_reader_looks(table, tmp_path):
    def names(of):
        file = tmp_path / "out.json"
        images = json.loads(write_coco(of, file).read_text())["images"]
        file.unlink()
        return [image["id"] for image in images], [image["file_name"] for image in images]

    assert names(drop_images(table, [2], [])) == ([12, 3], ["b.png", "sub/a.png"])
    # one folder must do for all of them
    assert names(table) == ([12, 3, 5], table.image_files.tolist())


@pytest.mark.parametrize("ids", [["007", "3", "5"], ["a", "b", "c"], ["1", "2", "٣"]])
def test_ids_that_are_no_plain_numbers_stay_text(ids, table, tmp_path):
    table = replace(table, image_ids=np.array(ids))
    same(read_coco(write_coco(table, tmp_path / "out.json")), table)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shares=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=6))
def test_boxes_come_back_to_the_bit(shares, table, tmp_path):
    corners = np.sort(np.array(shares, dtype=np.float32).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    boxes = (corners * np.array([40, 30, 40, 30], dtype=np.float32)).astype(np.float32)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1)]
    # no reader gives a box twice
    boxes = np.unique(boxes, axis=0)
    if not len(boxes):
        return
    many = replace(table, boxes=boxes, box_image=np.zeros(len(boxes), np.int32), labels=np.zeros(len(boxes), np.int32))
    (tmp_path / "out.json").unlink(missing_ok=True)
    same(read_coco(write_coco(many, tmp_path / "out.json"), min_size=0), many)


def test_a_relative_table_is_written_in_pixels(table, tmp_path):
    shares = replace(
        table,
        relative=True,
        boxes=(table.boxes / np.array([40, 30, 40, 30])).astype(np.float32),
        image_sizes=np.ones((3, 2), dtype=np.int32),
    )
    found = read_coco(write_coco(shares, tmp_path / "out.json"))
    assert found.image_sizes.tolist() == [[40, 30]] * 3
    np.testing.assert_allclose(found.boxes, table.boxes, atol=1e-5)
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(BrokenImageError, match=r"b\.png: no such file"):
        write_coco(shares, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


def test_a_federation_is_written_as_lvis_does(table, tmp_path):
    federation = Federation(np.array([[0, 1], [2, 0]], dtype=np.int32), np.array([[0, 2]], dtype=np.int32))
    file = write_coco(replace(table, federation=federation), tmp_path / "out.json")
    images = json.loads(file.read_text())["images"]
    assert [image["neg_category_ids"] for image in images] == [[2], [], [1]]
    assert [image["not_exhaustive_category_ids"] for image in images] == [[3], [], []]


def test_an_existing_file_is_never_replaced(table, tmp_path):
    file = tmp_path / "out.json"
    file.write_text("masks and licences")
    with pytest.raises(FileExistsError, match=r"out\.json exists and is not replaced: write to another file"):
        write_coco(table, file)
    assert file.read_text() == "masks and licences"
    file.unlink()
    file.symlink_to(tmp_path / "not-yet-there.json")
    with pytest.raises(FileExistsError):
        write_coco(table, file)


def test_images_without_a_file_are_refused(table, tmp_path):
    with pytest.raises(ValueError, match="1 images have no file, the first is 3"):
        write_coco(replace(table, image_files=np.array(["a", "", "c"])), tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
