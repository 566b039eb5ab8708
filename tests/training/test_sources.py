from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.coco_writer import write_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.training import sources
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.feeds import make_feed
from hf_hyperbolic.training.sources import load_split, train_hierarchy_of


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


def args_for(folder, **settings):
    return TrainArguments(data=str(folder), **settings)


def test_a_source_as_coco_publishes_it(table, tmp_path):
    write_coco(table, tmp_path / "annotations" / "instances_val2017.json")
    found = load_split(args_for(tmp_path, min_box_size=5.5), "val")
    assert found.table.image_files.tolist() == table.image_files.tolist()
    assert found.table.num_boxes == 2
    assert len(found.hierarchy.direct) == 2
    assert "skipped 1 too_small" in found.summary()


def test_broken_images_are_met_when_training_and_dropped_before_evaluation(table, tmp_path):
    for split in ("train", "val"):
        write_coco(table, tmp_path / f"instances_{split}.json")
    (tmp_path / "pictures" / "1.png").write_bytes(b"")
    args = args_for(tmp_path)
    assert load_split(args, "train").table.num_images == 2
    assert load_split(args, "val").table.num_images == 1


def test_images_may_be_rows_of_a_data_set_but_must_be_at_hand(table, monkeypatch):
    def give(source):
        monkeypatch.setattr(sources, "read_source", lambda *_, **__: source)

    give(Source(replace(table, image_files=np.array(["", ""])), None, "open_images"))
    with pytest.raises(ValueError, match="not at hand"):
        load_split(args_for("x"), "train")
    content = BytesIO()
    Image.new("RGB", (50, 40), "red").save(content, "PNG")
    rows = replace(table, image_files=np.array(["row 0", "row 1"]))
    give(Source(rows, lambda name: content.getvalue() if name == "row 0" else b"", "parquet"))
    found = load_split(args_for("x"), "val")
    assert found.table.image_files.tolist() == ["row 0"]  # the other is broken
    assert found.images(0)[0].getpixel((3, 3)) == (255, 0, 0)


def test_denied_pairs_are_no_whole_and_part(table, tmp_path):
    write_coco(table, tmp_path / "instances_train.json")

    def boxes_only(split):
        return split.hierarchy.ancestry[split.hierarchy.ancestry[:, 0] >= 2].tolist()

    assert boxes_only(load_split(args_for(tmp_path), "train")) == [[2, 3]]
    assert boxes_only(load_split(args_for(tmp_path, deny_pairs=["a>b"]), "train")) == []
    with pytest.raises(ValueError, match="'c', which the table does not have"):
        load_split(args_for(tmp_path, deny_pairs=["a>c"]), "train")
    with pytest.raises(ValueError, match="parent class>child class"):
        args_for(tmp_path, deny_pairs=["a-b"])


def test_an_exported_set_is_read_with_the_settings_it_was_exported_with(table, tmp_path):
    boxes = np.array([[0, 0, 30, 30], [24, 5, 34, 15], [0, 0, 6, 6]], dtype=np.float32)  # 60 % of the second inside
    table = replace(table, boxes=boxes)
    for split in ("train", "val"):
        export_parquet(table, tmp_path / "half", split, threshold=0.5)
        export_parquet(table, tmp_path / "denied", split, threshold=0.5, deny=[("a", "b")])
    half, message = tmp_path / "half", "exported with threshold 0.5, and the run has 0.8: pass --threshold 0.5"
    for settings in ({}, {"stream": True}):
        for split in ("val",) if settings else ("train", "val"):
            with pytest.raises(ValueError, match=f"{half} was {message}"):
                load_split(args_for(half, **settings), split)
        found = load_split(args_for(half, threshold=0.5, **settings), "val")
        assert [2, 3] in found.hierarchy.ancestry.tolist()
        args = args_for(tmp_path / "denied", threshold=0.5, **settings)
        found = load_split(args, "val")
        # not among the stored pairs, so not among these
        assert [2, 3] not in found.hierarchy.ancestry.tolist()
        assert [2, 3] not in load_split(args, "train", first=2).hierarchy.ancestry.tolist()
    found = load_split(args_for(half, threshold=0.5, deny_pairs=["a>b"]), "train")
    assert [2, 3] not in found.hierarchy.ancestry.tolist()
    with pytest.raises(ValueError, match=f"{half} was {message}"):
        make_feed(None, args_for(half, stream=True), (0, 1))
    with pytest.raises(ValueError, match=r"instead of --deny_pairs give --deny to `hf-hyperbolic data convert"):
        args_for(half, threshold=0.5, stream=True, deny_pairs=["a>b"])


def test_a_stream_of_pairs_of_unknown_threshold_takes_no_threshold(table, monkeypatch):
    monkeypatch.setattr(sources, "read_source", lambda *_, **__: Source(table, None, "hub"))
    assert load_split(args_for("x", stream=True), "val").table.num_images == 2
    with pytest.raises(ValueError, match="x does not say with which threshold its pairs were exported"):
        load_split(args_for("x", stream=True, threshold=0.5), "val")
    # evaluation on annotations
    assert load_split(args_for("x", stream=True, threshold=0.5), "val", "y").table.num_images == 2


def test_the_first_images_of_a_split(table, tmp_path):
    write_coco(table, tmp_path / "instances_train.json")
    args = args_for(tmp_path)
    found = load_split(args, "train", first=1)
    assert found.table.num_images == found.hierarchy.num_images == 1
    assert found.table.num_boxes == 2


def test_broken_images_are_looked_for_among_the_first_alone_and_where_asked(table, tmp_path, capfd):
    write_coco(table, tmp_path / "instances_val.json")
    (tmp_path / "pictures" / "1.png").write_bytes(b"")
    args = args_for(tmp_path)
    assert load_split(args, "val", first=1).table.problems == ()
    assert "1/1" in capfd.readouterr().err
    assert load_split(args, "val", check=False).table.num_images == 2


def test_a_data_set_without_a_training_split_has_no_training_hierarchy(table, tmp_path):
    write_coco(table, tmp_path / "instances_val.json")
    assert train_hierarchy_of(args_for(tmp_path)) is None
    assert train_hierarchy_of(args_for(tmp_path / "instances_val.json")) is None
    write_coco(table, tmp_path / "instances_train.json")
    assert train_hierarchy_of(args_for(tmp_path)).num_images == 2


def test_another_split_may_lack_a_denied_class(table, tmp_path):
    write_coco(table, tmp_path / "instances_val.json")
    found = load_split(args_for(tmp_path, deny_pairs=["a>b", "a>c"]), "val")
    assert (found.hierarchy.ancestry[:, 0] < 2).all()
