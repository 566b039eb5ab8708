import json
import os
from pathlib import Path

import numpy as np
import pytest

from hf_hyperbolic.data.class_hierarchy import read_class_hierarchy
from hf_hyperbolic.evaluation.optimal_transport import ClassTree, wasserstein_tree

# wheel stands in three places, once with something below it
NESTED = {
    "LabelName": "entity",
    "Subcategory": [
        {"LabelName": "vehicle", "Subcategory": [{"LabelName": "car", "Part": [{"LabelName": "wheel"}]}]},
        {"LabelName": "toy", "Part": [{"LabelName": "wheel", "Part": [{"LabelName": "tire"}]}]},
        {"LabelName": "round", "Subcategory": [{"LabelName": "wheel"}, {"LabelName": "wheel"}]},
    ],
}


@pytest.fixture
def write(tmp_path):
    def to_file(content) -> Path:
        file = tmp_path / "hierarchy.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return to_file


def test_parents_and_tree(write):
    found = read_class_hierarchy(write(NESTED))
    assert found.root == "entity"
    assert found.parents == {
        "entity": (),
        "vehicle": (("entity", "subcategory"),),
        "toy": (("entity", "subcategory"),),
        "round": (("entity", "subcategory"),),
        "car": (("vehicle", "subcategory"),),
        "wheel": (("toy", "part"), ("round", "subcategory"), ("car", "part")),
        "tire": (("wheel", "part"),),
    }
    # car is farther from the root; round goes before toy as it is a subcategory
    assert found.tree() == {
        "vehicle": "entity",
        "toy": "entity",
        "round": "entity",
        "car": "vehicle",
        "wheel": "round",
        "tire": "wheel",
    }


def test_circles_become_a_tree(write):
    # a holds b, which elsewhere holds a; c holds itself; the root comes again
    b = {"LabelName": "b", "Subcategory": [{"LabelName": "a"}, {"LabelName": "root"}]}
    c = {"LabelName": "c", "Part": [{"LabelName": "c"}]}
    found = read_class_hierarchy(write({"LabelName": "root", "Subcategory": [{"LabelName": "a", "Part": [b, c]}]}))
    assert found.parents["a"] == (("root", "subcategory"), ("b", "subcategory"))
    assert found.parents["c"] == (("a", "part"),)
    assert found.parents["root"] == ()
    assert found.tree() == {"a": "root", "b": "a", "c": "a"}


def test_tree_distance_by_name(write, tmp_path):
    (tmp_path / "classes.csv").write_text("car,Car\ntire,Tire\nvehicle,Vehicle\n")
    found = read_class_hierarchy(write(NESTED), tmp_path / "classes.csv")
    rows = found.parent_rows(("Tire", "Car", "wheel"))
    assert rows[0] == 2
    assert (rows == -1).sum() == 1
    one_hot = np.eye(3)
    tree = ClassTree(rows)
    # tire - wheel - round - entity - vehicle - car
    assert wasserstein_tree(one_hot[0], one_hot[1], tree) == 5
    assert wasserstein_tree(one_hot[0], one_hot[2], tree) == 1
    with pytest.raises(ValueError, match="1 of 2 classes are not in the class hierarchy, for example 'Boat'"):
        found.parent_rows(("Tire", "Boat"))
    with pytest.raises(ValueError, match="class_names: 'Tire' and 'tire' are one class, tire: leave one out"):
        found.parent_rows(("Car", "Tire", "tire"))
    with pytest.raises(ValueError, match="class_names: 'Car' and 'Car' are one class, car"):
        found.parent_rows(("Car", "Car"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ('{"LabelName": "a"', "not valid JSON at line 1, column 18: the file ends early"),
        ("{LabelName}", "not valid JSON at line 1, column 2"),
        ([NESTED], "not a class hierarchy: the top must be an object with a LabelName"),
        ({"LabelName": 3}, "not a class hierarchy: the top must be"),
        (
            {"LabelName": "a", "Part": [{"LabelName": "b"}, "c"]},
            r"Part\[1\] of a must be an object with a LabelName, got 'c'",
        ),
        ({"LabelName": "a", "Subcategory": {"LabelName": "b"}}, "Subcategory of a must be a list"),
        ('{"LabelName":"a","Part":[' * 50000, "nested more deeply than Python can read"),
    ],
)
def test_bad_files_are_named(write, content, message):
    with pytest.raises(ValueError, match=rf"hierarchy\.json: .*{message}|hierarchy\.json: {message}"):
        read_class_hierarchy(write(content))
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        read_class_hierarchy("none.json")


DATA = os.environ.get("HF_HYPERBOLIC_DATA")


@pytest.mark.real_data
@pytest.mark.skipif(DATA is None, reason="HF_HYPERBOLIC_DATA is not set")
def test_published_hierarchy():
    folder = Path(str(DATA)) / "formats" / "openimages"
    found = read_class_hierarchy(folder / "bbox_labels_600_hierarchy.json", folder / "class-descriptions-boxable.csv")
    assert found.root == found.names[found.root] == "/m/0bl9f"
    assert len(found.parents) == 602
    by_name = {name: class_id for class_id, name in found.names.items()}
    parents = [(found.names[parent], relation) for parent, relation in found.parents[by_name["Human hand"]]]
    assert ("Human body", "part") in parents
    names = tuple(name for class_id, name in found.names.items() if class_id != found.root)
    assert len(ClassTree(found.parent_rows(names)).preorder().start) == 602
