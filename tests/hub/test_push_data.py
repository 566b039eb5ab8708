import json
import sys
from pathlib import Path

import evaluate as hf_evaluate
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "retrieval"))
from colour_encoder import ColourEncoder

from hf_hyperbolic.cli.main import main
from hf_hyperbolic.hub.push_data import push_data, push_index, push_metric
from hf_hyperbolic.hub.upload import Target
from hf_hyperbolic.retrieval import Index
from hf_hyperbolic.retrieval.index_manifest import IndexFileError


@pytest.fixture
def source(tmp_path):
    """Six images with a house and a door in it, in COCO's format, in a folder of somebody's."""
    folder = tmp_path / "somebody" / "streets"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(6):
        pixels = rng.integers(0, 60, (100, 100, 3)) + rng.integers(0, 190, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{n}.png")
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 100} for n in range(6)],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "category_id": k, "bbox": box}
            for n in range(6)
            for k, box in enumerate([[0, 0, 60, 60], [5, 5, 30, 30]])
        ],
        "categories": [{"id": 0, "name": "house"}, {"id": 1, "name": "door"}],
    }
    (folder / "instances_val.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def export(source, tmp_path):
    out = tmp_path / "somebody" / "exported"
    assert main(["data", "convert", str(source), str(out), "--split", "val", "--to", "parquet"]) == 0
    return out


@pytest.fixture
def index(source, tmp_path):
    from hf_hyperbolic.data.read import read_source
    from hf_hyperbolic.retrieval.index_build import build_index

    folder = tmp_path / "somebody" / "index"
    build_index(folder, ColourEncoder(), read_source(source, "val"), str(source), "val", thumbnails=16)
    return folder


def test_a_data_set_is_pushed_and_read_back(hub, export, tmp_path):
    push_data(export, Target("me/streets"))
    files = hub.files("me/streets", "dataset")
    assert set(files) >= {"README.md", "data/val-00000-of-00001.parquet"}
    assert b'load_dataset("me/streets")' in files["README.md"]
    assert 'load_dataset("exported")' in (export / "README.md").read_text()
    from datasets import load_dataset

    folder = tmp_path / "back"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    rows = load_dataset(str(folder), split="val", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 6
    assert rows.features["labels"].feature.names == ["house", "door"]


def test_shards_of_an_earlier_push_do_not_stay(hub, export):
    push_data(export, Target("me/streets"))
    before = hub.files("me/streets", "dataset")
    before["data/val-00000-of-00002.parquet"] = b"old"
    push_data(export, Target("me/streets"))
    files = hub.files("me/streets", "dataset")
    assert [name for name in files if name.startswith("data/")] == ["data/val-00000-of-00001.parquet"]


def test_a_folder_that_is_no_export(hub, source, export):
    with pytest.raises(FileNotFoundError, match="no files"):
        push_data(source, Target("me/streets"))
    (export / "README.md").unlink()
    with pytest.raises(FileNotFoundError, match="lacks its card"):
        push_data(export, Target("me/streets"))
    assert hub.calls == []


def test_somebody_elses_data_set_is_left_alone(hub, export):
    hub.seed("me/streets", "dataset", {"README.md": "of another tool", "data/train-00000-of-00001.parquet": "x"})
    with pytest.raises(ValueError, match=r"something else than a data set of this library \(README.md\)"):
        push_data(export, Target("me/streets"))


def test_an_index_is_pushed_and_answers_as_before(hub, index, source, tmp_path):
    push_index(index, Target("me/index"), "me/colours")
    folder = tmp_path / "back"
    folder.mkdir()
    for name, content in hub.files("me/index", "dataset").items():
        (folder / name).write_bytes(content)
        assert b"somebody" not in content, name
    there, here = Index.open(folder, ColourEncoder()), Index.open(index, ColourEncoder())
    assert there.manifest.model.name == "me/colours"
    query = Image.open(source / "3.png").convert("RGB")  # without the name of its file, by which it is left out here
    for ask in ("children", "parents"):
        found, wanted = (getattr(each, ask)(query, 5) for each in (there, here))
        assert [(each.score, each.label) for each in found] == [(each.score, each.label) for each in wanted]
    assert np.array_equal(there.embeddings(range(len(there))), here.embeddings(range(len(here))))
    first = there.items([0])[0]
    assert first["image"] == "0.png"
    assert first["thumbnail"] == here.items([0])[0]["thumbnail"]
    card = (folder / "README.md").read_text()
    assert "streets, split val" in card
    assert f"Embeddings of {len(here)} images and boxes" in card
    assert "16 px" in card


def test_without_thumbnails_no_picture_goes_along(index, tmp_path):
    push_index(index, Target("me/index"), "me/colours", thumbnails=False, dry_run=tmp_path / "out")
    there = Index.open(tmp_path / "out", ColourEncoder())
    assert there.manifest.thumbnails == 0
    assert all(item["thumbnail"] is None for item in there.items(range(len(there))))
    assert "No pictures go along." in (tmp_path / "out" / "README.md").read_text()


def test_an_index_whose_model_is_not_on_the_hub(hub, index):
    with pytest.raises(ValueError, match="name it by --model USER/NAME"):
        push_index(index, Target("me/index"))
    assert hub.calls == []


def test_a_damaged_or_unfinished_index(hub, index):
    content = json.loads((index / "manifest.json").read_text())
    content["sources"][0]["images_done"] = 3
    (index / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="unfinished"):
        push_index(index, Target("me/index"), "me/colours")
    (index / "shard-00000.arrow").unlink()
    with pytest.raises(IndexFileError, match="is missing"):
        push_index(index, Target("me/index"), "me/colours")


def test_the_metric_is_a_space_that_evaluate_loads(hub, tmp_path):
    push_metric(Target("me/hier_ot"))
    assert hub.calls[0][1]["repo_type"] == "space"
    assert hub.calls[0][1]["space_sdk"] == "gradio"
    files = hub.files("me/hier_ot", "space")
    assert {"README.md", "app.py", "hier_ot.py", "requirements.txt", "wasserstein.py"} <= set(files)
    push_metric(Target("me/hier_ot"), dry_run=tmp_path / "hier_ot")
    metric = hf_evaluate.load(str(tmp_path / "hier_ot"))
    assert metric.compute(predictions=[[1, 0, 0]], references=[[0, 0, 1]])["hier_ot"] == pytest.approx(2)


def test_the_metric_needs_its_own_name(hub):
    with pytest.raises(ValueError, match="give USER/hier_ot"):
        push_metric(Target("me/transport"))
