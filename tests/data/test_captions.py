"""Captions in COCO's layout: what is read, what is left out and counted, what is refused."""

import copy
import gzip
import json

import numpy as np
import pytest

from hf_hyperbolic.data.boxes import BoxTable, count_problems, drop_images
from hf_hyperbolic.data.captions import Captions, captions_file, read_captions

# rows as in captions_val2017.json
GOOD = {
    "info": {"description": "COCO 2017 Dataset"},
    "licenses": [],
    "images": [
        {"license": 3, "file_name": "000000179765.jpg", "height": 480, "width": 640, "id": 179765},
        {"license": 4, "file_name": "000000190236.jpg", "height": 640, "width": 429, "id": 190236},
        {"license": 1, "file_name": "000000331352.jpg", "height": 640, "width": 427, "id": 331352},
    ],
    "annotations": [
        {"image_id": 331352, "id": 49, "caption": "A small closet sized toilet\n  in need of a cleaning. "},
        {"image_id": 179765, "id": 38, "caption": "A black Honda motorcycle parked in front of a garage."},
        {"image_id": 179765, "id": 182, "caption": "A Honda motorcycle parked in a grass driveway"},
    ],
}


@pytest.fixture
def document():
    return copy.deepcopy(GOOD)


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="captions_val2017.json"):
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return to_file


def table(ids=("179765", "190236", "331352"), files=None) -> BoxTable:
    files = [f"/photos/{int(one):012d}.jpg" for one in ids] if files is None else files
    return BoxTable(
        np.array(ids), np.array(files), np.full((len(ids), 2), 100, np.int32), np.zeros(1, np.int32),
        np.array([[0, 0, 9, 9]], np.float32), np.zeros(1, np.int32), ("thing",),
    )  # fmt: skip


def test_captions_stand_by_image_in_the_order_of_the_file(write):
    found = read_captions(write(GOOD), table())
    assert found.texts == (
        "A black Honda motorcycle parked in front of a garage.",
        "A Honda motorcycle parked in a grass driveway",
        "A small closet sized toilet in need of a cleaning.",
    )
    assert found.image.tolist() == [0, 0, 2]
    assert found.problems == ()
    assert found.summary() == "3 captions of 2 images, 1 images without one; left out nothing"


def test_ids_may_be_text_and_images_need_not_be_listed_and_files_may_be_packed(write, tmp_path, document):
    del document["images"]
    for row in document["annotations"]:
        row["image_id"] = str(row["image_id"])
    packed = tmp_path / "captions.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(document).encode()))
    assert read_captions(packed, table()).image.tolist() == [0, 0, 2]


def test_what_is_left_out_is_counted_and_named(write, document):
    document["annotations"] += [
        {"image_id": 5, "id": 1, "caption": "of an image that is not listed"},
        {"image_id": 190236, "id": 2, "caption": "of one that was left out of the table"},
        {"image_id": 179765, "id": 3, "caption": " \n"},
        {"image_id": 179765, "id": 4, "caption": 7},
        {"image_id": 179765, "id": 5},
        {"image_id": [1], "id": 6, "caption": "of what?"},
        {"image_id": float("nan"), "id": 7, "caption": "of no number"},
        {"image_id": 179765, "id": 8, "caption": "a text cut within a smiley \ud83d"},
    ]
    file = write(document)
    found = read_captions(file, drop_images(table(), [1], []))
    assert found.texts[0] == GOOD["annotations"][1]["caption"]
    assert found.image.tolist() == [0, 0, 1]
    counts = {
        "unknown_image": 1, "other_image": 1, "empty_caption": 1, "no_caption": 2, "no_image_id": 2,
        "half_character": 1,
    }  # fmt: skip
    assert found.summary().endswith(
        "left out 1 empty_caption, 1 half_character, 2 no_caption, 2 no_image_id, 1 other_image, 1 unknown_image"
    )
    assert count_problems(found.problems) == counts
    unknown = next(problem for problem in found.problems if problem.reason == "unknown_image")
    assert unknown.where == f"{file}: annotations[3] (id 1)"
    assert unknown.detail == "image_id 5: image_id is not among the images of the file"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: [], "expected an object with images and annotations"),
        (lambda d: {"images": []}, "expected an object with images and annotations"),
        (lambda d: d | {"annotations": {}}, "annotations must be a list of objects"),
        (lambda d: d | {"annotations": ["a dog"]}, "annotations must be a list of objects"),
        (lambda d: d | {"images": [7]}, "images must be a list of objects"),
        (lambda d: d | {"annotations": []}, "none of its 0 captions is of the 3 images"),
        (
            lambda d: d | {"annotations": [{"id": 1, "image_id": 179765, "bbox": [0, 0, 4, 4]}]},
            "no annotation has a caption; COCO's are in captions_train2017.json",
        ),
        (
            lambda d: d | {"annotations": [{"id": 1, "image_id": 4, "caption": "a dog"}]},
            r"none of its 1 captions is of the 3 images at hand \(skipped: 1 unknown_image\)",
        ),
    ],
)
def test_what_is_no_captions_file_is_refused(write, document, change, message):
    file = write(change(document))
    with pytest.raises(ValueError, match=message) as error:
        read_captions(file, table())
    assert str(file) in str(error.value)


def test_a_file_that_is_missing_or_cut_short_is_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json: no such file"):
        read_captions(tmp_path / "nothing.json", table())
    with pytest.raises(ValueError, match=r"captions_val2017\.json: not valid JSON at line 1.*cut short"):
        read_captions(write(json.dumps(GOOD)[:-40]), table())


def test_captions_of_other_images_of_the_same_ids_are_refused(write):
    file = write(GOOD)
    others = [f"/photos/holiday{number}.jpg" for number in range(3)]
    with pytest.raises(ValueError, match=r"other names \(000000179765\.jpg, where the boxes have holiday0\.jpg\)"):
        read_captions(file, table(files=others))
    # nothing can be said where files are not at hand, or are rows of a Parquet file
    for files in ([""] * 3, [f"/d/train-0-of-1.parquet#{row}" for row in range(3)]):
        assert len(read_captions(file, table(files=files)).texts) == 3


def test_the_captions_of_a_split_are_found(write, tmp_path):
    file = write(GOOD)
    assert captions_file(file, "train") == file
    assert captions_file(tmp_path, "val") == file
    with pytest.raises(FileNotFoundError, match=r"no captions of train: expected captions_train\.json or COCO's"):
        captions_file(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match=r"nothing\.json: no such file or folder: give a captions file"):
        captions_file(tmp_path / "nothing.json", "val")
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    inner = write(GOOD, "coco/annotations/captions_train2017.json")
    assert captions_file(tmp_path / "coco", "train") == inner
    write(GOOD, "captions_val.json")
    with pytest.raises(ValueError, match=r"captions_val\.json, captions_val2017\.json may all be the captions of val"):
        captions_file(tmp_path, "val")


def test_the_captions_of_another_split_are_refused(write):
    train = write(GOOD, "captions_train.json")
    # COCO has no captions of its test images: those of val serve parts of it that others call test
    assert captions_file(train, "test") == train
    validation = write(GOOD, "captions_validation.json")
    assert captions_file(validation, "val") == validation
    with pytest.raises(
        ValueError, match=r"captions_train\.json are the captions of another split: captions_validation"
    ):
        captions_file(train, "val")
    small = write(GOOD, "captions_val_small.json")
    assert captions_file(small, "val") == small


def test_a_draw_gives_one_caption_of_each_image():
    captions = Captions(tuple("abcdef"), np.array([0, 0, 0, 2, 4, 4]), 5)
    seen = set()
    for seed in range(60):
        drawn = captions.draw(2, np.random.default_rng(seed))
        images = captions.image[drawn]
        assert len({*images.tolist()}) == 2
        seen |= {*drawn.tolist()}
    assert seen == set(range(6))
    assert sorted(captions.image[captions.draw(99, np.random.default_rng(0))].tolist()) == [0, 2, 4]


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"has shape \(1,\), expected \(2,\)"):
        Captions(("a", "b"), np.zeros(1, np.int64), 1)
    for image in ([1, 0], [0, 2], [-1, 0]):
        with pytest.raises(ValueError, match=r"sorted and lie in \[0, 2\)"):
            Captions(("a", "b"), np.array(image), 2)
