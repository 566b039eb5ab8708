"""Features on disk: right, found again when nothing changed, and only then."""

import json
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_backbones import small_model

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.evaluation.processes import Processes
from hf_hyperbolic.training import cached_features as module
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.cached_features import cached_features
from hf_hyperbolic.training.feature_feed import FeatureFeed
from hf_hyperbolic.training.feeds import TableFeed
from hf_hyperbolic.training.fine_tuning import without_broken
from hf_hyperbolic.training.sources import load_split

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


@pytest.fixture
def args(data, tmp_path):
    return TrainArguments(
        data=str(data), features_dir=str(tmp_path / "features"), image_size=32, cache_features=True, flip=False,
        scenes_per_batch=4, boxes_per_scene=4, mated_boxes_per_scene=1, max_steps=6,
    )  # fmt: skip


@pytest.fixture
def split(args):
    return load_split(args, "train")


def files(args):
    return sorted(path.name for path in Path(args.features_dir).iterdir())


@pytest.mark.parametrize("backbone", ["vit", "resnet"])
def test_they_are_what_the_backbone_pools_in_evaluation_mode(args, split, backbone):
    model = small_model(backbone).train()
    table, path, there = cached_features(model, split, args, MEAN, STD, batch_size=7)
    assert not there
    assert model.training
    nodes = np.arange(split.hierarchy.num_nodes)
    crops, broken, _ = node_crops(split.images(0), split.hierarchy, nodes, 32, args.context, args.crop_mode)
    assert not broken
    with torch.no_grad():
        pixels = normalise(torch.from_numpy(crops.transpose(0, 3, 1, 2)), MEAN, STD)
        expected = model.eval()(pixel_values=pixels).pooler_output
    assert table.features.shape == (split.hierarchy.num_nodes, model.config.feature_dim)
    assert torch.allclose(table.features, expected, atol=1e-5)
    with safe_open(path, "pt") as opened:
        assert torch.equal(opened.get_tensor("features"), table.features)
        assert opened.metadata()["crops"] == "32 px, context 0.25, resize"


def test_the_same_again_is_read_and_not_computed(args, split, monkeypatch):
    model = small_model("vit")
    first, path, _ = cached_features(model, split, args, MEAN, STD)
    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("computed once more"))
    # neither the head nor the settings of pairs and batches have a part in it
    other = small_model("vit", curvature_init=2.0)
    again = replace(args, threshold=0.5, seed=3, scenes_per_batch=5)
    second, same_path, there = cached_features(other, load_split(again, "train"), again, MEAN, STD)
    assert (there, same_path) == (True, path)
    assert torch.equal(first.features, second.features)
    assert files(args) == [path.name]


def change_a_weight(model):
    with torch.no_grad():
        model.backbone.embeddings.cls_token[0, 0, 0] += 1e-3


def change_the_activation(model):
    model.backbone.config.hidden_act = "relu"


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        (change_a_weight, {}),
        (change_the_activation, {}),
        (None, {"context": 0.3}),
        (None, {"crop_mode": "pad"}),
        (None, {"min_box_size": 12.0}),
    ],
)
def test_another_backbone_or_other_crops_make_another_file(args, split, change, settings):
    model = small_model("vit")
    _, path, _ = cached_features(model, split, args, MEAN, STD)
    if change:
        change(model)
    other = replace(args, **settings)
    _, other_path, there = cached_features(model, load_split(other, "train"), other, MEAN, STD)
    assert not there
    assert other_path != path
    assert len(files(args)) == 2


def test_another_image_file_makes_another_file(args, data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    moved = replace(args, data=str(copy))
    model = small_model("vit")
    _, path, _ = cached_features(model, load_split(args, "train"), args, MEAN, STD)
    _, same, there = cached_features(model, load_split(moved, "train"), moved, MEAN, STD)
    assert (there, same) == (True, path)  # the files are the same, wherever they lie
    victim = next((copy / "train").glob("*.jpg"))
    victim.write_bytes(victim.read_bytes() + b" ")
    _, _, there = cached_features(model, load_split(moved, "train"), moved, MEAN, STD)
    assert not there


def test_a_write_that_fails_leaves_nothing(args, split, monkeypatch):
    def fail(_, path, __):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        cached_features(small_model("vit"), split, args, MEAN, STD)
    assert files(args) == []


def test_two_runs_may_compute_the_same_features_at_once(args, split, monkeypatch):
    model, save, pids = small_model("vit"), module.save_file, count(1)
    monkeypatch.setattr("os.getpid", lambda: next(pids))

    def another_run_meanwhile(tensors, path, metadata):
        save(tensors, path, metadata)
        monkeypatch.setattr(module, "save_file", save)
        cached_features(model, split, args, MEAN, STD)

    monkeypatch.setattr(module, "save_file", another_run_meanwhile)
    table, path, _ = cached_features(model, split, args, MEAN, STD)
    assert files(args) == [path.name]
    assert torch.equal(load_file(path)["features"], table.features)


def test_a_damaged_file_is_named(args, split):
    model = small_model("vit")
    _, path, _ = cached_features(model, split, args, MEAN, STD)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{path.name} holds no features that can be read .*: remove it"):
        cached_features(model, split, args, MEAN, STD)


def test_images_that_cannot_be_read_are_told_each_time(args, data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    broken = sorted((copy / "train").glob("*.jpg"))[:2]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    args = replace(args, data=str(copy))
    split = load_split(args, "train")
    for expected in (False, True):
        table, _, there = cached_features(small_model("vit"), split, args, MEAN, STD)
        assert there == expected
        found = {Path(split.table.image_files[image]).name for image in table.broken}
        assert found == {path.name for path in broken}
        assert all(Path(split.table.image_files[image]).name in why for image, why in table.broken.items())
    lost = np.isin(split.hierarchy.node_image, list(table.broken))
    assert np.array_equal(table.features.isnan().all(1), lost), "nothing that could be taken for a feature"
    assert not table.features[~lost].isnan().any()
    without, features = TableFeed(split, args, (0, 1)), FeatureFeed(split, args, (0, 1), table)
    met = set()
    for batch, expected in zip(features.loader(0), without.loader(0), strict=True):
        assert np.array_equal(batch["nodes"], expected["nodes"])
        assert sorted(batch["broken"]) == sorted(expected["broken"])
        assert torch.equal(batch["pixel_values"], table.features[torch.from_numpy(batch["nodes"])])
        met.update(batch["broken"])
    assert met
    for path in (copy / "train").glob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 24 images can be read"):
        cached_features(small_model("vit"), split, args, MEAN, STD)


def test_a_split_without_what_could_not_be_read_keeps_its_features(args, data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    args = replace(args, data=str(copy))
    split, model = load_split(args, "val"), small_model("vit")
    whole, _, _ = cached_features(model, split, args, MEAN, STD)
    assert without_broken(split, whole, args)[0] is split
    for number in (0, 5):
        path = Path(split.table.image_files[number])
        path.write_bytes(path.read_bytes()[:300])
    table, _, _ = cached_features(model, split, args, MEAN, STD)
    left, features = without_broken(split, table, args)
    kept = np.flatnonzero(~np.isin(split.hierarchy.node_image, [0, 5]))
    assert left.table.image_files.tolist() == np.delete(split.table.image_files, [0, 5]).tolist()
    assert left.table.skipped()["broken_image"] == 2
    assert np.array_equal(left.hierarchy.node_box, split.hierarchy.node_box[kept])
    assert torch.allclose(features, whole.features[torch.from_numpy(kept)], atol=1e-5)
    # boxes of the images that are left hold what they held
    renumbered = {old: new for new, old in enumerate(kept.tolist())}
    pairs = [pair for pair in split.hierarchy.ancestry.tolist() if pair[0] in renumbered]
    assert left.hierarchy.ancestry.tolist() == sorted([renumbered[a], renumbered[b]] for a, b in pairs)


@pytest.mark.parametrize("where", ["computing", "writing"])
def test_an_interruption_leaves_no_file_and_no_other_mishap(args, split, monkeypatch, where):
    model = small_model("vit")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    def half(_, path, __):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if where == "computing":
            calls = count()
            patch.setattr(module, "node_crops", lambda *a: interrupted() if next(calls) else node_crops(*a))
        else:
            patch.setattr(module, "save_file", half)
        with pytest.raises(KeyboardInterrupt):
            cached_features(model, split, args, MEAN, STD, batch_size=20)
    assert not Path(args.features_dir).exists() or files(args) == []
    assert not cached_features(model, split, args, MEAN, STD)[2]
    assert len(files(args)) == 1


def test_how_far_it_is_is_shown(args, split, capfd):
    cached_features(small_model("vit"), split, args, MEAN, STD, batch_size=50)
    shown = capfd.readouterr().err
    nodes = split.hierarchy.num_nodes
    assert f"{nodes}/{nodes}" in shown
    assert shown.startswith("\rfeatures:   0%")


def test_processes_take_parts_of_each_batch(args, split):
    table, _, _ = cached_features(small_model("vit"), split, args, MEAN, STD)
    whole = list(TableFeed(split, args, (0, 1)).loader(2))
    parts = [list(FeatureFeed(split, args, (rank, 3), table).loader(2)) for rank in range(3)]
    assert len(whole) == 4
    for step, expected in enumerate(whole):
        together = np.concatenate([part[step]["nodes"] for part in parts])
        assert np.array_equal(together, expected["nodes"])


def test_a_file_that_not_all_processes_see_is_computed_again(args, split, monkeypatch):
    model = small_model("vit")
    cached_features(model, split, args, MEAN, STD)
    monkeypatch.setattr(Processes, "gather", lambda self, part: [part, False] if isinstance(part, bool) else [part])
    assert not cached_features(model, split, args, MEAN, STD)[2]


def test_the_file_says_of_what_it_is(args, split):
    _, path, _ = cached_features(small_model("vit"), split, args, MEAN, STD)
    with safe_open(path, "pt") as opened:
        told = opened.metadata()
    assert told.keys() == {"version", "backbone", "data", "crops", "normalised by", "broken"}
    assert json.loads(told["broken"]) == {}
