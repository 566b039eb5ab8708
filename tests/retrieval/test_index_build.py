import json
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import ColourEncoder
from PIL import Image

from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.read import read_source
from hf_hyperbolic.retrieval import index_build, index_shards
from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.index_build import build_index, folder_source
from hf_hyperbolic.retrieval.index_writer import IndexWriter

QUIET = {"progress": False, "batch_size": 7}


def content(path):
    index = Index.open(path)
    rows = np.arange(len(index))
    return index.embeddings(rows), index.items(rows)


def same(first, second, shards=True):
    np.testing.assert_array_equal(content(first)[0], content(second)[0])
    assert content(first)[1] == content(second)[1]
    if shards:
        assert [shard.rows for shard in Index.open(first).manifest.shards] == [
            shard.rows for shard in Index.open(second).manifest.shards
        ]


def test_items_are_the_nodes_of_the_hierarchy(tmp_path, encoder, source):
    built = build_index(tmp_path / "index", encoder, source, "data", "val", shard_rows=20, **QUIET)
    hierarchy = build_hierarchy(source.table)
    index = Index.open(built.folder)
    assert (built.rows, built.added, built.broken, len(index)) == (60, 60, [], 60)
    assert [shard.rows for shard in index.manifest.shards] == [20, 20, 20]
    items = index.items(range(60))
    node_of = {}
    for row, item in enumerate(items):
        image = [*source.table.image_ids].index(item["id"].removeprefix("val/").partition("#")[0])
        node = hierarchy.image_nodes(image)[1 + int(item["id"].partition("#")[2])] if "#" in item["id"] else image
        node_of[row] = int(node)
    assert sorted(node_of.values()) == list(range(hierarchy.num_nodes))
    for row, item in enumerate(items):
        node = node_of[row]
        label = hierarchy.node_label[node]
        assert item["label"] == (hierarchy.class_names[label] if label >= 0 else None)
        assert (item["level"], item["split"]) == (hierarchy.level[node], "val")
        assert item["image"] == source.table.image_files[hierarchy.node_image[node]]
        assert item["box"] == (hierarchy.node_box[node].tolist() if label >= 0 else None)
        parents = hierarchy.direct[hierarchy.direct[:, 1] == node, 0].tolist()
        assert ([node_of[item["parent"]]] if item["parent"] is not None else []) == parents
        assert item["can_be_parent"] == (label < 0 or node in hierarchy.ancestry[:, 0])
        assert item["can_be_child"] == (label >= 0)
    # the pixels are cut from the image, whatever the batch
    door = next(row for row, item in enumerate(items) if item["label"] == "door")
    image = Image.open(items[door]["image"]).convert("RGB")
    np.testing.assert_allclose(index.embeddings([door]), encoder.encode([image], [items[door]["box"]]), atol=1e-6)


@pytest.mark.parametrize("where", ["middle of a shard", "before the manifest", "while writing"])
def test_a_killed_build_goes_on_and_is_the_same_as_one_that_was_not(tmp_path, encoder, data, where, caplog):
    setup = {
        "middle of a shard": "encoder = ColourEncoder(kill_at=6)",
        "before the manifest": "encoder = ColourEncoder(); kill(index_manifest.Manifest, 'write', 3)",
        "while writing": "encoder = ColourEncoder(); kill(index_shards, 'save_file', 2)",
    }[where]
    script = f"""
import os, signal, sys
sys.argv[0] = "hf-hyperbolic"  # so that transformers is not imported
sys.path.insert(0, {str(Path(__file__).parent)!r})
from colour_encoder import ColourEncoder
from hf_hyperbolic.data.read import read_source
from hf_hyperbolic.retrieval import index_manifest, index_shards
from hf_hyperbolic.retrieval.index_build import build_index
def kill(place, name, at):
    calls, real = [], getattr(place, name)
    def counted(*args, **named):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **named)
    setattr(place, name, counted)
{setup}
build_index({str(tmp_path / "killed")!r}, encoder, read_source({str(data)!r}, "val"), "data", "val", shard_rows=14,
            progress=False, batch_size=7)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    finished = len(Index.open(tmp_path / "killed"))
    assert finished < 60
    if where == "middle of a shard":
        assert finished > 0
        assert "unfinished: 8 of 12 images" in repr(Index.open(tmp_path / "killed"))
    source = read_source(data, "val")
    built = build_index(tmp_path / "killed", encoder, source, "data", "val", shard_rows=14, **QUIET)
    assert "was killed; going on" in caplog.text
    assert built.resumed_at == finished // 5
    assert built.added == 60 - finished
    build_index(tmp_path / "whole", encoder, source, "data", "val", shard_rows=14, **QUIET)
    same(tmp_path / "killed", tmp_path / "whole")
    assert not [path.name for path in (tmp_path / "killed").iterdir() if "writing" in path.name]


def test_a_finished_build_is_left_as_it_is(tmp_path, encoder, source):
    build_index(tmp_path / "index", encoder, source, "data", "val", **QUIET)
    before = (tmp_path / "index" / "manifest.json").read_bytes()
    again = build_index(tmp_path / "index", encoder, source, "data", "val", **QUIET)
    assert (again.rows, again.added, again.resumed_at) == (60, 0, 12)
    assert (tmp_path / "index" / "manifest.json").read_bytes() == before


def test_append(tmp_path, encoder, data, source):
    build_index(tmp_path / "index", encoder, source, "data", "val", **QUIET)
    train = read_source(data, "train")
    with pytest.raises(FileExistsError, match=r"holds an index of data \(val\) already: append data \(train\) to it"):
        build_index(tmp_path / "index", encoder, train, "data", "train", **QUIET)
    annotations = data / "instances_val.json"
    changed = json.loads(annotations.read_text())
    changed["annotations"][40]["bbox"] = [1, 1, 30, 30]
    annotations.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="an item with the id 'val/val0' is in"):
        build_index(tmp_path / "index", encoder, read_source(data, "val"), "data", "val", append=True, **QUIET)
    built = build_index(tmp_path / "index", encoder, train, "data", "train", append=True, **QUIET)
    assert (built.rows, built.added) == (120, 60)
    build_index(tmp_path / "alone", encoder, train, "data", "train", **QUIET)
    embeddings, items = content(tmp_path / "index")
    alone, alone_items = content(tmp_path / "alone")
    np.testing.assert_array_equal(embeddings[60:], alone)
    assert [item["parent"] for item in items[60:]] == [
        None if item["parent"] is None else item["parent"] + 60 for item in alone_items
    ]


def test_another_source_under_an_unfinished_build_is_refused(tmp_path, data, source):
    with pytest.raises(ValueError, match="NaN"):
        build_index(tmp_path / "index", ColourEncoder(nan_at=6), source, "data", "val", shard_rows=20, **QUIET)
    annotations = data / "instances_val.json"
    changed = json.loads(annotations.read_text())
    changed["annotations"][40]["bbox"] = [1, 1, 30, 30]
    annotations.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=r"unfinished build from data \(val\), 8 of 12 images; .* changed since"):
        build_index(tmp_path / "index", ColourEncoder(), read_source(data, "val"), "data", "val", **QUIET)


def test_nan_embeddings_are_named_and_what_was_finished_stays(tmp_path, source):
    # each batch holds two images: the sixth begins with image 10
    with pytest.raises(ValueError, match=r"NaN or infinite embeddings for 1 of 20 items: 'val/val10#0'\. Look at"):
        build_index(tmp_path / "index", ColourEncoder(nan_at=6), source, "data", "val", shard_rows=20, **QUIET)
    assert len(Index.open(tmp_path / "index")) == 40


def test_other_settings_than_the_index_has(tmp_path, encoder, source):
    build_index(tmp_path / "index", encoder, source, "data", "val", dtype="float16", **QUIET)
    with pytest.raises(ValueError, match="has embeddings in float16, not float32"):
        build_index(tmp_path / "index", encoder, source, "data", "val", dtype="float32", **QUIET)
    with pytest.raises(ValueError, match="has thumbnails of side 0, not 32"):
        build_index(tmp_path / "index", encoder, source, "data", "val", thumbnails=32, **QUIET)
    with pytest.raises(ValueError, match="dtype must be one of float32, float16, got 'int8'"):
        build_index(tmp_path / "other", encoder, source, "data", "val", dtype="int8", **QUIET)


def test_float16_is_what_rounding_gives(tmp_path, encoder, source):
    build_index(tmp_path / "half", encoder, source, "data", "val", dtype="float16", **QUIET)
    build_index(tmp_path / "full", encoder, source, "data", "val", **QUIET)
    expected = content(tmp_path / "full")[0].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(content(tmp_path / "half")[0], expected)


def test_broken_images_are_left_out_named_and_counted(tmp_path, encoder, data):
    (data / "images" / "val3.png").write_bytes((data / "images" / "val3.png").read_bytes()[:200])
    (data / "images" / "val4.png").unlink()
    source = read_source(data, "val")
    built = build_index(tmp_path / "index", encoder, source, "data", "val", **QUIET)
    left = source.table.num_images - sum(built.skipped.values())
    assert len(built.broken) == sum(built.skipped.values()) >= 1
    assert any("val3.png" in message for message in built.broken)
    assert built.rows == 5 * left
    assert Index.open(built.folder).manifest.sources[0].skipped == built.skipped
    ids = {item["id"] for item in content(built.folder)[1]}
    assert "val/val3" not in ids
    assert {"val/val2", "val/val5", "val/val5#3"} <= ids


def test_a_folder_of_images(tmp_path, encoder, data):
    (data / "images" / "deeper").mkdir()
    (data / "images" / "val0.png").rename(data / "images" / "deeper" / "x.png")
    (data / "images" / "broken.jpg").write_text("no image")
    (data / "images" / "notes.txt").write_text("no image either")
    built = build_index(
        tmp_path / "index", encoder, folder_source(data / "images"), "images", thumbnails=20, shard_rows=10, **QUIET
    )
    assert (built.rows, built.skipped) == (24, {"not_an_image": 1})
    items = content(built.folder)[1]
    assert [item["id"] for item in items if item["id"].startswith("deeper")] == ["deeper/x.png"]
    for item in items:
        assert item["box"] is None
        assert (item["can_be_parent"], item["can_be_child"], item["level"]) == (True, True, 0)
        assert Path(item["image"]).is_file()
        assert max(Image.open(BytesIO(item["thumbnail"])).size) == 20


def test_thumbnails_show_the_box(tmp_path, encoder, data, source):
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[5:45, 5:45] = (250, 20, 20)
    Image.fromarray(pixels).save(data / "images" / "val0.png")
    build_index(tmp_path / "index", encoder, source, "data", "val", thumbnails=24, **QUIET)
    index = Index.open(tmp_path / "index")
    item = index.items([index.row("val/val0#1")])[0]
    small = Image.open(BytesIO(item["thumbnail"]))
    assert small.size == (24, 24)
    assert np.abs(np.asarray(small).astype(int) - [250, 20, 20]).max() < 12


@pytest.mark.slow
def test_worker_processes_change_nothing(tmp_path, encoder, source):
    build_index(tmp_path / "one", encoder, source, "data", "val", shard_rows=14, **QUIET)
    build_index(tmp_path / "two", encoder, source, "data", "val", shard_rows=14, num_workers=2, **QUIET)
    same(tmp_path / "one", tmp_path / "two")


def test_embeddings_are_those_of_evaluation(tmp_path, data):
    from transformers import ResNetConfig

    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
    from hf_hyperbolic.encoder import ImageEncoder
    from hf_hyperbolic.training.embed import embed_nodes

    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6)).eval()
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
    encoder = ImageEncoder(model, "here", 24, mean, std, context=0.25, crop_mode="pad")
    source = read_source(data, "val")
    build_index(tmp_path / "index", encoder, source, "data", "val", **QUIET)
    index = Index.open(tmp_path / "index")
    hierarchy = build_hierarchy(source.table)
    expected = embed_nodes(
        model, source.images(), hierarchy, np.arange(hierarchy.num_nodes), 24, mean, std, 0.25, "pad"
    )
    for node in range(hierarchy.num_nodes):
        image = hierarchy.node_image[node]
        place = node - hierarchy.image_nodes(image)[1] if node >= hierarchy.num_images else None
        row = index.row("val/" + str(source.table.image_ids[image]) + ("" if place is None else f"#{place}"))
        np.testing.assert_allclose(index.embeddings([row])[0], expected[node], atol=1e-6)


def test_a_build_stopped_by_its_user_loses_nothing_that_was_embedded(tmp_path, encoder, source):
    class Stopped(ColourEncoder):
        def encode_crops(self, crops, batch_size=256):
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().encode_crops(crops, batch_size)

    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path / "index", Stopped(), source, "data", "val", **QUIET)
    assert len(Index.open(tmp_path / "index")) == 30
    assert build_index(tmp_path / "index", encoder, source, "data", "val", **QUIET).resumed_at == 6
    build_index(tmp_path / "whole", encoder, source, "data", "val", **QUIET)
    same(tmp_path / "index", tmp_path / "whole", shards=False)


def test_a_slow_build_writes_small_shards_of_the_same_items(tmp_path, encoder, source, monkeypatch):
    build_index(tmp_path / "whole", encoder, source, "data", "val", **QUIET)
    monkeypatch.setattr(index_build, "SHARD_SECONDS", 0.0)
    build_index(tmp_path / "slow", encoder, source, "data", "val", **QUIET)
    assert [shard.rows for shard in Index.open(tmp_path / "slow").manifest.shards] == [10] * 6
    same(tmp_path / "whole", tmp_path / "slow", shards=False)


def folder_of(path, seed, count=6):
    """Noise of equal sizes in files of equal names, and, as BMP, of equal lengths."""
    path.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.bmp")
    return path


def test_another_folder_with_the_same_names_is_not_taken_for_done(tmp_path, encoder):
    a, b = folder_of(tmp_path / "a", 0), folder_of(tmp_path / "b", 1)
    build_index(tmp_path / "index", encoder, folder_source(a), str(a), **QUIET)
    before = content(tmp_path / "index")
    named = rf"built from {a}, with files in {a}; {b} has as many files of the same names and sizes in {b}, which is an"
    for append in (False, True):
        with pytest.raises(ValueError, match=named):
            build_index(tmp_path / "index", encoder, folder_source(b), str(b), append=append, **QUIET)
    # whatever the sources are called
    build_index(tmp_path / "called", encoder, folder_source(a), "photos", **QUIET)
    with pytest.raises(ValueError, match=rf"with files in {a}; photos has as many files .* in {b}"):
        build_index(tmp_path / "called", encoder, folder_source(b), "photos", **QUIET)
    # and where the lengths of the files tell
    Image.new("RGB", (30, 30)).save(b / "2.bmp")
    with pytest.raises(FileExistsError, match=rf"holds an index of {a} already: append {b} to it"):
        build_index(tmp_path / "index", encoder, folder_source(b), str(b), **QUIET)
    np.testing.assert_array_equal(content(tmp_path / "index")[0], before[0])
    assert content(tmp_path / "index")[1] == before[1]


def test_a_build_is_not_finished_from_another_folder_with_the_same_names(tmp_path, encoder):
    a, b = folder_of(tmp_path / "a", 0), folder_of(tmp_path / "b", 1)
    settings = {"progress": False, "batch_size": 2, "shard_rows": 2}
    with pytest.raises(ValueError, match="NaN"):
        build_index(tmp_path / "index", ColourEncoder(nan_at=2), folder_source(a), str(a), **settings)
    with pytest.raises(ValueError, match=rf"built from {a}, .*; {b} has as many files"):
        build_index(tmp_path / "index", encoder, folder_source(b), str(b), **settings)
    Image.new("RGB", (30, 30)).save(b / "5.bmp")
    with pytest.raises(ValueError, match=rf"unfinished build from {a}, 2 of 6 images; {b} is not that"):
        build_index(tmp_path / "index", encoder, folder_source(b), str(b), **settings)
    built = build_index(tmp_path / "index", encoder, folder_source(a), str(a), **settings)
    assert (built.rows, built.resumed_at) == (6, 2)
    build_index(tmp_path / "whole", encoder, folder_source(a), str(a), **settings)
    same(tmp_path / "index", tmp_path / "whole")


def test_a_folder_that_was_moved(tmp_path, encoder):
    a = folder_of(tmp_path / "a", 0)
    build_index(tmp_path / "index", encoder, folder_source(a), str(a), **QUIET)
    moved = a.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=rf"If they were moved, put them, or a link to them, at {a} again; else"):
        build_index(tmp_path / "index", encoder, folder_source(moved), str(moved), **QUIET)
    a.symlink_to(moved)
    for way in (a, moved):
        assert build_index(tmp_path / "index", encoder, folder_source(way), str(way), **QUIET).added == 0


def test_a_source_that_has_changed_since(tmp_path, encoder):
    a = folder_of(tmp_path / "a", 0)
    build_index(tmp_path / "index", encoder, folder_source(a), str(a), **QUIET)
    Image.new("RGB", (30, 30)).save(a / "2.bmp")
    with pytest.raises(FileExistsError, match=rf"index of {a} already, and its annotations or images have changed"):
        build_index(tmp_path / "index", encoder, folder_source(a), str(a), **QUIET)


def lines_of(function):
    """Line numbers of a function's statements."""
    body = function.__code__
    return sorted({line for *_, line in body.co_lines() if line is not None and line > body.co_firstlineno})


STATEMENTS = [
    (function, line)
    for function in (
        index_build._NextShard.add, index_build._NextShard.write, IndexWriter.write, index_shards.write_shard
    )
    for line in lines_of(function)
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "line"), STATEMENTS, ids=[f"{function.__qualname__}:{line}" for function, line in STATEMENTS]
)
def test_wherever_its_user_stops_a_build_nothing_is_doubled_or_lost(tmp_path, encoder, source, function, line):
    """Ctrl+C before one statement, the second time, of those that keep and write what was embedded."""
    reached = 0

    def trace(frame, event, argument):
        nonlocal reached
        if frame.f_code is not function.__code__:
            return None
        if event == "line" and frame.f_lineno == line:
            reached += 1
            if reached == 2:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        build_index(tmp_path / "index", encoder, source, "data", "val", shard_rows=14, **QUIET)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    build_index(tmp_path / "index", encoder, source, "data", "val", shard_rows=14, **QUIET)
    build_index(tmp_path / "whole", encoder, source, "data", "val", shard_rows=14, **QUIET)
    same(tmp_path / "index", tmp_path / "whole", shards=False)


def test_a_shard_has_an_item_for_each_embedding(tmp_path, encoder):
    with Index.create(tmp_path / "index", encoder) as writer:
        items = [{"id": "a", "level": 0, "can_be_parent": True, "can_be_child": True}]
        with pytest.raises(ValueError, match=r"embeddings of shape \(2, 4\) for 1 items of dimension 4"):
            writer.write(np.zeros((2, 4), np.float32), items)
    assert len(Index.open(tmp_path / "index")) == 0
