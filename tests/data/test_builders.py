import json
import logging
import pickle

import datasets
import numpy as np
import pytest
from datasets.exceptions import DatasetGenerationError
from PIL import Image

from hf_hyperbolic.data.builders import HierCoco, HierLvis, HierOpenImages, HierVoc
from hf_hyperbolic.data.builders.base import shards
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.features import hierarchy_features
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.rows import hierarchy_rows

pytestmark = pytest.mark.usefixtures("own_cache")


def undecoded(dataset):
    return dataset.cast_column("image", datasets.Image(decode=False)).to_list()


def prepared(builder, num_proc=None):
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset()


def annotations(folder, count=3, broken=()):
    """A COCO file of `count` images, of which some are no images."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for index in range(count):
        file = folder / "images" / f"{index}.jpg"
        Image.new("RGB", (60, 40), (index, 0, 0)).save(file)
        if index in broken:
            file.write_text("no image")
    document = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in range(count)],
        "annotations": [
            {"id": 10 * i + j, "image_id": i, "category_id": 1 + j, "bbox": bbox}
            for i in range(count)
            for j, bbox in enumerate([[0, 0, 30, 30], [5, 5, 10, 10], [50, 30, 0, 0]])
        ],
        "categories": [{"id": 1, "name": "house"}, {"id": 2, "name": "door"}, {"id": 3, "name": "bell"}],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(document))
    return file


def test_rows_are_those_of_the_table_with_any_number_of_processes(scenes, tmp_path):
    table = read_coco(scenes)
    expected = list(hierarchy_rows(table, []))
    one = prepared(HierCoco(data_files=str(scenes), cache_dir=tmp_path / "one"))["train"]
    two = prepared(HierCoco(data_files={"train": str(scenes)}, cache_dir=tmp_path / "two"), num_proc=2)["train"]
    assert len(shards(table)) == 2  # else there is nothing for a second process
    assert one.features == hierarchy_features(table.class_names)
    assert undecoded(one) == undecoded(two) == expected
    shown = one[7]["image"]
    assert shown.size == tuple(table.image_sizes[7])


def test_streams_the_same_rows(scenes, tmp_path):
    builder = HierCoco(data_files=str(scenes), cache_dir=tmp_path)
    stream = builder.as_streaming_dataset(split="train")
    assert stream.num_shards == 2
    rows = list(stream.cast_column("image", datasets.Image(decode=False)))
    assert rows == list(hierarchy_rows(read_coco(scenes), []))
    assert not list(tmp_path.rglob("*.arrow"))


def test_load_dataset_knows_the_name(scenes):
    by_name = datasets.load_dataset("hier_coco", data_files={"train": str(scenes)}, threshold=0.6, split="train")
    assert undecoded(by_name) == list(hierarchy_rows(read_coco(scenes), [], threshold=0.6))


def test_settings_reach_reader_and_hierarchy_and_the_cache_keeps_them_apart(scenes):
    loose = HierCoco(data_files=str(scenes), threshold=0.5, reader_options={"min_size": 10.0})
    strict = HierCoco(data_files=str(scenes))
    assert loose.cache_dir != strict.cache_dir
    table = read_coco(scenes, min_size=10.0)
    tree = build_hierarchy(table, threshold=0.5)
    rows = prepared(loose)["train"].remove_columns("image")
    assert sum(map(len, rows["ancestry"])) == len(tree.ancestry)
    assert sum(map(len, rows["labels"])) == table.num_boxes < read_coco(scenes).num_boxes


@pytest.mark.parametrize("num_proc", [None, 2])
def test_problems_are_counted_and_told_at_the_end(tmp_path, caplog, num_proc):
    file = annotations(tmp_path, count=130, broken=(1, 128))
    builder = HierCoco(data_files=str(file), cache_dir=tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        rows = prepared(builder, num_proc)["train"]
    assert len(rows) == 128
    assert set(map(str, range(130))) - set(rows["image_id"]) == {"1", "128"}
    assert "130 zero_area, 2 not_an_image" in caplog.text
    again = HierCoco(data_files=str(file), cache_dir=tmp_path / "cache")
    again.download_and_prepare()
    found = again.problems("train")
    assert sum(problem.count for problem in found if problem.reason == "zero_area") == 130
    broken = [problem.where for problem in found if problem.reason == "not_an_image"]
    assert broken == [str(tmp_path / "images" / name) for name in ("1.jpg", "128.jpg")]
    assert len(found) < 40


def test_a_changed_annotation_file_is_read_again(tmp_path):
    first = prepared(HierCoco(data_files=str(annotations(tmp_path, count=3)), cache_dir=tmp_path / "cache"))
    second = prepared(HierCoco(data_files=str(annotations(tmp_path, count=4)), cache_dir=tmp_path / "cache"))
    assert (len(first["train"]), len(second["train"])) == (3, 4)


def test_several_splits(tmp_path):
    files = {"train": str(annotations(tmp_path / "a", 3)), "validation": str(annotations(tmp_path / "b", 2))}
    assert {split: len(rows) for split, rows in prepared(HierCoco(data_files=files)).items()} == {
        "train": 3,
        "validation": 2,
    }
    other = json.loads((tmp_path / "b" / "instances.json").read_text())
    other["categories"][0]["name"] = "hut"
    (tmp_path / "b" / "instances.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="'train' and 'validation' have other classes"):
        HierCoco(data_files=files).download_and_prepare()


def test_a_builder_can_be_sent_to_another_process(scenes):
    builder = pickle.loads(pickle.dumps(HierCoco(data_files=str(scenes))))
    np.testing.assert_array_equal(builder.read_table("train").boxes, read_coco(scenes).boxes)


def test_bad_settings_have_one_clear_error(scenes, tmp_path):
    with pytest.raises(ValueError, match="HierCoco needs annotation files: pass data_files"):
        HierCoco().download_and_prepare()
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\], got 0"):
        HierCoco(data_files=str(scenes), threshold=0)
    with pytest.raises(ValueError, match="unknown min_sze; read_coco takes min_size, include_crowd"):
        HierCoco(data_files=str(scenes), reader_options={"min_sze": 3}).download_and_prepare()
    with pytest.raises(ValueError, match="split 'train' has 2 annotation files, expected 1"):
        HierCoco(data_files=[str(scenes), str(annotations(tmp_path))]).download_and_prepare()
    with pytest.raises(ValueError, match="no split 'test': there is train"):
        HierCoco(data_files=str(scenes)).read_table("test")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        HierCoco(data_files=str(tmp_path / "none.json"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        HierCoco(data_files=str(scenes), image_folder=str(tmp_path / "none")).download_and_prepare()
    with pytest.raises(ValueError, match="HierVoc needs the folder with Annotations: pass data_dir"):
        HierVoc().download_and_prepare()


def test_an_interrupted_preparation_leaves_nothing_and_starts_again(scenes, tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("hf_hyperbolic.data.builders.base.hierarchy_rows", fail)
        with pytest.raises(DatasetGenerationError):
            HierCoco(data_files=str(scenes), cache_dir=tmp_path).download_and_prepare()
    builder = HierCoco(data_files=str(scenes), cache_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        builder.problems("train")
    assert len(prepared(builder)["train"]) == 70


def test_voc_splits_are_those_listed(tmp_path):
    assert HierVoc(data_dir=str(tmp_path)).splits() == {"train": (tmp_path, None)}
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    for name in ("train", "val", "trainval", "aeroplane_train"):
        (tmp_path / "ImageSets" / "Main" / f"{name}.txt").touch()
    assert HierVoc(data_dir=str(tmp_path)).splits() == {"train": (tmp_path, "train"), "val": (tmp_path, "val")}


def test_voc_is_found_by_name(tmp_path):
    (tmp_path / "voc" / "Annotations").mkdir(parents=True)
    (tmp_path / "voc" / "Annotations" / "1.xml").touch()
    builder = datasets.load_dataset_builder("hier_voc", data_dir=str(tmp_path / "voc"))
    assert type(builder) is HierVoc
    assert builder.splits() == {"train": (tmp_path / "voc", None)}


def test_every_builder_has_a_name_and_cache_of_its_own(scenes):
    builders = [HierCoco, HierLvis, HierOpenImages, HierVoc]
    made = [builder(data_files=str(scenes)) for builder in builders]
    assert [builder.name for builder in made] == ["hier_coco", "hier_lvis", "hier_open_images", "hier_voc"]
    assert len({builder.cache_dir for builder in made}) == 4
    for builder in builders:
        by_name = datasets.load_dataset_builder(builder(data_files=str(scenes)).name, data_files=str(scenes))
        assert type(by_name) is builder
