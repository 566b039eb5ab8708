import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets.exceptions import DatasetNotFoundError, NonMatchingSplitsSizesError
from PIL import Image

from hf_hyperbolic.data import export as module
from hf_hyperbolic.data.builders import HierCoco
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.data.files import swapped_out
from hf_hyperbolic.data.guards import Guards, build_guarded_hierarchy
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.parquet import read_parquet
from hf_hyperbolic.data.read import read_source
from hf_hyperbolic.data.rows import hierarchy_rows, slice_images

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def few(scenes):
    return slice_images(read_coco(scenes), 0, 10)


def test_from_annotations_to_parquet_and_back_the_tree_is_the_same(scenes, tmp_path):
    original = read_coco(scenes)
    tree = build_hierarchy(original)
    builder = HierCoco(data_files=str(scenes))
    files = export_parquet(builder, tmp_path / "set", "train", rows_per_shard=30, num_proc=2).files
    assert [file.name for file in files] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]

    whole = datasets.load_dataset(str(tmp_path / "set"), split="train")
    stream = datasets.load_dataset(str(tmp_path / "set"), split="train", streaming=True)
    expected = list(hierarchy_rows(original, []))
    for rows in (whole, stream):
        assert list(rows.cast_column("image", datasets.Image(decode=False))) == expected
    assert whole.features["labels"].feature.names == list(original.class_names)
    assert whole[3]["image"].size == tuple(original.image_sizes[3])

    table, images = read_parquet(tmp_path / "set", "train")
    for name in ("image_ids", "image_sizes", "box_image", "boxes", "labels", "class_names"):
        assert np.array_equal(getattr(table, name), getattr(original, name)), name
    again = build_hierarchy(table)
    for name in ("direct", "ancestry", "level", "node_image", "node_label", "node_box", "node_is_scene_duplicate"):
        assert np.array_equal(getattr(again, name), getattr(tree, name)), name
    reader, before = ImageReader(table, load=images), ImageReader(original)
    for index in (69, 0, 31):
        np.testing.assert_array_equal(np.asarray(reader[index]), np.asarray(before[index]))


READ_WITHOUT_THE_PACKAGE = """
    import sys
    sys.modules["hf_hyperbolic"] = None  # importing it now fails
    import datasets
    whole = datasets.load_dataset(sys.argv[1])
    print({split: len(rows) for split, rows in whole.items()})
    row = next(iter(datasets.load_dataset(sys.argv[1], split="train", streaming=True)))
    print(row["image"].size, row["direct"] == whole["train"][0]["direct"], len(row["boxes"]) > 0)
"""


@pytest.mark.slow
def test_a_process_without_this_package_reads_it_offline(few, tmp_path):
    export_parquet(few, tmp_path / "set", "train", rows_per_shard=4)
    export_parquet(slice_images(few, 0, 3), tmp_path / "set", "validation")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READ_WITHOUT_THE_PACKAGE), str(tmp_path / "set")],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": ""},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["{'train': 10, 'validation': 3}", "(96, 96) True True"]


def test_files_do_not_depend_on_the_number_of_processes(few, tmp_path):
    one = export_parquet(few, tmp_path / "one", "train", rows_per_shard=3).files
    two = export_parquet(few, tmp_path / "two", "train", rows_per_shard=3, num_proc=2).files
    assert len(one) == 4
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_max_shard_size_is_kept_about(few, tmp_path):
    files = export_parquet(few, tmp_path / "set", "train", max_shard_size="10KB").files
    images = sum(os.path.getsize(file) for file in few.image_files)
    # nothing varies much among these images
    assert images / 10_000 <= len(files) <= 2 * images / 10_000


class PowerCut(BaseException):
    pass


def interrupt(monkeypatch, shard):
    """Exports stop in the middle of this shard's file."""
    write = module.hierarchy_rows
    begun = []

    def rows(table, *args, **kwargs):
        begun.append(None)
        for row in write(table, *args, **kwargs):
            yield row
            if len(begun) == shard + 1:
                raise PowerCut

    monkeypatch.setattr(module, "hierarchy_rows", rows)


@pytest.mark.parametrize("shard", [0, 2])
def test_an_interrupted_export_leaves_nothing_that_looks_whole_and_goes_on(few, tmp_path, monkeypatch, shard):
    folder = tmp_path / "set"
    with monkeypatch.context() as patch:
        interrupt(patch, shard)
        with pytest.raises(PowerCut):
            export_parquet(few, folder, "train", rows_per_shard=3)
    with pytest.raises((FileNotFoundError, DatasetNotFoundError)):
        datasets.load_dataset(str(folder))
    with pytest.raises(FileNotFoundError, match="no split 'train': there is none"):
        read_parquet(folder, "train")
    finished = {file.name: file.stat().st_ino for file in folder.rglob("*.parquet")}
    assert len(finished) == shard

    files = export_parquet(few, folder, "train", rows_per_shard=3).files
    # what was finished is not written again, and the result is as if nothing had happened
    assert all(file.stat().st_ino == finished[file.name] for file in files[:shard])
    undisturbed = export_parquet(few, tmp_path / "other", "train", rows_per_shard=3).files
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in undisturbed]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "class_frequencies.png", "data"]


def test_what_was_begun_with_other_settings_is_thrown_away(few, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(PowerCut):
            export_parquet(few, tmp_path / "set", "train", rows_per_shard=3)
    export_parquet(few, tmp_path / "set", "train", rows_per_shard=3, threshold=0.5)
    fresh = export_parquet(few, tmp_path / "other", "train", rows_per_shard=3, threshold=0.5).files
    for file in fresh:
        assert (tmp_path / "set" / "data" / file.name).read_bytes() == file.read_bytes()


def test_an_interrupted_second_export_leaves_the_first(few, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    export_parquet(few, folder, "train", rows_per_shard=5)
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(PowerCut):
            export_parquet(slice_images(few, 0, 6), folder, "train", rows_per_shard=3)
    assert len(datasets.load_dataset(str(folder), split="train")) == 10
    export_parquet(slice_images(few, 0, 6), folder, "train", rows_per_shard=3)
    assert len(datasets.load_dataset(str(folder), split="train")) == 6
    assert len(list((folder / "data").iterdir())) == 2


@pytest.mark.parametrize("renames", [0, 1])
def test_other_splits_survive_an_interruption_of_the_last_step(few, tmp_path, monkeypatch, renames):
    folder = tmp_path / "set"
    export_parquet(few, folder, "validation", rows_per_shard=5)

    def cut_off(aside, final):
        if renames:
            final.rename(swapped_out(final))
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_folder", cut_off)
        with pytest.raises(PowerCut):
            export_parquet(few, folder, "train", rows_per_shard=4)
    # the other split is exported anew before this one goes on
    export_parquet(slice_images(few, 0, 7), folder, "validation", rows_per_shard=7)
    export_parquet(few, folder, "train", rows_per_shard=4)
    read = datasets.load_dataset(str(folder))
    assert {split: len(rows) for split, rows in read.items()} == {"train": 10, "validation": 7}
    assert len(list((folder / "data").iterdir())) == 4


@pytest.mark.parametrize(
    "foreign",
    [
        "data/notes.txt",
        "data/train.parquet",
        "data/train-00000-of-00001.parquet",
        "data/raw/photo.jpg",
        "data",
        "README.md",
        "class_frequencies.png",
    ],
)
def test_files_of_other_origin_are_never_touched(few, tmp_path, foreign):
    (tmp_path / foreign).parent.mkdir(parents=True, exist_ok=True)
    if foreign.endswith("png"):
        Image.new("RGB", (9, 9)).save(tmp_path / foreign)
    else:
        (tmp_path / foreign).write_text("# mine")
    (tmp_path / "old-data").mkdir()
    (tmp_path / "old-data" / "backup").write_text("kept")

    def contents():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = contents()
    named = foreign.removesuffix("/photo.jpg")
    with pytest.raises(FileExistsError, match=f"{tmp_path / named}: not a file .*export to another folder"):
        export_parquet(few, tmp_path, "train")
    assert contents() == before
    assert not (tmp_path / ".writing-train-hf-hyperbolic").exists()


def test_a_folder_called_old_data_is_neither_deleted_nor_adopted(few, tmp_path):
    (tmp_path / "old-data").mkdir()
    (tmp_path / "old-data" / "backup").write_text("kept")
    for _ in range(2):
        export_parquet(few, tmp_path, "train")
    assert (tmp_path / "old-data" / "backup").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "class_frequencies.png",
        "data",
        "old-data",
    ]


def test_a_card_that_was_made_ones_own_is_kept(few, tmp_path):
    export_parquet(few, tmp_path, "train")
    card = tmp_path / "README.md"
    card.write_text("\n".join(line for line in card.read_text().splitlines() if not line.startswith("<!--")))
    before = card.read_text()
    with pytest.raises(FileExistsError, match=r"README\.md: not a file export_parquet wrote"):
        export_parquet(few, tmp_path, "validation")
    assert card.read_text() == before


def test_files_of_other_splits_are_copied_where_there_are_no_links(few, tmp_path, monkeypatch):
    export_parquet(few, tmp_path, "validation")

    def no_links(*args):
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    export_parquet(few, tmp_path, "train")
    assert len(read_parquet(tmp_path, "validation")[0].image_ids) == 10


@pytest.mark.real_data
@pytest.mark.skipif("HF_HYPERBOLIC_DATA" not in os.environ, reason="HF_HYPERBOLIC_DATA is not set")
@pytest.mark.parametrize("name", ["ccp", "coco"])
def test_photographs_come_back_as_they_were(tmp_path, name):
    original = read_coco(Path(os.environ["HF_HYPERBOLIC_DATA"]) / name / "instances_val.json")
    export_parquet(original, tmp_path, "val", rows_per_shard=50)
    table, images = read_parquet(tmp_path, "val")
    np.testing.assert_array_equal(table.boxes, original.boxes)
    np.testing.assert_array_equal(build_hierarchy(table).ancestry, build_hierarchy(original).ancestry)
    for index in range(0, table.num_images, 10):
        assert images(str(table.image_files[index])) == Path(original.image_files[index]).read_bytes()
    assert table.skipped() == original.skipped()


def test_a_lost_file_is_noticed(few, tmp_path):
    files = export_parquet(few, tmp_path / "set", "train", rows_per_shard=4).files
    files[1].unlink()
    with pytest.raises(NonMatchingSplitsSizesError, match="num_examples=10"):
        datasets.load_dataset(str(tmp_path / "set"))
    with pytest.raises(FileNotFoundError, match="split 'train' has 2 of the 3 files"):
        read_parquet(tmp_path / "set", "train")
    with pytest.raises(FileNotFoundError, match="split 'train' has 2 of the 3 files"):
        export_parquet(few, tmp_path / "set", "test")
    # exporting the split itself again mends it
    export_parquet(few, tmp_path / "set", "train", rows_per_shard=5)
    assert read_parquet(tmp_path / "set", "train")[0].num_images == 10


def test_broken_images_are_left_out_and_counted(few, tmp_path):
    files = few.image_files.tolist()
    (tmp_path / "broken.jpg").write_text("no image")
    Image.open(files[5]).save(tmp_path / "other.webp", lossless=True)
    files[0], files[5] = str(tmp_path / "broken.jpg"), str(tmp_path / "other.webp")
    changed = module.BoxTable(**{**few.__dict__, "image_files": np.array(files)})
    written = export_parquet(changed, tmp_path / "set", "train", rows_per_shard=1, num_proc=2)
    table, _ = read_parquet(tmp_path / "set", "train")
    assert table.image_ids.tolist() == few.image_ids[1:].tolist()
    assert dict(table.skipped()) == {"not_an_image": 1, "reencoded": 1}
    assert len(datasets.load_dataset(str(tmp_path / "set"), split="train")) == 9
    assert str(tmp_path) not in (tmp_path / "set" / "README.md").read_text()
    # what is returned is what is there, and names what is not
    assert (written.num_images, written.num_boxes) == (table.num_images, table.num_boxes)
    assert [(problem.reason, problem.where) for problem in written.problems] == [
        ("not_an_image", str(tmp_path / "broken.jpg")),
        ("reencoded", str(tmp_path / "other.webp")),
    ]


def test_what_was_left_out_before_an_interruption_is_still_named(scenes, tmp_path, monkeypatch):
    table = slice_images(read_coco(scenes), 0, 66)
    files = table.image_files.tolist()
    for index in range(50):
        files[index] = str(tmp_path / f"{index}.jpg")
        Path(files[index]).write_bytes(Path(table.image_files[index]).read_bytes()[:300])
    table = module.BoxTable(**{**table.__dict__, "image_files": np.array(files)})
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(PowerCut):
            export_parquet(table, tmp_path / "set", "train", rows_per_shard=64)
    written = export_parquet(table, tmp_path / "set", "train", rows_per_shard=64)
    boxes = int((table.box_image >= 50).sum())
    assert (written.num_images, written.num_boxes) == (16, boxes)
    assert sum(problem.count for problem in written.problems) == 50
    # long lists are shortened
    assert [Path(problem.where).name for problem in written.problems] == [f"{index}.jpg" for index in range(21)]
    assert not list((tmp_path / "set").rglob("*problems*"))


def test_images_from_another_export_can_be_exported(few, tmp_path):
    export_parquet(few, tmp_path / "first", "train", rows_per_shard=4)
    table, images = read_parquet(tmp_path / "first", "train")
    export_parquet(table, tmp_path / "second", "train", load=images, num_proc=2)
    again, _ = read_parquet(tmp_path / "second", "train")
    np.testing.assert_array_equal(again.boxes, few.boxes)


def test_a_builder_brings_its_settings(scenes, tmp_path):
    builder = HierCoco(data_files=str(scenes), threshold=0.6, reader_options={"min_size": 8.0})
    files = export_parquet(builder, tmp_path / "set", "train", license="cc0-1.0").files
    about = json.loads(pq.read_metadata(files[0]).metadata[b"hf_hyperbolic"])
    assert about["threshold"] == 0.6
    assert about["license"] == "cc0-1.0"
    assert about["built_from"] == "HierCoco: instances_train.json, min_size=8.0"
    tree = build_hierarchy(read_coco(scenes, min_size=8.0), threshold=0.6)
    assert sum(map(len, pq.read_table(files[0])["ancestry"].to_pylist())) == len(tree.ancestry)


def test_denied_pairs_are_in_no_file_and_in_the_card(scenes, tmp_path):
    table = slice_images(read_coco(scenes), 0, 10)
    tree = build_hierarchy(table)
    parent, child = tree.direct[tree.direct[:, 0] >= tree.num_images][0]
    names = tuple(table.class_names[tree.node_label[node]] for node in (parent, child))
    deny = [names, (names[1], "*")]
    files = export_parquet(table, tmp_path, "train", rows_per_shard=4, deny=[*deny, names]).files
    expected = build_guarded_hierarchy(table, Guards(deny=deny))[0]
    assert len(expected.ancestry) < len(tree.ancestry)
    for name in ("direct", "ancestry"):
        stored = sum(len(row) for file in files for row in pq.read_table(file)[name].to_pylist())
        assert stored == len(getattr(expected, name))
    source = read_source(tmp_path, "train")
    assert source.exported == HierarchySettings(0.8, 0.9, tuple(sorted(deny)))
    np.testing.assert_array_equal(source.exported.build(source.table).ancestry, expected.ancestry)
    assert f"`{names[0]}>{names[1]}`" in (tmp_path / "README.md").read_text()


def test_how_a_set_was_exported_is_known_from_all_its_files(few, tmp_path):
    one = export_parquet(few, tmp_path / "one", "train", rows_per_shard=5, threshold=0.5, duplicate_iou=0.7).files
    assert read_source(tmp_path / "one", "train").exported == HierarchySettings(0.5, 0.7)
    two = export_parquet(few, tmp_path / "two", "train", rows_per_shard=5, threshold=0.6).files
    two[1].replace(one[1])
    with pytest.raises(ValueError, match="the files of split 'train' are of two exports: export the split again"):
        read_source(tmp_path / "one", "train")


def test_bad_arguments_have_one_clear_error(few, tmp_path):
    def export(source=few, split="train", **settings):
        return export_parquet(source, tmp_path / "set", split, **settings)

    with pytest.raises(ValueError, match="split 'a-b': datasets allows letters"):
        export(split="a-b")
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\], got 1.5"):
        export(threshold=1.5)
    for size in ("12", "MB", "0MB", "-1MB", "1.2.3MB"):
        with pytest.raises(ValueError, match=f"max_shard_size '{size}': expected a number of KB, MB or GB"):
            export(max_shard_size=size)
    with pytest.raises(ValueError, match="rows_per_shard must be at least 1"):
        export(rows_per_shard=0)
    with pytest.raises(ValueError, match="num_proc must be at least 1"):
        export(num_proc=0)
    with pytest.raises(TypeError, match="takes a BoxTable or a HierarchyBuilder, got str"):
        export(source="a/path")
    gone = module.BoxTable(**{**few.__dict__, "image_files": np.array(["/none.jpg"] * 10)})
    with pytest.raises(ValueError, match=r"none of the 10 images of 'train' can be used: /none.jpg: no such file"):
        export(source=gone)
    assert not list(tmp_path.rglob("*.parquet"))
