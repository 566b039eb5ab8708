from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.data.write_coco import write_coco
from hf_hyperbolic.training import sources
from hf_hyperbolic.training.sources import load_split


@pytest.fixture
def table(tmp_path):
    files = [tmp_path / "pictures" / f"{n}.png" for n in range(2)]
    files[0].parent.mkdir()
    for file in files:
        Image.new("RGB", (50, 40)).save(file)
    return BoxTable(
        image_ids=np.array(["0", "1"]),
        image_files=np.array([str(file) for file in files]),
        image_sizes=np.array([[50, 40]] * 2, dtype=np.int32),
        box_image=np.array([0, 0, 1], dtype=np.int32),
        boxes=np.array([[0, 0, 30, 30], [5, 5, 10, 10], [0, 0, 6, 6]], dtype=np.float32),
        labels=np.array([0, 1, 1], dtype=np.int32),
        class_names=("a", "b"),
    )


def test_a_source_as_coco_publishes_it(table, tmp_path):
    write_coco(table, tmp_path / "annotations" / "instances_val2017.json")
    found, hierarchy = load_split(str(tmp_path), "val", min_box_size=5.5)
    assert found.image_files.tolist() == table.image_files.tolist()
    assert found.num_boxes == 2
    assert len(hierarchy.direct) == 2


def test_broken_images_are_met_when_training_and_dropped_before_evaluation(table, tmp_path):
    for split in ("train", "val"):
        write_coco(table, tmp_path / f"instances_{split}.json")
    (tmp_path / "pictures" / "1.png").write_bytes(b"")
    assert load_split(str(tmp_path), "train")[0].num_images == 2
    assert load_split(str(tmp_path), "val")[0].num_images == 1


def test_images_must_be_files(table, monkeypatch):
    def give(source):
        monkeypatch.setattr(sources, "read_source", lambda *_, **__: source)

    give(Source(replace(table, image_files=np.array(["", ""])), None, "open_images"))
    with pytest.raises(ValueError, match="not at hand"):
        load_split("x", "train")
    give(Source(table, lambda name: b"", "parquet"))
    with pytest.raises(ValueError, match="read images from files; format parquet has none"):
        load_split("x", "train")
