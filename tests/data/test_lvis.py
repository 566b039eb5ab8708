import copy
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_hyperbolic.data.boxes import drop_images
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader, find_broken
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.lvis import read_lvis

WIDTH, HEIGHT = 100, 80


def v1_image(number: int, split: str, absent: list, not_exhaustive: list) -> dict:
    return {
        "id": number,
        "coco_url": f"http://images.cocodataset.org/{split}/{number:012d}.jpg",
        "width": WIDTH,
        "height": HEIGHT,
        "neg_category_ids": absent,
        "not_exhaustive_category_ids": not_exhaustive,
    }


def box(number: int, image: int, category: int, bbox: list) -> dict:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "area": 1.0, "segmentation": []}


# as v1 writes it: a validation file whose images lie in both of COCO's folders, categories with synonyms
V1 = {
    "images": [
        v1_image(39, "val2017", [9], [2]),
        v1_image(7, "train2017", [], []),
        v1_image(8, "train2017", [5, 2], []),
    ],
    "annotations": [box(1, 8, 9, [0, 0, 50, 50]), box(2, 39, 2, [10, 10, 20, 20]), box(3, 39, 5, [1, 2, 30, 40])],
    "categories": [
        {"id": number, "name": name, "synonyms": [name], "synset": f"{name}.n.01", "def": "", "frequency": frequency}
        for number, name, frequency in ((9, "zebra", "f"), (2, "acorn", "r"), (5, "bow_(weapon)", "c"))
    ],
}


@pytest.fixture
def document():
    return copy.deepcopy(V1)


@pytest.fixture
def write(tmp_path):
    def to_file(content) -> Path:
        (tmp_path / "lvis.json").write_text(json.dumps(content))
        return tmp_path / "lvis.json"

    return to_file


@pytest.fixture
def coco_root(tmp_path):
    """COCO's folders with the three images."""
    for name in ("val2017/000000000039.jpg", "train2017/000000000007.jpg", "train2017/000000000008.jpg"):
        file = tmp_path / "coco" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(file)
    return tmp_path / "coco"


def test_v1_finds_images_by_coco_url(write, coco_root):
    table = read_lvis(write(V1), coco_root, check_images=True)
    assert table.problems == ()
    assert table.image_ids.tolist() == ["39", "7", "8"]
    assert [os.path.relpath(file, coco_root) for file in table.image_files] == [
        "val2017/000000000039.jpg",
        "train2017/000000000007.jpg",
        "train2017/000000000008.jpg",
    ]
    assert table.class_names == ("acorn", "bow_(weapon)", "zebra")
    assert table.box_image.tolist() == [0, 0, 2]
    assert table.labels.tolist() == [0, 1, 2]
    assert table.boxes.tolist() == [[10, 10, 30, 30], [1, 2, 31, 42], [0, 0, 50, 50]]


def test_v1_finds_images_that_lie_in_one_folder(write, coco_root, tmp_path):
    (tmp_path / "flat").mkdir()
    for file in coco_root.glob("*/*.jpg"):
        file.rename(tmp_path / "flat" / file.name)
    table = read_lvis(write(V1), tmp_path / "flat")
    assert [os.path.basename(file) for file in table.image_files] == [f"{n:012d}.jpg" for n in (39, 7, 8)]
    assert table.problems == ()


def test_v05_has_a_file_name_which_goes_before_the_url(write, coco_root, document):
    document["images"][0]["file_name"] = "COCO_val2014_000000000039.jpg"
    Image.new("RGB", (WIDTH, HEIGHT)).save(coco_root / "COCO_val2014_000000000039.jpg")
    # this one's name of 2014 is nowhere, but its image is
    document["images"][1]["file_name"] = "COCO_val2014_000000000007.jpg"
    table = read_lvis(write(document), coco_root)
    assert [os.path.relpath(file, coco_root) for file in table.image_files[:2]] == [
        "COCO_val2014_000000000039.jpg",
        "train2017/000000000007.jpg",
    ]


def rows(pairs):
    return sorted(map(tuple, pairs.tolist()))


def test_what_annotators_looked_for(write, coco_root):
    federation = read_lvis(write(V1), coco_root).federation
    # image rows 0, 1, 2 are ids 39, 7, 8; classes 0, 1, 2 are category ids 2, 5, 9
    assert rows(federation.verified_absent) == [(0, 2), (2, 0), (2, 1)]
    assert rows(federation.not_exhaustive) == [(0, 0)]
    assert federation.verified_absent.dtype == federation.not_exhaustive.dtype == np.int32


def test_federation_follows_skipped_and_dropped_images(write, coco_root):
    (coco_root / "val2017" / "000000000039.jpg").unlink()
    table = read_lvis(write(V1), coco_root)
    assert table.skipped() == {"missing_file": 1, "skipped_image": 2}
    assert rows(table.federation.verified_absent) == [(1, 0), (1, 1)]
    assert rows(table.federation.not_exhaustive) == []
    assert rows(drop_images(table, [0], []).federation.verified_absent) == [(0, 0), (0, 1)]


BAD_LISTS = [
    ({"neg_category_ids": [9, 99]}, {"unknown_federated_category": 1}, "neg_category_ids lists 99"),
    ({"neg_category_ids": [9, "9", [9], None]}, {"unknown_federated_category": 3}, r"lists \[9\]"),
    (
        {"not_exhaustive_category_ids": [2, 1.5]},
        {"unknown_federated_category": 1},
        "not_exhaustive_category_ids lists 1.5",
    ),
    ({"neg_category_ids": [9, 2]}, {"absent_but_present": 1}, "lists 'acorn', which is in the image"),
    ({"neg_category_ids": [9, 9]}, {}, ""),
]


@pytest.mark.parametrize(("change", "reasons", "word"), BAD_LISTS)
def test_bad_federated_ids_are_counted_and_the_others_kept(write, coco_root, document, change, reasons, word):
    document["images"][0].update(change)
    table = read_lvis(write(document), coco_root)
    assert table.skipped() == reasons
    assert rows(table.federation.verified_absent) == [(0, 2), (2, 0), (2, 1)]
    assert rows(table.federation.not_exhaustive) == [(0, 0)]
    for problem in table.problems:
        assert "lvis.json: image" in problem.where
    if word:
        assert any(problem for problem in table.problems if re.search(word, problem.detail))


def test_absent_and_not_exhaustive_contradict(write, coco_root, document):
    document["images"][1].update(neg_category_ids=[5], not_exhaustive_category_ids=[5])
    table = read_lvis(write(document), coco_root)
    assert table.skipped() == {"absent_but_present": 1}
    assert (1, 1) not in rows(table.federation.verified_absent)
    assert (1, 1) in rows(table.federation.not_exhaustive)


@pytest.mark.parametrize("value", [None, 9, "9", {"9": 1}])
def test_lists_that_are_no_lists(write, coco_root, document, value):
    document["images"][0]["neg_category_ids"] = value
    table = read_lvis(write(document), coco_root)
    assert table.skipped() == {"no_federation": 1}
    assert table.problems[0].where.endswith("lvis.json: images[0] (id 39)")
    assert rows(table.federation.verified_absent) == [(2, 0), (2, 1)]


def test_a_file_of_coco_is_no_file_of_lvis(write, coco_root, document):
    for row in document["images"]:
        del row["neg_category_ids"], row["not_exhaustive_category_ids"]
    with pytest.raises(ValueError, match=r"lvis\.json: not LVIS: no image has neg_category_ids .* read_coco reads"):
        read_lvis(write(document), coco_root)


def test_thousands_of_bad_ids_are_few_problems(write, coco_root, document):
    document["images"][1]["neg_category_ids"] = list(range(1000, 3000))
    table = read_lvis(write(document), coco_root)
    assert table.skipped() == {"unknown_federated_category": 2000}
    assert len(table.problems) == 21


def test_without_images_the_way_out_is_named(write, tmp_path):
    with pytest.raises(
        ValueError, match=r"none of its 3 images .* 3 missing_file.*image_folder= .* require_images=False"
    ):
        read_lvis(write(V1), tmp_path)


@pytest.mark.parametrize("read", [read_lvis, read_coco])
def test_annotations_alone(write, coco_root, read, document, tmp_path):
    (coco_root / "train2017" / "000000000008.jpg").unlink()
    document["images"][1].update(width=None, coco_url=None)
    table = read(write(document), coco_root, require_images=False, check_images=True)
    # the one without a size is of no use
    assert table.skipped() == {"image_not_at_hand": 1, "no_size": 1}
    assert table.image_files.tolist() == [str(coco_root / "val2017" / "000000000039.jpg"), ""]
    assert table.image_sizes.tolist() == [[WIDTH, HEIGHT]] * 2
    assert build_hierarchy(table).num_nodes == 5
    reader = ImageReader(table)
    assert reader[0].size == (WIDTH, HEIGHT)
    with pytest.raises(BrokenImageError, match="image 8: no file: its annotations were read without images"):
        reader[1]
    assert [problem.reason for problem in find_broken(table)] == ["missing_file"]


DATA = os.environ.get("HF_HYPERBOLIC_DATA")


@pytest.mark.real_data
@pytest.mark.skipif(DATA is None, reason="HF_HYPERBOLIC_DATA is not set")
def test_official_sample_against_its_raw_rows():
    file = Path(str(DATA)) / "formats" / "lvis" / "lvis_val_100.json"
    raw = json.loads(file.read_text())
    names = {row["id"]: row["name"] for row in raw["categories"]}
    table = read_lvis(file, min_size=0, require_images=False)
    assert table.skipped() == {"image_not_at_hand": len(raw["images"])}
    assert len(table.class_names) == len(raw["categories"]) == 1230
    assert (table.num_images, table.num_boxes) == (len(raw["images"]), len(raw["annotations"])) == (100, 977)
    found = zip(table.image_ids[table.box_image], table.labels, table.boxes.tolist(), strict=True)
    expected = [
        (str(row["image_id"]), names[row["category_id"]], x, y, x + width, y + height)
        for row in raw["annotations"]
        for x, y, width, height in [row["bbox"]]
    ]
    read = sorted((str(image), table.class_names[label], *corners) for image, label, corners in found)
    for one, other in zip(read, sorted(expected), strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], abs=0.011)
    for pairs, key in (
        (table.federation.verified_absent, "neg_category_ids"),
        (table.federation.not_exhaustive, "not_exhaustive_category_ids"),
    ):
        listed = {(str(row["id"]), names[category]) for row in raw["images"] for category in row[key]}
        assert {(table.image_ids[image], table.class_names[label]) for image, label in pairs} == listed
        assert len(pairs) == sum(len(row[key]) for row in raw["images"]) > 0

    small = sum(min(row["bbox"][2:]) < 4 for row in raw["annotations"])
    assert read_lvis(file, require_images=False).skipped()["too_small"] == small > 0
    assert build_hierarchy(table).level.max() >= 2
