import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from hf_hyperbolic.data import parquet as module
from hf_hyperbolic.data.boxes import Federation, Problem
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.data.image_reader import ImageReader, find_broken
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.parquet import ParquetImages, read_parquet
from hf_hyperbolic.data.rows import slice_images

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def table(scenes):
    return slice_images(read_coco(scenes), 0, 20)


@pytest.fixture(scope="module")
def exported(table, tmp_path_factory):
    """Three files of at most seven rows, so of one row group each; and one of two row groups."""
    folder = tmp_path_factory.mktemp("exported")
    export_parquet(table, folder, "train", rows_per_shard=7)
    export_parquet(table, folder, "test")
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_image_is_the_file_it_was_in_any_order(exported, table, split):
    again, images = read_parquet(exported, split)
    for index in np.random.default_rng(0).permutation(20).tolist() + list(range(20)):
        assert images(str(again.image_files[index])) == Path(table.image_files[index]).read_bytes()


def test_reading_in_order_reads_each_row_group_once(exported, monkeypatch):
    groups = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *a, **k: groups.append(a[1]) or read(*a, **k))
    again, images = read_parquet(exported, "test")
    for file in again.image_files:
        images(str(file))
    assert groups == [0, 1]


def test_more_files_than_are_kept_open(exported, table, monkeypatch):
    monkeypatch.setattr(module, "_OPEN_FILES", 1)
    again, images = read_parquet(exported, "train")
    for index in (0, 19, 1, 18, 8):
        assert images(str(again.image_files[index])) == Path(table.image_files[index]).read_bytes()
    assert len(images._files) == 1


def test_threads_and_processes_may_share_it(exported, table):
    again, images = read_parquet(exported, "train")
    images(str(again.image_files[0]))
    sent = pickle.loads(pickle.dumps(ImageReader(again, load=images)))
    assert sent[3].size == (96, 96)
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(images, np.tile(again.image_files, 5).tolist()))
    assert contents == [Path(file).read_bytes() for file in table.image_files] * 5
    assert find_broken(again, num_workers=2, load=images) == []


def test_missing_files_and_rows_are_broken_images(exported, tmp_path):
    images = ParquetImages()
    file = exported / "data" / "test-00000-of-00001.parquet"
    with pytest.raises(BrokenImageError, match="no row 20: it has 20"):
        images(f"{file}#20")
    with pytest.raises(BrokenImageError, match="no such Parquet file") as missing:
        images(f"{tmp_path}/none.parquet#0")
    assert missing.value.reason == "missing_file"
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BrokenImageError, match="cannot be read from its Parquet file"):
        images(f"{cut}#0")


def test_federation_and_problems_survive(table, tmp_path):
    federation = Federation(np.array([[0, 3], [7, 1], [7, 2]], np.int32), np.array([[19, 5]], np.int32))
    problems = (Problem("zero_area", "a", "b"), Problem("crowd", "a", "b", count=30))
    export_parquet(replace(table, federation=federation, problems=problems), tmp_path, "train", rows_per_shard=6)
    again, _ = read_parquet(tmp_path, "train")
    assert again.federation.verified_absent.tolist() == federation.verified_absent.tolist()
    assert again.federation.not_exhaustive.tolist() == federation.not_exhaustive.tolist()
    assert dict(again.skipped()) == {"zero_area": 1, "crowd": 30}
    rows = datasets.load_dataset(str(tmp_path), split="train")
    assert rows[7]["verified_absent"] == [1, 2]
    assert "`verified_absent`" in (tmp_path / "README.md").read_text()


def test_images_without_boxes_stay(table, tmp_path):
    kept = table.box_image != 4
    without = replace(table, box_image=table.box_image[kept], boxes=table.boxes[kept], labels=table.labels[kept])
    export_parquet(without, tmp_path, "train")
    again, _ = read_parquet(tmp_path, "train")
    assert again.num_images == 20
    np.testing.assert_array_equal(again.box_image, without.box_image)


def test_a_set_written_again_by_datasets_can_be_read(exported, table, tmp_path):
    (tmp_path / "data").mkdir()
    rows = datasets.load_dataset(str(exported), split="train")
    rows.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    again, images = read_parquet(tmp_path, "train")
    np.testing.assert_array_equal(again.boxes, table.boxes)
    assert again.class_names == table.class_names
    assert images(str(again.image_files[11])) == Path(table.image_files[11]).read_bytes()


def test_what_is_no_export_has_one_clear_error(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="no split 'val': there is test, train"):
        read_parquet(exported, "val")
    with pytest.raises(FileNotFoundError, match="no split 'train': there is none"):
        read_parquet(tmp_path, "train")
    (tmp_path / "data").mkdir()
    other = datasets.Dataset.from_list([{"text": "a"}])
    other.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="no column `labels` of class labels: not a file export_parquet wrote"):
        read_parquet(tmp_path, "train")
