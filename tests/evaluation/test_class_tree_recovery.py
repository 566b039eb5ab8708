"""Classes whose embeddings are a tree give it back; counts and means against naive loops."""

import numpy as np
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.evaluation.class_tree import (
    choose_categories,
    class_entailment,
    container_scores,
    true_class_tree,
    wider_angle_scores,
)
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer

CLASSES = ("pane", "house", "window", "car", "wheel")
# class -> box, one of each in every image
BOXES = {"house": (2, 2, 50, 60), "window": (10, 10, 30, 30), "pane": (12, 12, 20, 20), "car": (60, 60, 95, 90),
         "wheel": (65, 80, 72, 88)}  # fmt: skip
PARENTS = {"house": "scene", "window": "house", "pane": "window", "car": "scene", "wheel": "car"}


def make(images=4, boxes=BOXES):
    names = np.array([f"{i}" for i in range(images)])
    table = BoxTable(
        image_ids=names,
        image_files=names,
        image_sizes=np.full((images, 2), 100, dtype=np.int32),
        box_image=np.repeat(np.arange(images), len(boxes)).astype(np.int32),
        boxes=np.array([*boxes.values()] * images, dtype=np.float32),
        labels=np.array([CLASSES.index(name) for name in boxes] * images, dtype=np.int32),
        class_names=CLASSES,
    )
    return build_hierarchy(table)


def embed(hierarchy, hyperbolic, beyond=1.5, aside=0.25):
    """Each class beyond its container and a little aside, the same in every image but for some noise."""
    rng = np.random.default_rng(0)
    place = {"scene": 0.3 * np.eye(32)[0]}
    for index, name in enumerate(("house", "car", "window", "wheel", "pane")):
        place[name] = beyond * place[PARENTS[name]] + aside * np.eye(32)[index + 1]
    labels = hierarchy.node_label.tolist()
    tangent = np.stack([place["scene" if c < 0 else CLASSES[c]] for c in labels]) + 0.002 * rng.normal(
        size=(len(labels), 32)
    )
    points = torch.from_numpy(tangent)
    return (lorentz.exp_map0(points, 1.0) if hyperbolic else points).float()


def test_the_most_frequent_container():
    found = choose_categories(make())
    assert found.names == ("scene", *CLASSES)
    tree = true_class_tree(found.shares)
    assert {found.names[i]: found.names[p] for i, p in enumerate(tree) if p >= 0} == PARENTS
    assert found.shares.sum(0)[1:] == pytest.approx(1)
    assert found.shares[:, 0].sum() == 0
    assert {(found.names[w], found.names[p]) for w, p in found.pairs} == {
        ("house", "window"), ("window", "pane"), ("car", "wheel"),
    }  # fmt: skip


def test_containers_come_along_and_what_does_not_fit_is_passed_by():
    found = choose_categories(make(), most_classes=2)
    chosen = set(found.names)
    assert len(chosen) == 3
    assert all(PARENTS[name] in chosen for name in chosen - {"scene"})


def test_circles_of_containers_are_broken():
    # a holds b in 60 % and b holds a in 60 %: one of the two hangs from the scene
    shares = np.array([[0.0, 0.4, 0.3], [0.0, 0.0, 0.7], [0.0, 0.6, 0.0]])
    assert true_class_tree(shares).tolist() == [-1, 0, 1]


@pytest.mark.parametrize("curvature", [1.0, None])
def test_embeddings_that_are_a_tree_of_classes_give_it_back(curvature):
    hierarchy = make()
    embeds = embed(hierarchy, bool(curvature))
    found = class_entailment(embeds, hierarchy, curvature)
    assert found["found_parent"] == found["true_parent"]
    assert found["edge_f1"]["value"] == 1
    assert found["star"]["value"] == pytest.approx(2 / 5)
    assert found["edge_f1"]["chance"] == pytest.approx(1 / 6)
    assert {pair["told"]["value"] for pair in found["pairs"]} == {1.0}
    assert {pair["boxes"] for pair in found["pairs"]} == {4}
    assert found["pairs"][0]["told"]["chance"] == pytest.approx(1 / 5)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=embeds.shape)).float()
    assert class_entailment(noise, hierarchy, curvature)["edge_f1"]["value"] < 0.9


@pytest.mark.parametrize("curvature", [1.0, None])
def test_classes_that_hold_by_no_obtuse_angle_are_told_by_the_wider_one(curvature):
    hierarchy = make()
    # a class goes no farther than its container but to the side: angles at containers are narrow
    found = class_entailment(embed(hierarchy, bool(curvature), 1.0, 0.4), hierarchy, curvature)
    assert found["edge_f1"]["value"] == 1
    assert found["obtuse"]["value"] < 1
    assert {pair["told"]["value"] for pair in found["pairs"]} == {1.0}


def test_mean_angles_are_over_different_images_only():
    hierarchy = make(3)
    embeds = torch.from_numpy(np.random.default_rng(2).normal(size=(hierarchy.num_nodes, 5))).float()
    found = class_entailment(embeds, hierarchy, 1.0)
    score = EmbeddingScorer(embeds, "beta", 1.0).pairs
    house, pane = (np.flatnonzero(hierarchy.node_label == CLASSES.index(name)) for name in ("house", "pane"))
    angles = [
        float(score(np.array([h]), np.array([p]))[0])
        for h in house
        for p in pane
        if hierarchy.node_image[h] != hierarchy.node_image[p]
    ]
    at = found["names"].index("house"), found["names"].index("pane")
    assert found["interior"][at[0]][at[1]] == pytest.approx(np.degrees(np.mean(angles)), abs=0.06)


def test_rules_of_holding():
    interior, between = np.radians([[0, 100], [80, 0]]), np.radians([[0, 30.0], [30.0, 0]])
    assert (container_scores(interior, between) > 0).tolist() == [[False, True], [False, False]]
    narrow = np.radians([[0, 80], [20, 0]])
    assert not (container_scores(narrow, between) > 0).any()
    assert (wider_angle_scores(narrow, narrow.T, between) > 0).tolist() == [[False, True], [False, False]]


def test_one_image_and_no_pair_of_boxes():
    one = make(1)
    embeds = torch.ones(one.num_nodes, 4)
    found = class_entailment(embeds, one, None)
    assert found["interior"] == [[None] * 6] * 6
    assert class_entailment(torch.ones(2, 4), make(1, {"house": BOXES["house"]}), None) is None
