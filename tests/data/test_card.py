import builtins
from dataclasses import replace

import datasets
import numpy as np
import pytest
import yaml
from PIL import Image

from hf_hyperbolic.data.boxes import Problem
from hf_hyperbolic.data.card import summarise, write_card
from hf_hyperbolic.data.card_plot import class_frequencies
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.data.exported import PLOT
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.rows import slice_images

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def table(scenes):
    return replace(slice_images(read_coco(scenes), 0, 12), problems=(Problem("crowd", "a", "b", count=1234),))


@pytest.fixture
def folder(table, tmp_path):
    export_parquet(table, tmp_path / "my-set", "validation", license="cc-by-4.0", rows_per_shard=5)
    export_parquet(slice_images(table, 0, 4), tmp_path / "my-set", "train", license="cc0-1.0", built_from="drawings")
    return tmp_path / "my-set"


def test_figures_are_those_of_the_tables(folder, table):
    names, splits = summarise(folder)
    tree = build_hierarchy(table)
    assert names == table.class_names
    assert list(splits) == ["train", "validation"]
    found = splits["validation"]
    assert (found.images, found.direct, found.ancestry) == (12, len(tree.direct), len(tree.ancestry))
    np.testing.assert_array_equal(found.classes, np.bincount(table.labels, minlength=len(names)))
    levels, counts = np.unique(tree.level[12:], return_counts=True)
    assert found.levels == dict(zip(levels.tolist(), counts.tolist(), strict=True))
    assert found.problems == {"crowd": 1234}
    assert splits["train"].problems == {}


def test_the_header_is_what_the_hub_reads(folder):
    _, header, _ = (folder / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["license"] == ["cc0-1.0", "cc-by-4.0"]
    assert header["size_categories"] == ["n<1K"]
    assert "object-detection" in header["task_categories"]
    assert header["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*"},
        {"split": "validation", "path": "data/validation-*"},
    ]
    card = datasets.load_dataset_builder(str(folder))
    assert {split: info.num_examples for split, info in card.info.splits.items()} == {"train": 4, "validation": 12}


def test_the_text_says_how_it_was_made(folder, table):
    text = (folder / "README.md").read_text()
    assert text.count("\n# my-set\n") == 1
    assert "**train**, from drawings." in text
    assert "at least 80% of its area" in text
    assert "1,234 `crowd`" in text
    assert f"| validation | 12 | {table.num_boxes:,} |" in text
    most = table.class_names[np.bincount(table.labels).argmax()]
    assert f"the most frequent: {most} (" in text
    assert f"]({PLOT})" in text
    with Image.open(folder / PLOT) as plot:
        assert plot.size[0] > 600


def test_without_matplotlib_the_card_says_so(folder, monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.endswith("card_plot"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    text = write_card(folder, title="Mine").read_text()
    assert "matplotlib was not installed" in text
    assert PLOT not in text
    assert "# Mine" in text
    assert not (folder / PLOT).exists()


def test_a_folder_that_cannot_be_summarised(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no files"):
        write_card(tmp_path)
    next((folder / "data").glob("validation-00001*")).unlink()
    with pytest.raises(FileNotFoundError, match="split 'validation' has 2 of the 3 files"):
        write_card(folder)


def test_splits_of_other_classes_are_no_data_set(folder, table):
    more = replace(slice_images(table, 0, 4), class_names=(*table.class_names, "ghost"))
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match="has other columns or classes than split 'test'"):
        export_parquet(more, folder, "test")
    assert sorted(folder.rglob("*")) == before
    export_parquet(more, folder.parent / "other", "test")
    (file,) = (folder.parent / "other" / "data").iterdir()
    file.rename(folder / "data" / file.name)
    with pytest.raises(ValueError, match="split 'train' has other classes than 'test'"):
        summarise(folder)


@pytest.mark.parametrize("count", [3, 40, 41, 600])
def test_the_plot_shows_every_class_with_a_box(count):
    classes = np.random.default_rng(0).integers(1, 1000, count)
    (axes,) = class_frequencies(tuple(f"class {c}" for c in range(count)), classes).axes
    if count <= 40:
        drawn = [patch.get_width() for patch in axes.patches]
        assert axes.get_yticklabels()[0].get_text() == f"class {classes.argmax()}"
    else:
        drawn = axes.lines[0].get_ydata().tolist()
    assert drawn == sorted(classes.tolist(), reverse=True)
