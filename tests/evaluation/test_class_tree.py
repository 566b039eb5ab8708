import json
import os
from pathlib import Path

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data.class_hierarchy import read_class_hierarchy
from hf_hyperbolic.evaluation.hier_ot import class_tree as module
from hf_hyperbolic.evaluation.hier_ot import wasserstein
from hf_hyperbolic.evaluation.hier_ot.class_tree import ClassTree, open_images_parents, tree_from_parents
from hf_hyperbolic.evaluation.optimal_transport import class_tree, label_distance, wasserstein_tree

ANIMALS = {"cat": "pet", "dog": "pet", "pet": "animal", "cow": "animal"}
NAMES = ["cat", "dog", "cow"]


def path_cost(tree: ClassTree, classes: int) -> np.ndarray:
    """Path lengths by shortest paths from node to node."""
    nodes, length = len(tree.parent), tree.edge_lengths()
    cost = np.where(np.eye(nodes, dtype=bool), 0.0, np.inf)
    for child, above in enumerate(tree.parent):
        if above >= 0:
            cost[child, above] = cost[above, child] = length[child]
    for middle in range(nodes):
        cost = np.minimum(cost, cost[:, [middle]] + cost[[middle]])
    return np.ascontiguousarray(cost[:classes, :classes])


def test_a_parent_map_by_name():
    tree = tree_from_parents(ANIMALS, NAMES)
    assert tree.parent.tolist() == [3, 3, 4, 4, -1]
    assert tree_from_parents({**ANIMALS, "animal": None}, NAMES).parent.tolist() == tree.parent.tolist()
    # a class may be an inner node
    assert tree_from_parents(ANIMALS, ["pet", "cow"]).parent.tolist() == [4, 4, 0, 0, -1]
    long = tree_from_parents(ANIMALS, NAMES, {"cat": 1, "dog": 2, "pet": 3, "cow": 4})
    assert long.edge_lengths().tolist() == [1, 2, 4, 3, 0]
    np.testing.assert_array_equal(path_cost(long, 3), [[0, 3, 8], [3, 0, 9], [8, 9, 0]])


def test_every_subtree_is_a_run():
    parent = np.array([3, 3, 4, 4, -1])
    start, end = ClassTree(parent).preorder()
    inside = (start[:, None] <= start) & (start < end[:, None])
    expected = np.eye(5, dtype=bool)
    expected[3, [0, 1]] = expected[4] = True
    np.testing.assert_array_equal(inside, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ANIMALS,), "class_names must give the name"),
        ((ANIMALS, ["cat", "fox", "elk"]), "2 of 3 class_names are not in parents, for example 'fox'"),
        ((ANIMALS, ["cat", "cat"]), "class_names holds 'cat' twice"),
        (({"a": "b", "c": "d"}, ["a"]), r"parents has 2 roots \('b', 'd'\)"),
        (({"a": "b", "b": "a"}, ["a"]), "no root: the parents go round in a circle"),
        (({"a": "b", "b": "a", "c": None}, ["a"]), "round in a circle"),
        (([1, 0, -1],), "round in a circle"),
        (([],), "parents must be a list"),
        (([0.5, -1],), "parents must be a list"),
        (([0, 0],), "one -1"),
        ((5,), "parents must be a list"),
        (([-1, 0], None, [0, -1]), r"weight\[1\] is -1.0: lengths are finite and at least 0"),
        (([-1, 0], None, [0, np.nan]), r"weight\[1\] is nan"),
        (([-1, 0], None, [1]), r"shape \(1,\), expected \(2,\)"),
        (([-1, 0], None, {"a": 1}), "edge_lengths must be a list"),
        ((ANIMALS, NAMES, [1, 2, 3]), "edge_lengths must be a map"),
        ((ANIMALS, NAMES, {"cat": 1}), "edge_lengths has no length for 3 nodes, for example 'dog'"),
        ((ANIMALS, NAMES, dict.fromkeys(ANIMALS, -1.0)), r"weight\[0\] is -1.0"),
    ],
)
def test_what_is_no_tree_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tree_from_parents(*arguments)


LABELS = st.sampled_from("abcdefg")
NESTED = st.recursive(
    st.fixed_dictionaries({"LabelName": LABELS}),
    lambda below: st.fixed_dictionaries(
        {"LabelName": LABELS},
        optional={"Subcategory": st.lists(below, max_size=3), "Part": st.lists(below, max_size=3)},
    ),
    max_leaves=25,
)


@settings(deadline=None, max_examples=150)
@given(NESTED)
def test_a_file_gives_the_tree_that_the_data_code_reads(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("hierarchy") / "hierarchy.json"
    path.write_text(json.dumps({"LabelName": "root", "Subcategory": [document]}))
    hierarchy = read_class_hierarchy(path)
    assert open_images_parents(path) == {"root": None, **hierarchy.tree()}
    names = tuple(sorted(hierarchy.parents))
    read, walked = tree_from_parents(path, names), class_tree(names, hierarchy)
    np.testing.assert_array_equal(path_cost(read, len(names)), path_cost(walked, len(names)))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"LabelName": 3}', '{"LabelName": "a", "Part": [{}]}', "[[[" * 9000]
)
def test_a_bad_file_is_named(tmp_path, content):
    path = tmp_path / "hierarchy.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"hierarchy\.json: not a class hierarchy of nested LabelName"):
        open_images_parents(path)


def test_class_tree_takes_what_describes_one():
    assert class_tree(NAMES, ANIMALS).parent.tolist() == [3, 3, 4, 4, -1]
    assert class_tree(NAMES, [3, 3, 4, 4, -1]).parent.tolist() == [3, 3, 4, 4, -1]
    with pytest.raises(ValueError, match="2 nodes for 3 classes"):
        class_tree(NAMES, [-1, 0])


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), (2, 5, 3))
    tree = ClassTree(np.array([6, 6, 7, 7, 8, 8, 8, 8, -1]))
    whole = wasserstein_tree(p, q, tree)
    monkeypatch.setattr(wasserstein, "_BLOCK_CELLS", 20)
    # sums of fewer rows may run in another order
    np.testing.assert_allclose(wasserstein_tree(p, q, tree), whole, rtol=0, atol=1e-14)


def test_a_programme_that_is_not_solved_is_an_error(monkeypatch):
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(30), (2, 1))
    monkeypatch.setattr(wasserstein, "_MOST_STEPS", 1)
    with (
        pytest.raises(RuntimeError, match=r"over \(30, 30\) classes was not solved"),
        pytest.warns(UserWarning, match="numItermax"),
    ):
        label_distance(p, q, rng.random((30, 30)))


def test_only_metrics_let_shared_mass_stay():
    points = np.random.default_rng(0).random((9, 2))
    cost = np.linalg.norm(points[:, None] - points, axis=-1)
    assert wasserstein.is_metric(cost)
    assert not wasserstein.is_metric(cost**2)
    assert not wasserstein.is_metric(cost + np.eye(9))


DATA = os.environ.get("HF_HYPERBOLIC_DATA")


@pytest.mark.real_data
@pytest.mark.skipif(DATA is None, reason="HF_HYPERBOLIC_DATA is not set")
def test_the_hierarchy_of_open_images():
    folder = Path(str(DATA)) / "formats" / "openimages"
    file, classes = folder / "bbox_labels_600_hierarchy.json", folder / "class-descriptions-boxable.csv"
    hierarchy = read_class_hierarchy(file, classes)
    assert module.open_images_parents(file) == {hierarchy.root: None, **hierarchy.tree()}
    # the classes in the order of the published list, by id and by name
    ids = [line.split(",")[0] for line in classes.read_text().splitlines()]
    ids = [class_id for class_id in ids if class_id in hierarchy.parents]
    assert len(ids) > 590
    tree = tree_from_parents(file, ids)
    by_name = class_tree([hierarchy.names[class_id] for class_id in ids], hierarchy)
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(len(ids), 0.02), 8)
    q = rng.dirichlet(np.full(len(ids), 0.02), 8)
    cost = path_cost(tree, len(ids))
    expected = [ot.emd2(a, b, cost) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(label_distance(p, q, tree), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(label_distance(p, q, by_name), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(label_distance(p, q, cost), expected, rtol=0, atol=1e-9)
