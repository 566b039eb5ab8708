"""Settings of the evaluation script that make no sense, where figures go, and grounds read from files."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from hf_hyperbolic.evaluation import paired_difference
from hf_hyperbolic.training.ground import read_ground
from hf_hyperbolic.training.output_names import file_name, file_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evaluate_script", ROOT / "training" / "evaluate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give either --run"),
        ({"run": "x", "checkpoint": "y"}, "give either --run"),
        ({"run": "x", "which": "last"}, "--which must be"),
        ({"run": "x", "ground": "index", "class_hierarchy": "tree.json"}, "belong together"),
        ({"run": "x", "ground": "tree"}, "belong together"),
        ({"run": "x", "ground": "star"}, "--ground must be"),
        ({"run": "x", "split": "train", "zero_shot": True}, "another split"),
    ],
)
def test_settings_that_make_no_sense(script, settings, message):
    with pytest.raises(ValueError, match=message):
        script.EvaluateArguments(**settings)


def test_figures_on_another_data_set_go_to_a_folder_of_their_own(script):
    run = script.EvaluateArguments(run="outputs/demo", split="test")
    assert run.folder("scenes", own_data=True) == Path("outputs/demo/evaluation-test")
    assert run.folder("/sets/lvis_v1", own_data=False) == Path("outputs/demo/evaluation-lvis-v1-test")
    other = script.EvaluateArguments(checkpoint="openai/clip-vit-base-patch16")
    assert other.folder("coco", False) == Path("outputs/evaluation/openai-clip-vit-base-patch16-coco-val")
    assert script.EvaluateArguments(run="x", output_dir="here").folder("coco", False) == Path("here")


def test_what_one_name_stands_for_does_not_replace_what_another_does(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("a", "b"):
        (tmp_path / place / "coco").mkdir(parents=True)

    def evaluated(data, **settings):
        options = script.EvaluateArguments(**settings)
        folder = options.folder(data, own_data=False)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps({"options": vars(options), "data": data}))
        return folder.name

    assert [evaluated("coco", checkpoint=name) for name in ("me/x-y", "me-x/y", "me/x-y")] == [
        "me-x-y-coco-val", "me-x-y-coco-val-2", "me-x-y-coco-val",
    ]  # fmt: skip
    sets = [evaluated(f"{place}/coco", run="run") for place in ("a", "b", "a", "./b")]
    assert sets == [f"evaluation-coco-val{end}" for end in ("", "-2", "", "-2")]
    (tmp_path / "run" / sets[0] / "results.json").write_text("{")
    assert evaluated("a/coco", run="run") == "evaluation-coco-val-3", "what cannot be read is left alone"


def test_file_names():
    assert file_name("plain \u732b/caf\u00e9_1") == "plain-\u732b-caf\u00e9-1"
    assert file_name("cafe\u0301") == "caf\u00e9"
    assert file_name("...") == "unnamed"
    names = ["plain x-y", "plain x_y", "Plain X y", "plain x-y-2", "untrained"]
    assert file_names(names) == ["plain-x-y", "plain-x-y-2", "Plain-X-y-3", "plain-x-y-2-2", "untrained"]


def test_zero_shot_differences_resample_whole_images(script):
    images = np.repeat(np.arange(12), 10)
    right = np.repeat(np.random.default_rng(0).integers(0, 2, 12), 10).astype(float)
    one, other = (
        SimpleNamespace(name=name, curvature=0.0, measures=dict.fromkeys(("children", "parents"), "cosine"))
        for name in ("one", "other")
    )
    values = {"one": {"zero_shot/cosine/accuracy": right}, "other": {"zero_shot/cosine/accuracy": 0 * right}}
    found = script.compare(one, [other], values, images)["other"]["zero-shot, accuracy"]
    # all boxes of an image alike: as sure as of 12 units, one an image
    expected = paired_difference(right[::10], np.zeros(12))
    assert found == {**expected, "units": 120}


def test_a_checkpoint_of_unknown_training_needs_data(script, tmp_path):
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path / "net")
    try:
        with pytest.raises(ValueError, match="name what to evaluate by --data"):
            script.main(["--checkpoint", str(tmp_path / "net"), "--cpu", "true"])
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)  # tests after it in this process start anew


def path_length(tree, one, other):
    """Steps between two nodes, by walking to the root."""

    def above(node):
        chain = [node]
        while tree.parent[chain[-1]] >= 0:
            chain.append(int(tree.parent[chain[-1]]))
        return chain

    first, second = above(one), above(other)
    shared = next(node for node in first if node in second)
    return first.index(shared) + second.index(shared)


def test_a_map_of_parents_is_a_ground(tmp_path):
    file = tmp_path / "tree.json"
    file.write_text(json.dumps({"cat": "animal", "dog": "animal", "car": "thing", "animal": "thing", "thing": None}))
    tree = read_ground(("dog", "car", "cat"), str(file))
    assert [path_length(tree, *pair) for pair in ((0, 2), (0, 1), (1, 2))] == [2, 3, 3]


def test_the_hierarchy_of_open_images_finds_the_names_beside_it(tmp_path):
    document = {
        "LabelName": "/m/root",
        "Subcategory": [{"LabelName": "/m/animal", "Subcategory": [{"LabelName": "/m/cat"}, {"LabelName": "/m/dog"}]}],
    }
    file = tmp_path / "hierarchy.json"
    file.write_text(json.dumps(document))
    # a file of other classes stands first in the folder
    (tmp_path / "a-class-descriptions.csv").write_text("/m/root,Entity\n/m/animal,Animal\n")
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/animal,Animal\n/m/cat,Cat\n/m/dog,Dog\n")
    tree = read_ground(("Dog", "Cat"), str(file))
    assert path_length(tree, 0, 1) == 2
    assert np.array_equal(read_ground(("/m/dog", "/m/cat"), str(file)).parent[:2], tree.parent[:2])
    with pytest.raises(ValueError, match=r"hierarchy\.json: .*not in the class hierarchy"):
        read_ground(("Horse",), str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not JSON at line 1"), ("[1]", "one object"), ('{"a": 3}', "the parent of 'a' must be a name"),
     ('{"a": null, "b": "a"}', "c")],
)  # fmt: skip
def test_what_is_no_ground_is_named(tmp_path, content, message):
    file = tmp_path / "tree.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_ground(("a", "c"), str(file))
    with pytest.raises(FileNotFoundError):
        read_ground(("a",), str(tmp_path / "none.json"))
