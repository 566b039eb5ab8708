"""Every layout is recognised by tiny files; readers but COCO's are stood in for by ones that record their call."""

import gzip
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_hyperbolic.data import read as module
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.read import FORMATS, read_boxes, read_source

INSTANCES = {
    "images": [{"id": 1, "file_name": "one.jpg", "width": 20, "height": 20}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 10, 10]}],
    "categories": [{"id": 3, "name": "cat"}],
}
LVIS = INSTANCES | {"images": [INSTANCES["images"][0] | {"neg_category_ids": [], "not_exhaustive_category_ids": []}]}
BOX_HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"


def write(path: Path, content="") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20)).save(path)
    return path


@pytest.fixture
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    picture(folder / "one.jpg")
    return read_coco(write(folder / "instances.json", INSTANCES))


@pytest.fixture
def calls(monkeypatch, table):
    """Stands in for the readers: gives (function name, arguments) of each call."""
    made = []

    def stand_in(module_name, name, result):
        def reader(**arguments):
            made.append((name, arguments))
            return result

        fake = types.ModuleType(module_name)
        setattr(fake, name, reader)
        monkeypatch.setitem(sys.modules, module_name, fake)

    stand_in("hf_hyperbolic.data.coco", "read_coco", table)
    stand_in("hf_hyperbolic.data.lvis", "read_lvis", table)
    stand_in("hf_hyperbolic.data.voc", "read_voc", table)
    stand_in("hf_hyperbolic.data.open_images", "read_open_images", table)
    stand_in("hf_hyperbolic.data.parquet", "read_parquet", (table, lambda name: b"content"))
    stand_in("hf_hyperbolic.data.hub_detection", "read_hub_detection", table)
    return made


# where the annotations lie, and the image
COCO_LAYOUTS = {
    "beside": ("instances_val.json", "one.jpg"),
    "images": ("instances_val.json", "images/one.jpg"),
    "official": ("annotations/instances_val2017.json", "val2017/one.jpg"),
    "official, images": ("annotations/instances_val2017.json", "images/val2017/one.jpg"),
    "annotations and images": ("annotations/instances_val.json", "images/one.jpg"),
    "a folder each": ("val/_annotations.coco.json", "val/one.jpg"),
}


@pytest.mark.parametrize("layout", COCO_LAYOUTS)
@pytest.mark.parametrize("other", [False, True])
def test_coco_folders(layout, other, tmp_path, calls):
    annotations, image = COCO_LAYOUTS[layout]
    file = write(tmp_path / annotations, INSTANCES)
    picture(tmp_path / image)
    if other:
        # another split, and annotations of another kind, as COCO has them
        write(tmp_path / annotations.replace("val", "train"), INSTANCES)
        write(tmp_path / annotations.replace("instances", "captions").replace("_annotations.", "notes."), {})
    for source in (tmp_path, str(tmp_path), file):
        assert read_source(source, "val", min_size=2, include_crowd=True).format == "coco"
        name, arguments = calls.pop()
        assert name == "read_coco"
        assert arguments == {
            "annotation_file": file,
            "min_size": 2,
            "include_crowd": True,
        }


@pytest.mark.parametrize("layout", COCO_LAYOUTS)
def test_a_coco_folder_is_really_read(layout, tmp_path):
    annotations, image = COCO_LAYOUTS[layout]
    annotation_file = write(tmp_path / annotations, INSTANCES)
    file = picture(tmp_path / image)
    # from the folder and, by the same search, from the file alone
    for found in (read_boxes(tmp_path, "val"), read_coco(annotation_file)):
        assert found.image_files.tolist() == [str(file)]
        assert found.boxes.tolist() == [[0, 0, 10, 10]]


def test_image_names_with_the_split_in_them_are_not_looked_for_twice(tmp_path):
    document = INSTANCES | {"images": [INSTANCES["images"][0] | {"file_name": "val/one.jpg"}]}
    write(tmp_path / "instances_val.json", document)
    file = picture(tmp_path / "val" / "one.jpg")
    assert read_boxes(tmp_path, "val").image_files.tolist() == [str(file)]


def test_absolute_image_names(tmp_path):
    file = picture(tmp_path / "far" / "one.jpg")
    document = INSTANCES | {"images": [INSTANCES["images"][0] | {"file_name": str(file)}]}
    annotations = write(tmp_path / "a" / "some.json", document)
    with pytest.raises(ValueError, match=r"none of its 1 images can be used \(skipped: 1 outside_folder\)"):
        read_boxes(annotations)
    for folder in (tmp_path, tmp_path / "far", "/"):
        assert read_boxes(annotations, image_folder=folder).image_files.tolist() == [str(file)]
    # of the same set
    annotations = write(tmp_path / "annotations" / "some.json", document)
    assert read_boxes(annotations).image_files.tolist() == [str(file)]


def test_a_given_image_folder_wins(tmp_path):
    write(tmp_path / "instances_val.json", INSTANCES)
    picture(tmp_path / "images" / "one.jpg")
    file = picture(tmp_path / "large" / "one.jpg")
    assert read_boxes(tmp_path, "val", image_folder=tmp_path / "large").image_files.tolist() == [str(file)]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("lvis_v1_val.json", INSTANCES),
        ("annotations/lvis_v1_val.json", LVIS),
        ("lvis_val_100.json", LVIS),
        ("instances_val.json", LVIS),
    ],
)
def test_lvis(name, document, tmp_path, calls):
    file = write(tmp_path / name, document)
    write(tmp_path / "lvis_v1_train.json", LVIS)
    for source in (tmp_path, file):
        assert read_source(source, "val").format == "lvis"
        assert calls.pop() == ("read_lvis", {"annotation_file": file, "min_size": 4.0})


@pytest.mark.parametrize("name", ["some.json", "some.json.gz"])
def test_compressed_json(name, tmp_path, calls):
    for content, format in ((INSTANCES, "coco"), (LVIS, "lvis")):
        (tmp_path / name).write_bytes(gzip.compress(json.dumps({"info": "x" * 5_000_000} | content).encode()))
        assert read_source(tmp_path / name).format == format
    # what is wrong is the reader's to say
    (tmp_path / name).write_bytes(b"\x1f\x8bno gzip")
    assert read_source(tmp_path / name).format == "coco"


def test_lvis_images_are_found_by_their_address(tmp_path):
    image = LVIS["images"][0] | {"coco_url": "http://images.cocodataset.org/train2017/one.jpg"}
    del image["file_name"]
    write(tmp_path / "annotations" / "lvis_v1_val.json", LVIS | {"images": [image]})
    file = picture(tmp_path / "images" / "train2017" / "one.jpg")
    assert read_boxes(tmp_path, "val").image_files.tolist() == [str(file)]


@pytest.mark.parametrize("below", ["", "VOC2007", "VOCdevkit/VOC2012"])
def test_voc(below, tmp_path, calls):
    root = tmp_path / below
    write(root / "Annotations" / "1.xml")
    assert read_source(tmp_path, include_parts=False).format == "voc"
    assert calls.pop() == ("read_voc", {"folder": root, "split": None, "min_size": 4.0, "include_parts": False})
    # without lists a split is only a name
    read_source(tmp_path, "train")
    assert calls.pop()[1]["split"] is None
    write(root / "ImageSets" / "Main" / "val.txt")
    read_source(tmp_path, "validation")
    assert calls.pop()[1]["split"] == "val"
    with pytest.raises(ValueError, match="image_folder has no meaning for format voc"):
        read_source(tmp_path, image_folder=tmp_path)


@pytest.mark.parametrize(
    "name", ["validation-annotations-bbox.csv", "annotations/oidv6-validation-annotations-bbox.csv.gz"]
)
def test_open_images(name, tmp_path, calls):
    file = write(tmp_path / name, "\ufeff" + BOX_HEADER)
    if name.endswith(".gz"):
        file.write_bytes(gzip.compress(file.read_bytes()))
    write(tmp_path / "train-annotations-bbox.csv", BOX_HEADER)
    write(tmp_path / "validation-annotations-human-imagelabels-boxable.csv", "ImageID,Source,LabelName,Confidence\n")
    classes = write(file.parent / "class-descriptions-boxable.csv", "/m/1,Cat\n")
    write(file.parent / "a-class-descriptions.csv", "/m/1,Cat\n")
    expected = {"box_file": file, "image_folder": None, "class_file": classes}
    assert read_source(tmp_path, "val").format == "open_images"
    assert calls.pop() == ("read_open_images", expected)
    picture(tmp_path / "images" / "validation" / "one.jpg")
    read_source(tmp_path, "validation")
    assert calls.pop()[1]["image_folder"] == tmp_path / "images" / "validation"
    read_source(file)
    assert calls.pop()[1]["box_file"] == file


def parquet(path: Path, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: [value] for name, value in columns.items()}), path)
    return path


def test_exported_parquet(tmp_path, calls):
    for shard in range(2):
        parquet(tmp_path / "data" / f"val-0000{shard}-of-00002.parquet", image_id="1", ancestry=[[0, 1]])
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", image_id="1", ancestry=[[0, 1]])
    source = read_source(tmp_path, "val")
    assert source.format == "parquet"
    assert source.load("x") == b"content"
    assert calls.pop() == ("read_parquet", {"folder": tmp_path, "split": "val"})
    # by an alias, and by the folder of the files itself
    read_source(tmp_path / "data", "validation")
    assert calls.pop() == ("read_parquet", {"folder": tmp_path, "split": "val"})
    with pytest.raises(ValueError, match=r"several ways.*split train.*split val"):
        read_source(tmp_path)


def test_parquet_that_is_none(tmp_path):
    write(tmp_path / "data" / "val-00000-of-00001.parquet", "text")
    with pytest.raises(ValueError, match="not a Parquet file"):
        read_source(tmp_path, "val")


def test_detection_sets(tmp_path, calls, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_source("me/chess", "train", box_format="xywh").format == "hub"
    expected = {"dataset": "me/chess", "split": "train", "min_size": 4.0}
    assert calls.pop() == ("read_hub_detection", expected | {"box_format": "xywh"})
    # a name without an owner is taken for a path unless the format is named
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_source("chess", "train")
    read_source("chess", "train", format="hub")
    assert calls.pop()[1] == expected | {"dataset": "chess"}
    # a folder of the same layout
    parquet(tmp_path / "local" / "data" / "train-00000-of-00001.parquet", objects=[{"bbox": [1.0], "category": 1}])
    read_source(tmp_path / "local", "train")
    assert calls.pop()[1] == expected | {"dataset": str(tmp_path / "local")}


@pytest.mark.parametrize("error", [FileNotFoundError("it doesn't exist"), ConnectionError("no network")])
def test_a_mistyped_path_is_called_so(error, monkeypatch):
    def read_hub_detection(**_):
        raise error

    fake = types.ModuleType("hf_hyperbolic.data.hub_detection")
    fake.read_hub_detection = read_hub_detection
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    with pytest.raises(FileNotFoundError, match=f"dta/coco: no such file or folder here, and .*{error}"):
        read_source("dta/coco", "train")


def test_nothing_found_lists_what_was_looked_for(tmp_path):
    write(tmp_path / "instances_train.json", INSTANCES)
    (tmp_path / "pictures").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        read_source(tmp_path, "val")
    message = str(caught.value)
    for part in ("split 'val'", "coco: instances_val.json", "lvis_*_val.json", "Annotations/*.xml", "*val*bbox*.csv"):
        assert part in message
    assert message.endswith("The folder holds instances_train.json, pictures/")
    with pytest.raises(FileNotFoundError) as caught:
        read_source(tmp_path, "val", format="voc")
    assert "Annotations/*.xml" in str(caught.value)
    assert "instances_val" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="holds nothing"):
        read_source(tmp_path / "pictures", "val")


@pytest.mark.parametrize("split", ["[", "va*", "../val"])
def test_a_split_is_a_name_and_no_pattern(split, tmp_path):
    write(tmp_path / "instances_val.json", INSTANCES)
    with pytest.raises(FileNotFoundError, match="found no annotations"):
        read_source(tmp_path, split)


def test_files_of_no_known_format(tmp_path):
    for name, content in {"a.csv": "a,b\n", "b.txt": "x", "c.csv": "", "d.csv.gz": "no gzip"}.items():
        with pytest.raises(FileNotFoundError, match="not an annotation file of a known format"):
            read_source(write(tmp_path / name, content))
    with pytest.raises(ValueError, match=r"e\.json: the file is empty"):
        read_source(write(tmp_path / "e.json", ""))
    with pytest.raises(FileNotFoundError, match=r"f\.json: no such file"):
        read_source(tmp_path / "f.json")


def test_several_candidates(tmp_path):
    write(tmp_path / "instances_val.json", INSTANCES)
    write(tmp_path / "instances_train.json", INSTANCES)
    picture(tmp_path / "one.jpg")
    with pytest.raises(ValueError, match=r"several ways.*instances_train\.json.*instances_val\.json"):
        read_source(tmp_path)
    (tmp_path / "instances_train.json").unlink()
    assert read_source(tmp_path).format == "coco"
    write(tmp_path / "Annotations" / "1.xml")
    with pytest.raises(ValueError, match=r"several ways.*coco.*voc"):
        read_source(tmp_path, "val")
    assert read_source(tmp_path, "val", format="coco").format == "coco"


def test_unknown_formats_and_options(tmp_path):
    write(tmp_path / "instances_val.json", INSTANCES)
    with pytest.raises(ValueError, match="format must be auto, coco, lvis, voc, open_images, parquet, hub; got 'yolo'"):
        read_source(tmp_path, "val", format="yolo")
    with pytest.raises(ValueError, match=r"format coco takes no include_parts; it takes .*include_crowd"):
        read_source(tmp_path, "val", include_parts=True)


def test_images_of_a_source(tmp_path, table):
    source = module.Source(table, None, "coco")
    assert source.images()[0].size == (20, 20)
    content = Path(table.image_files[0]).read_bytes()
    stored = module.Source(replace(table, image_files=np.array(["row 7"])), lambda name: content, "parquet")
    assert stored.images()[0].size == (20, 20)
    bare = module.Source(replace(table, image_files=np.array([""])), None, "open_images")
    assert not bare.has_images
    with pytest.raises(ValueError, match="not at hand"):
        bare.images()


def test_every_format_is_offered_by_the_command_line():
    from hf_hyperbolic.cli.source import FORMAT_NAMES

    assert ("auto", *(entry.name for entry in FORMATS)) == FORMAT_NAMES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include_crowd": "yes"}, "include_crowd of format coco is true or false, got 'yes'"),
        ({"annotation_file": "x"}, "format coco takes no annotation_file"),
        ({"min_size": float("nan")}, "must be 0 or a positive number, got nan"),
        ({"min_size": -5.0}, "must be 0 or a positive number, got -5.0"),
    ],
)
def test_values_that_make_no_sense(tmp_path, options, message):
    file = write(tmp_path / "instances_val.json", INSTANCES)
    Image.new("RGB", (40, 30)).save(tmp_path / "one.jpg")
    with pytest.raises(ValueError, match=message):
        read_source(file, **options)
