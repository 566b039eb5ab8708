import copy
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.images import BrokenImageError

WIDTH, HEIGHT = 100, 80
# ids with gaps and out of order, one image without boxes, boxes of an image not together, a file in a subfolder
GOOD = {
    "images": [
        {"id": 7, "file_name": "seven.jpg", "width": WIDTH, "height": HEIGHT},
        {"id": 3, "file_name": "sub/three.jpg", "width": WIDTH, "height": HEIGHT},
        {"id": 5, "file_name": "five.jpg", "width": WIDTH, "height": HEIGHT},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 90, "bbox": [10.5, 20, 30, 40.25], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 50, 50], "iscrowd": 0},
        {"id": 3, "image_id": 3, "category_id": 17, "bbox": [0, 0, 100, 80], "iscrowd": 0},
    ],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 2, "name": "bicycle"}, {"id": 17, "name": "cat"}],
}


@pytest.fixture
def document():
    return copy.deepcopy(GOOD)


@pytest.fixture
def write(tmp_path):
    """Writes an annotation file beside a folder `images` that holds the three images."""
    for name in ("seven.jpg", "sub/three.jpg", "five.jpg"):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(file)

    def to_file(content, name="instances.json") -> Path:
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return to_file


def test_reads_what_is_written(write, tmp_path):
    table = read_coco(write(GOOD))
    assert table.image_ids.tolist() == ["7", "3", "5"]
    assert table.image_files.tolist() == [
        str(tmp_path / "images" / name) for name in ("seven.jpg", "sub/three.jpg", "five.jpg")
    ]
    assert table.image_sizes.tolist() == [[WIDTH, HEIGHT]] * 3
    assert table.class_names == ("bicycle", "cat", "toothbrush")
    assert table.box_image.tolist() == [0, 1, 1]
    assert table.labels.tolist() == [0, 2, 1]
    assert table.boxes.tolist() == [[0, 0, 50, 50], [10.5, 20, 40.5, 60.25], [0, 0, 100, 80]]
    assert table.problems == ()
    for name, dtype in {"image_sizes": "int32", "box_image": "int32", "boxes": "float32", "labels": "int32"}.items():
        assert getattr(table, name).dtype == dtype


def test_reading_again_gives_the_same(write):
    first, second = read_coco(write(GOOD)), read_coco(write(GOOD))
    for name in ("image_ids", "image_files", "image_sizes", "box_image", "boxes", "labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_image_folder_defaults_and_is_made_absolute(write, tmp_path, monkeypatch, document):
    document["images"] = document["images"][:1]
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "sub" / "seven.jpg")
    # given, relative
    file = write(document)
    monkeypatch.chdir(tmp_path)
    assert read_coco(file.name, "images/sub").image_files.tolist() == [str(tmp_path / "images" / "sub" / "seven.jpg")]
    assert read_coco(file.name).image_files.tolist() == [str(tmp_path / "images" / "seven.jpg")]
    # no folder `images` beside the file
    beside = tmp_path / "images" / "instances.json"
    file.rename(beside)
    assert read_coco(beside).image_files.tolist() == [str(tmp_path / "images" / "seven.jpg")]
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        read_coco(beside, tmp_path / "nowhere")


# Each case: what is changed, the problem's reason, a word of its text, and how many boxes and images are left.
def change_box(bbox):
    return lambda d: d["annotations"][1].update(bbox=bbox)


SKIPS = [
    (lambda d: d["images"][0].update(file_name="gone.jpg"), {"missing_file": 1, "skipped_image": 1}, "gone.jpg", 2, 2),
    (lambda d: d["images"][0].update(file_name=None), {"no_file_name": 1, "skipped_image": 1}, "None", 2, 2),
    (lambda d: d["images"][0].pop("id"), {"no_image_id": 1, "unknown_image": 1}, "images[0]", 2, 2),
    (lambda d: d["annotations"][1].update(image_id=99), {"unknown_image": 1}, "image_id 99", 2, 3),
    (lambda d: d["annotations"][1].update(image_id=[7]), {"unknown_image": 1}, "image_id [7]", 2, 3),
    (lambda d: d["annotations"][1].update(category_id=99), {"unknown_category": 1}, "category_id 99", 2, 3),
    (lambda d: d["annotations"][1].update(iscrowd=1), {"crowd": 1}, "include_crowd=True", 2, 3),
    (change_box([1, 2, 3]), {"not_a_box": 1}, "[1, 2, 3]", 2, 3),
    (change_box(None), {"not_a_box": 1}, "None", 2, 3),
    (change_box([1, 2, "3", 4]), {"not_a_box": 1}, "'3'", 2, 3),
    (change_box([1, 2, True, 4]), {"not_a_box": 1}, "True", 2, 3),
    (change_box([1, 2, float("nan"), 4]), {"not_a_box": 1}, "nan", 2, 3),
    (change_box([1, 2, float("inf"), 4]), {"not_a_box": 1}, "inf", 2, 3),
    (change_box([1, 2, 10**400, 4]), {"not_a_box": 1}, "four finite numbers", 2, 3),
    (change_box([1, 2, 0, 40]), {"zero_area": 1}, "[1, 2, 0, 40]", 2, 3),
    (change_box([60, 2, -20, 40]), {"zero_area": 1}, "must be positive", 2, 3),
    (change_box([WIDTH, 2, 20, 40]), {"outside_image": 1}, "lies outside", 2, 3),
    (change_box([-30, 2, 20, 40]), {"outside_image": 1}, "lies outside", 2, 3),
    (change_box([5, 2, 3.9, 40]), {"too_small": 1}, "min_size", 2, 3),
    (change_box([-10, 2, 13, 40]), {"too_small": 1}, "min_size", 2, 3),
]


@pytest.mark.parametrize(("change", "reasons", "word", "boxes", "images"), SKIPS)
def test_bad_rows_are_skipped_and_counted(write, document, change, reasons, word, boxes, images):
    change(document)
    table = read_coco(write(document))
    assert table.skipped() == reasons
    assert any(word in str(problem) for problem in table.problems)
    assert all("instances.json" in problem.where for problem in table.problems)
    assert (table.num_boxes, table.num_images) == (boxes, images)
    # what is left is untouched
    assert table.boxes.tolist() == [[10.5, 20, 40.5, 60.25], [0, 0, 100, 80]]
    assert table.image_ids[table.box_image].tolist() == ["3", "3"]


def test_row_of_a_problem_is_named(write, document):
    document["annotations"][1]["bbox"] = []
    (problem,) = read_coco(write(document)).problems
    assert problem.where.endswith("instances.json: annotations[1] (id 2)")


@pytest.mark.parametrize(
    ("bbox", "expected", "counted"),
    [
        ([-10, 20, 40, 200], [0, 20, 30, HEIGHT], 1),
        ([60, 50, 50, 20], [60, 50, WIDTH, 70], 1),
        # two-decimal rounding of x and width is no fault of the annotator's
        ([60, 50, 40.01, 20], [60, 50, WIDTH, 70], 0),
    ],
)
def test_boxes_over_the_border_are_cut_and_counted(write, document, bbox, expected, counted):
    document["annotations"][1]["bbox"] = bbox
    table = read_coco(write(document))
    assert table.boxes[0].tolist() == expected
    assert table.skipped() == Counter({"clipped": 1} if counted else {})


def test_crowds_and_small_boxes_on_demand(write, document):
    document["annotations"][1].update(iscrowd=1, bbox=[5, 5, 2, 2])
    assert read_coco(write(document), include_crowd=True).skipped() == {"too_small": 1}
    table = read_coco(write(document), include_crowd=True, min_size=0)
    assert table.boxes[0].tolist() == [5, 5, 7, 7]
    # positive, but gone in float32: never a box without area
    document["annotations"][1].update(iscrowd=0, bbox=[50, 5, 1e-9, 2])
    assert read_coco(write(document), min_size=0).skipped() == {"too_small": 1}


def test_categories_of_one_name_are_one_class(write, document):
    document["categories"].append({"id": 91, "name": "bicycle"})
    document["annotations"][0]["category_id"] = 91
    table = read_coco(write(document))
    assert table.class_names == ("bicycle", "cat", "toothbrush")
    assert table.labels.tolist() == [0, 0, 1]


def test_text_ids(write, document):
    for row in document["images"]:
        row["id"] = f"image {row['id']}"
    for row in document["annotations"]:
        row["image_id"] = f"image {row['image_id']}"
    table = read_coco(write(document))
    assert table.image_ids.tolist() == ["image 7", "image 3", "image 5"]
    assert table.num_boxes == 3


FAULTS = [
    ("", "the file is empty"),
    (" ", r"not valid JSON at line 1, column 2: the file ends early"),
    (json.dumps(GOOD)[:-40], r"not valid JSON at line 1, column \d+: the file ends early"),
    (json.dumps(GOOD, indent=1)[:200], r"not valid JSON at line \d+, column \d+: the file ends early"),
    ("<annotation>", r"not valid JSON at line 1, column 1: Expecting value"),
    ('{"images": [,]}', r"not valid JSON at line 1, column 13"),
    ("[1, 2]", "not a COCO instances file: expected an object with images, annotations, categories, got a list"),
    ("{}", "lacks images, annotations, categories; found nothing"),
    ("[" * 200_000, "JSON that cannot be read: .*recursion"),
    ('{"images": ' + "9" * 5000 + "}", "JSON that cannot be read: .*4300 digits"),
    ({"images": [], "info": {}}, "lacks annotations, categories; found images, info"),
    (GOOD | {"annotations": {"1": 2}}, "annotations must be a list of objects"),
    (GOOD | {"images": [1]}, "images must be a list of objects"),
    (GOOD | {"images": GOOD["images"] + GOOD["images"][:1]}, r"images\[3\] repeats id 7"),
    (GOOD | {"images": [*GOOD["images"], GOOD["images"][0] | {"id": "7"}]}, "image id 7 stands both as a number"),
    (GOOD | {"categories": GOOD["categories"] * 2}, r"categories\[3\] repeats id 90"),
    (GOOD | {"categories": [{"id": 1}]}, r"categories\[0\] must have an id \(whole number or text\) and a name"),
    (GOOD | {"images": []}, "the split is empty"),
    (GOOD | {"annotations": []}, "none of its 0 annotations is a usable box"),
    (GOOD | {"categories": []}, r"none of its 3 annotations is a usable box \(skipped: 3 unknown_category\)"),
]


@pytest.mark.parametrize(("content", "message"), FAULTS)
def test_faults_of_the_file_are_one_clear_error(write, content, message):
    with pytest.raises(ValueError, match=rf"instances\.json.*{message}"):
        read_coco(write(content))


def test_binary_and_absent_annotation_files(write, tmp_path):
    with pytest.raises(ValueError, match=r"seven\.jpg: line 1 is not UTF-8 \(byte 0xff\)"):
        read_coco(write(GOOD).parent / "images" / "seven.jpg")
    with pytest.raises(FileNotFoundError, match=r"absent\.json: no such file"):
        read_coco(tmp_path / "absent.json")


def test_encodings_and_gzip(write, document):
    document["categories"][0]["name"] = "Zahnbürste"
    file = write(document)
    expected = read_coco(file)
    assert expected.class_names[-1] == "Zahnbürste"
    text = json.dumps(document, ensure_ascii=False, indent=1)
    for content in (text.encode("utf-8-sig"), gzip.compress(text.encode())):
        file.write_bytes(content)
        found = read_coco(file)
        assert found.class_names == expected.class_names
        assert found.boxes.tolist() == expected.boxes.tolist()
    line = text[: text.index("Zahnb")].count("\n") + 1
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"instances\.json: line {line} is not UTF-8 \(byte 0xfc\): save the file as"):
        read_coco(file)
    file.write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=r"instances\.json: not UTF-8 but UTF-16"):
        read_coco(file)
    file.write_bytes(gzip.compress(text.encode())[:-20])
    with pytest.raises(ValueError, match=r"instances\.json: the gzip data is damaged or cut short"):
        read_coco(file)


def test_whole_numbers_may_be_written_as_floats(write, document):
    expected = read_coco(write(document))
    for row in document["images"] + document["annotations"] + document["categories"]:
        row |= {key: float(row[key]) for key in ("id", "image_id", "category_id") if key in row}
    document["annotations"].append({"image_id": 3.5, "category_id": 2.0, "bbox": [0, 0, 9, 9]})
    document["annotations"].append({"image_id": float("nan"), "category_id": 2.0, "bbox": [0, 0, 9, 9]})
    table = read_coco(write(document))
    assert table.skipped() == {"unknown_image": 2}
    for name in ("image_ids", "boxes", "labels", "class_names"):
        assert np.array_equal(getattr(table, name), getattr(expected, name)), name
    document["images"].append(document["images"][0] | {"id": 7})
    with pytest.raises(ValueError, match="repeats id 7"):
        read_coco(write(document))


def test_no_image_on_disk_names_the_folder_and_the_way_out(write, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    message = r"none of its 3 images can be used \(skipped: 3 missing_file\); .*elsewhere: pass image_folder="
    with pytest.raises(ValueError, match=message):
        read_coco(write(GOOD), tmp_path / "elsewhere")


def rotated(file):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, exif=exif)


def test_sizes_not_stated_are_read_from_the_images(write, document, tmp_path):
    rotated(tmp_path / "images" / "five.jpg")
    for row, width in zip(document["images"], (None, 0, "wide"), strict=True):
        row["width"] = width
    assert read_coco(write(document)).image_sizes.tolist() == [[WIDTH, HEIGHT], [WIDTH, HEIGHT], [HEIGHT, WIDTH]]
    (tmp_path / "images" / "five.jpg").write_text("no image")
    table = read_coco(write(document))
    assert table.skipped() == {"not_an_image": 1}
    assert table.image_ids.tolist() == ["7", "3"]


def test_check_images_skips_broken_and_mismatched_files(write, document, tmp_path):
    images = tmp_path / "images"
    rotated(images / "seven.jpg")
    whole = (images / "five.jpg").read_bytes()
    (images / "five.jpg").write_bytes(whole[: len(whole) // 2])
    file = write(document)
    assert read_coco(file).num_images == 3
    table = read_coco(file, check_images=True)
    assert table.skipped() == {"size_mismatch": 1, "truncated": 1, "skipped_image": 1}
    assert table.image_ids.tolist() == ["3"]
    assert table.box_image.tolist() == [0, 0]
    mismatch = next(problem for problem in table.problems if problem.reason == "size_mismatch")
    assert mismatch.where == str(images / "seven.jpg")
    assert "shows 80 x 100 pixels but stands as 100 x 80 in instances.json" in mismatch.detail
    assert "annotated before rotation by its EXIF tag: remove the tag or rotate the boxes" in mismatch.detail
    with pytest.raises(BrokenImageError, match=r"seven\.jpg: shows 80 x 100 .* before rotation by its EXIF tag"):
        ImageReader(read_coco(file))[0]


def test_other_mismatches_do_not_blame_exif(write, document, tmp_path):
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "images" / "seven.jpg")
    rotated(tmp_path / "images" / "five.jpg")
    document["images"][2].update(width=WIDTH // 2, height=HEIGHT // 2)
    problems = read_coco(write(document), check_images=True).problems
    assert [problem.reason for problem in problems[:2]] == ["size_mismatch"] * 2
    assert not any("EXIF" in problem.detail for problem in problems)
    assert all("restore the original file" in problem.detail for problem in problems[:2])


def test_thousands_of_bad_rows_are_few_problems(write, document):
    document["annotations"] += [{"image_id": 3, "category_id": 2, "bbox": [0, 0, 1, number]} for number in range(5000)]
    table = read_coco(write(document))
    assert table.skipped() == {"too_small": 4999, "zero_area": 1}
    assert len(table.problems) == 22
    assert sum("and 4,978 more" in str(problem) for problem in table.problems) == 1


def test_images_of_coco_are_found_by_their_address_too(write, document, tmp_path):
    document["images"][0].update(file_name="gone.jpg", coco_url="http://images.cocodataset.org/sub/three.jpg")
    document["images"][1].update(file_name=None, coco_url="http://images.cocodataset.org/val2017/five.jpg")
    del document["images"][2]
    images = tmp_path / "images"
    table = read_coco(write(document))
    assert table.image_files.tolist() == [str(images / "sub/three.jpg"), str(images / "five.jpg")]


def test_an_image_given_twice_is_counted(write, document):
    document["images"][1]["file_name"] = "sub/../seven.jpg"
    table = read_coco(write(document))
    assert table.image_ids.tolist() == ["7", "5"]
    assert table.skipped() == {"repeated_file": 1, "skipped_image": 2}
    assert "images[1] (id 3): " in str(table.problems[0])
    assert "seven.jpg is the image with id 7 already" in table.problems[0].detail
    # without images nothing is known of their files
    for row in document["images"]:
        row["file_name"] = "gone.jpg"
    assert read_coco(write(document), require_images=False).num_images == 3


@pytest.mark.parametrize("name", ["../private.jpg", "sub/../../private.jpg", "/private.jpg", "../images2/private.jpg"])
def test_no_name_leads_out_of_the_image_folder(name, write, document, tmp_path):
    private = tmp_path / "secret" / "private.jpg"
    for file in (private, tmp_path / "secret" / "images2" / "private.jpg"):
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(file)
    folder = tmp_path / "secret" / "images"
    folder.symlink_to(tmp_path / "images")
    document["images"][0]["file_name"] = str(private) if name.startswith("/") else name
    table = read_coco(write(document, "images/instances.json"), folder)
    assert table.skipped() == {"outside_folder": 1, "skipped_image": 1}
    assert f"{document['images'][0]['file_name']} leads out of {folder}" in table.problems[0].detail
    assert table.image_ids.tolist() == ["3", "5"]


def test_links_in_the_image_folder_are_followed(write, document, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "images" / "seven.jpg").rename(tmp_path / "far" / "7.jpg")
    (tmp_path / "images" / "seven.jpg").symlink_to(tmp_path / "far" / "7.jpg")
    (tmp_path / "images" / "link").symlink_to(tmp_path / "images" / "sub")
    document["images"][1]["file_name"] = "link/three.jpg"
    table = read_coco(write(document), check_images=True)
    assert (table.num_images, table.problems) == (3, ())


def test_boxes_given_twice_are_counted_and_make_no_more_pairs(write, document):
    once = read_coco(write(document))
    document["annotations"] += [row | {"id": row["id"] + 10} for row in document["annotations"]]
    document["annotations"] += [{"id": 1, "image_id": 5, "category_id": 2, "bbox": [0, 0, 50, 50]}]
    table = read_coco(write(document))
    # the third one's id is that of another box, which is no reason to lose it
    assert table.skipped() == {"repeated_box": 3, "repeated_id": 1}
    assert table.problems[-1].where.endswith("annotations[5] (id 13)")
    assert "annotations[0] has this id too" in next(p for p in table.problems if p.reason == "repeated_id").detail
    assert table.boxes[:-1].tolist() == once.boxes.tolist()
    assert len(build_hierarchy(table).direct) == len(build_hierarchy(once).direct) + 1
    # another class or one more bit is another box
    document["annotations"] = [*GOOD["annotations"], GOOD["annotations"][1] | {"category_id": 17, "id": 9}]
    document["annotations"] += [GOOD["annotations"][1] | {"bbox": [0, 0, 50, 50.00001], "id": 10}]
    assert read_coco(write(document)).num_boxes == 5


json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-200, 200) | st.floats(-200, 200) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=6,
)
row = st.fixed_dictionaries(
    {},
    optional={
        "image_id": st.sampled_from([3, 5, 7]) | json_value,
        "category_id": st.sampled_from([2, 17, 90]) | json_value,
        "bbox": st.lists(st.floats(-150, 150), min_size=4, max_size=4) | json_value,
        "iscrowd": st.sampled_from([0, 1]),
    },
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(row, max_size=8))
def test_whatever_the_rows_each_is_a_sound_box_or_a_counted_problem(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    for image in GOOD["images"]:
        (folder / image["file_name"]).parent.mkdir(exist_ok=True)
        (folder / image["file_name"]).touch()
    file = folder / "instances.json"
    file.write_text(json.dumps(GOOD | {"annotations": GOOD["annotations"] + rows}))
    table = read_coco(file)
    skipped = sum(count for reason, count in table.skipped().items() if reason != "clipped")
    assert table.num_boxes + skipped == 3 + len(rows)
    sides = table.boxes[:, 2:] - table.boxes[:, :2]
    assert (sides >= 4).all()
    assert (table.boxes >= 0).all()
    assert (table.boxes[:, 2:] <= table.image_sizes[table.box_image]).all()


DATA = os.environ.get("HF_HYPERBOLIC_DATA")
real_data = pytest.mark.skipif(DATA is None, reason="HF_HYPERBOLIC_DATA is not set")
REAL = ["ccp/instances_train.json", "coco/instances_train.json", "formats/coco/instances_val2017.json"]


@pytest.mark.real_data
@real_data
@pytest.mark.parametrize("name", REAL)
def test_real_annotations_against_the_raw_rows(name):
    file = Path(str(DATA)) / name
    table = read_coco(file, check_images=True, min_size=0)
    raw = json.loads(file.read_text())
    assert set(table.skipped()) <= {"crowd", "clipped"}
    rows = [annotation for annotation in raw["annotations"] if not annotation["iscrowd"]]
    assert table.num_boxes == len(rows)
    assert table.num_images == len(raw["images"])
    by_id = {category["id"]: category["name"] for category in raw["categories"]}
    expected = Counter((str(annotation["image_id"]), by_id[annotation["category_id"]]) for annotation in rows)
    names = np.array(table.class_names)[table.labels]
    assert Counter(zip(table.image_ids[table.box_image].tolist(), names.tolist(), strict=True)) == expected
    area = ((table.boxes[:, 2] - table.boxes[:, 0]) * (table.boxes[:, 3] - table.boxes[:, 1])).astype(np.float64)
    # float32 corners and two-decimal overshoot of the border
    total = sum(annotation["bbox"][2] * annotation["bbox"][3] for annotation in rows)
    assert area.sum() == pytest.approx(total, rel=1e-5)


@pytest.mark.real_data
@real_data
@pytest.mark.parametrize("name", REAL)
def test_real_images_have_levels_and_crops(name):
    table = read_coco(Path(str(DATA)) / name)
    hierarchy = build_hierarchy(table)
    assert hierarchy.level.max() >= 2
    reader = ImageReader(table)
    for image in range(min(5, table.num_images)):
        nodes = np.flatnonzero((hierarchy.node_image == image) & hierarchy.active())
        crops = [crop(reader[image], hierarchy.node_box[node], 32, mode="pad") for node in nodes]
        assert all(cut.shape == (32, 32, 3) and cut.std() > 0 for cut in crops)
