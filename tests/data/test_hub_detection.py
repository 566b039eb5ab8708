import io
import pickle

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from PIL import ExifTags, Image

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.hub_detection import read_hub_detection
from hf_hyperbolic.data.image_reader import ImageReader, drop_broken
from hf_hyperbolic.data.images import BrokenImageError

pytestmark = pytest.mark.usefixtures("own_cache")

WIDTH, HEIGHT = 100, 80
NAMES = ["house", "door"]


def content(size=(WIDTH, HEIGHT), mode="RGB", suffix="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, suffix, **options)
    return buffer.getvalue()


def rows(objects, **columns):
    """Rows of one image each, with the objects given."""
    made = [{"image": {"bytes": content(), "path": None}, "objects": value} for value in objects]
    for key, values in columns.items():
        for row, value in zip(made, values, strict=True):
            row[key] = value
    return made


def listed(bbox, category):
    return {"bbox": bbox, "category": category}


# unmistakably xywh: as corners the last has no area, and as centre the first leaves the image
GOOD = [listed([[0, 0, 50, 40], [60, 50, 40, 30]], [0, 1]), listed([], []), listed([[90, 70, 8, 9]], [1])]


def as_dicts(objects):
    """An object of lists as a list of objects."""
    return [dict(zip(objects, values, strict=True)) for values in zip(*objects.values(), strict=True)]


def good_features(category, as_list, image):
    objects = {"bbox": List(Value("float32")), "category": category}
    objects = List(objects) if as_list else {key: List(value) for key, value in objects.items()}
    return Features({"image": image, "objects": objects})


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("kind", ["label", "text", "number"])
def test_every_form_of_objects_gives_the_same_table(as_list, decode, kind):
    category = {"label": ClassLabel(names=NAMES), "text": Value("string"), "number": Value("int64")}[kind]
    objects = [
        listed(value["bbox"], [NAMES[number] if kind == "text" else number for number in value["category"]])
        for value in GOOD
    ]
    if as_list:
        objects = [as_dicts(value) for value in objects]
    features = good_features(category, as_list, datasets.Image(decode=decode))
    table, images = read_hub_detection(Dataset.from_list(rows(objects), features=features))
    assert table.class_names == {"label": ("house", "door"), "text": ("door", "house"), "number": ("0", "1")}[kind]
    names = [table.class_names[label] for label in table.labels]
    assert names == (["0", "1", "1"] if kind == "number" else ["house", "door", "door"])
    assert table.boxes.tolist() == [[0, 0, 50, 40], [60, 50, 100, 80], [90, 70, 98, 79]]
    assert table.box_image.tolist() == [0, 0, 2]
    assert table.image_sizes.tolist() == [[WIDTH, HEIGHT]] * 3
    assert table.image_ids.tolist() == ["0", "1", "2"]
    assert table.problems == ()
    with Image.open(io.BytesIO(content())) as stored:
        np.testing.assert_array_equal(np.asarray(ImageReader(table, load=images)[2]), np.asarray(stored.convert("RGB")))


def good(**columns):
    return Dataset.from_list(rows(GOOD, **columns)).cast(
        Features(
            {
                **Dataset.from_list(rows(GOOD, **columns)).features,
                **good_features(ClassLabel(names=NAMES), False, datasets.Image()),
            }
        )
    )


def test_a_coco_file_as_hub_rows_is_the_same_table(scenes):
    expected = read_coco(scenes)
    made = []
    for index in range(expected.num_images):
        mine = expected.box_image == index
        corners = expected.boxes[mine]
        made.append(
            {
                "image": str(expected.image_files[index]),
                "image_id": index,
                "width": 96,
                "height": 96,
                "objects": {
                    "bbox": np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist(),
                    "category": expected.labels[mine].tolist(),
                },
            }
        )
    dataset = Dataset.from_list(made).cast_column("image", datasets.Image())
    table, images = read_hub_detection(dataset, class_names=expected.class_names)
    np.testing.assert_allclose(table.boxes, expected.boxes, atol=1e-4)
    for name in ("box_image", "labels", "image_sizes", "image_ids", "class_names"):
        assert np.array_equal(getattr(table, name), getattr(expected, name)), name
    reader = ImageReader(table, load=images)
    np.testing.assert_array_equal(np.asarray(reader[5]), np.asarray(ImageReader(expected)[5]))


@pytest.mark.parametrize("typed", [True, False])
def test_a_stream_is_read_up_to_max_images(typed):
    stream = good().to_iterable_dataset()
    if not typed:
        stream = stream.map(lambda row: row)
        assert stream.features is None
    with pytest.raises(ValueError, match=r"is streamed, .* pass max_images="):
        read_hub_detection(stream)
    table, images = read_hub_detection(stream, max_images=2, box_format="xywh")
    assert table.num_images == 2
    assert table.boxes.tolist() == [[0, 0, 50, 40], [60, 50, 100, 80]]
    assert ImageReader(table, load=images)[1].size == (WIDTH, HEIGHT)


def test_a_folder_is_loaded(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    good(image_id=["a", "b", "c"]).to_parquet(folder / "train.parquet")
    table, _ = read_hub_detection(folder)
    assert table.image_ids.tolist() == ["a", "b", "c"]
    assert table.class_names == tuple(NAMES)
    good().to_parquet(folder / "test.parquet")
    with pytest.raises(ValueError, match="has several splits: pass split=, one of"):
        read_hub_detection(str(folder))
    table, _ = read_hub_detection(str(folder), split="test")
    assert table.image_ids.tolist() == ["0", "1", "2"]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_images_of_any_mode_are_read(mode):
    suffix = "JPEG" if mode == "CMYK" else "PNG"
    made = rows(GOOD)
    made[0]["image"]["bytes"] = content(mode=mode, suffix=suffix)
    table, images = read_hub_detection(Dataset.from_list(made))
    assert ImageReader(table, load=images)[0].mode == "RGB"


def test_sizes_are_those_shown():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    made = rows([listed([[10, 60, 60, 40]], [0])])
    made[0]["image"]["bytes"] = content(suffix="JPEG", exif=exif)
    table, images = read_hub_detection(Dataset.from_list(made), box_format="xywh")
    assert table.image_sizes.tolist() == [[HEIGHT, WIDTH]]
    assert table.boxes.tolist() == [[10, 60, 70, 100]]
    assert ImageReader(table, load=images)[0].size == (HEIGHT, WIDTH)


def test_bad_objects_are_counted():
    nan = float("nan")
    objects = [
        listed([[0, 0, 50, 40], [1, 2, 3], None, [nan, 0, 5, 5], [60, 50, 40, 30], [5, 5, 0, 9]], [0] * 6),
        listed([[0, 0, 50, 40]], [0, 1]),
        listed([[0, 0, 50, 40], [60, 50, 40, 30], [60, 50, 2, 2]], [2, None, 1]),
        None,
    ]
    features = good_features(Value("int64"), False, datasets.Image())
    dataset = Dataset.from_list(rows(objects), features=features)
    table, _ = read_hub_detection(dataset, box_format="xywh", class_names=NAMES)
    assert table.image_ids.tolist() == ["0", "2", "3"]
    assert table.boxes.tolist() == [[0, 0, 50, 40], [60, 50, 100, 80]]
    assert dict(table.skipped()) == {
        "ragged_objects": 1,
        "bad_category": 2,
        "not_a_box": 3,
        "zero_area": 1,
        "too_small": 1,
    }
    where = {problem.reason: str(problem) for problem in table.problems}
    assert "#1: the image is skipped: it has 1 bbox, 2 category" in where["ragged_objects"]
    assert "#2: object 1: category None is none of the 2 classes" in where["bad_category"]
    assert "#0: object 5: bbox [5.0, 5.0, 0.0, 9.0]" in where["zero_area"]


def test_crowds_are_left_out_unless_asked_for():
    made = rows([{**listed([[0, 0, 50, 40], [60, 50, 40, 30]], [0, 1]), "iscrowd": [0, 1]}])
    table, _ = read_hub_detection(Dataset.from_list(made), box_format="xywh")
    assert (table.num_boxes, table.skipped()["crowd"]) == (1, 1)
    table, _ = read_hub_detection(Dataset.from_list(made), box_format="xywh", include_crowd=True)
    assert table.num_boxes == 2


def test_objects_given_twice_are_counted():
    twice = [listed(value["bbox"] * 2, value["category"] * 2) for value in GOOD]
    features = good_features(ClassLabel(names=NAMES), False, datasets.Image())
    expected, _ = read_hub_detection(good())
    table, _ = read_hub_detection(Dataset.from_list(rows(twice), features=features))
    assert table.skipped() == {"repeated_box": 3}
    assert "#0: object 2: bbox [0.0, 0.0, 50.0, 40.0]: the same box" in str(table.problems[0])
    for column in ("boxes", "labels", "box_image"):
        np.testing.assert_array_equal(getattr(table, column), getattr(expected, column))


def test_thousands_of_bad_objects_are_few_problems():
    objects = [listed([[0, 0, 50, 40]] + [[5, 5, 0, 9]] * 3000, [0] * 3001)]
    table, _ = read_hub_detection(Dataset.from_list(rows(objects)), box_format="xywh")
    assert (table.skipped(), len(table.problems)) == ({"zero_area": 3000}, 21)


def test_bad_images_are_counted(tmp_path):
    made = rows(GOOD, image_id=["a", "a", "b"])
    table, _ = read_hub_detection(Dataset.from_list(made), box_format="xywh")
    assert table.image_ids.tolist() == ["a", "b"]
    assert table.boxes.tolist()[-1] == [90, 70, 98, 79]
    assert table.skipped() == {"repeated_image": 1}

    made = rows(GOOD)
    made[0]["image"] = {"bytes": b"no image", "path": None}
    made[1]["image"] = {"bytes": None, "path": str(tmp_path / "none.jpg")}
    table, _ = read_hub_detection(Dataset.from_list(made), box_format="xywh")
    assert table.image_ids.tolist() == ["2"]
    assert dict(table.skipped()) == {"not_an_image": 1, "missing_file": 1, "skipped_image": 2}
    assert "#0: object 1: its image was skipped" in str(table.problems[-1])


def test_stated_sizes_are_taken_and_wrong_ones_come_to_light_on_reading():
    dataset = good(width=[WIDTH] * 3, height=[HEIGHT, HEIGHT, 2 * HEIGHT])
    table, images = read_hub_detection(dataset, box_format="xywh")
    assert table.image_sizes.tolist() == [[WIDTH, HEIGHT]] * 2 + [[WIDTH, 2 * HEIGHT]]
    with pytest.raises(BrokenImageError, match="shows 100 x 80 pixels but"):
        ImageReader(table, load=images)[2]
    sound = drop_broken(table, num_workers=2, load=images)
    assert sound.image_ids.tolist() == ["0", "1"]
    # names go with the rows, so images are still those of the table
    assert images(str(sound.image_files[1])) == content()


def test_the_reader_travels_to_another_process():
    table, images = read_hub_detection(good())
    reader = pickle.loads(pickle.dumps(ImageReader(table, load=images)))
    assert reader[0].size == (WIDTH, HEIGHT)


def test_what_does_not_fit_has_one_clear_error():
    with pytest.raises(ValueError, match=r"no column 'objects', only image; .*rename_column"):
        read_hub_detection(good().remove_columns("objects"))
    with pytest.raises(ValueError, match="no column 'image', only objects"):
        read_hub_detection(good().remove_columns("image"))
    with pytest.raises(ValueError, match=r"objects has no category: expected one of category, .*; found bbox, name"):
        read_hub_detection(Dataset.from_list(rows([{"bbox": [[1, 2, 3, 4]], "name": ["x"]}])))
    with pytest.raises(ValueError, match="objects must be a list of objects"):
        read_hub_detection(Dataset.from_list(rows([[1, 2]])))
    with pytest.raises(ValueError, match="the format of its 1 boxes cannot be told"):
        read_hub_detection(Dataset.from_list(rows([listed([[10, 10, 20, 20]], [0])])))
    with pytest.raises(ValueError, match=r"none of its 1 objects is a usable box \(skipped: 1 not_a_box\)"):
        read_hub_detection(Dataset.from_list(rows([listed([[10, 10, 20]], [0])])))
    with pytest.raises(ValueError, match="none of its 0 objects is a usable box: there are none"):
        read_hub_detection(good().select([1]))
    with pytest.raises(ValueError, match="box_format 'coco': choose auto or one of"):
        read_hub_detection(good(), box_format="coco")
    with pytest.raises(ValueError, match="max_images must be at least 1"):
        read_hub_detection(good(), max_images=0)
    with pytest.raises(TypeError, match="expected a data set, or its name or path, got list"):
        read_hub_detection([])
