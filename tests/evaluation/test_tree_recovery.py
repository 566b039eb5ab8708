from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic import lorentz
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer
from hf_hyperbolic.evaluation.tree_recovery import (
    edge_f1,
    edge_f1_bounds,
    image_tree,
    nearest_container,
    random_scorer,
    recover_tree,
)


def is_arborescence(parent):
    if sum(p == -1 for p in parent) != 1:
        return False
    for start in range(len(parent)):
        seen, node = set(), start
        while node != -1:
            if node in seen:
                return False
            seen.add(node)
            node = parent[node]
    return True


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_no_other_tree_scores_higher(n, seed):
    scores = np.random.default_rng(seed).normal(size=(n, n))
    found = recover_tree(scores)
    assert is_arborescence(found.tolist())

    def total(parent):
        return sum(scores[p, v] for v, p in enumerate(parent) if p >= 0)

    best = max(total(p) for p in product(range(-1, n), repeat=n) if is_arborescence(p))
    assert total(found.tolist()) == pytest.approx(best)


def test_scores_that_know_the_direct_parents_recover_the_tree(make_hierarchy):
    hierarchy = make_hierarchy(seed=3, images=6, boxes=5)
    known = {(u, v) for u, v in hierarchy.direct.tolist()}

    def scorer(first, second):
        return np.array([float((u, v) in known) for u, v in zip(first.tolist(), second.tolist(), strict=True)])

    values = edge_f1(hierarchy, scorer)
    parents = np.bincount(hierarchy.direct[:, 1], minlength=hierarchy.num_nodes)
    single = [i for i in range(6) if (parents[hierarchy.image_nodes(i)[1:]] == 1).all()]
    assert single, "no image whose hierarchy is a tree: the test would say nothing"
    assert values[single] == pytest.approx(1.0)
    assert np.nanmin(values) > 0.7
    reverse = edge_f1(hierarchy, lambda first, second: scorer(second, first))
    assert np.nanmean(reverse) < np.nanmean(edge_f1(hierarchy, None)) < np.nanmean(values)
    assert np.nanmean(edge_f1(hierarchy, random_scorer())) < 0.5


def test_the_star_is_the_share_of_boxes_directly_below_the_scene(make_hierarchy):
    hierarchy = make_hierarchy(seed=4, images=4, boxes=6, whole=1)
    values = edge_f1(hierarchy, None)
    for image in range(4):
        direct = [(u, v) for u, v in hierarchy.direct.tolist() if hierarchy.node_image[v] == image]
        below = sum(u == image for u, _ in direct)
        boxes = int(hierarchy.active()[hierarchy.image_nodes(image)].sum()) - 1
        assert values[image] == pytest.approx(2 * below / (boxes + len(direct)))


def test_few_boxes_and_undrawn_images_are_left_out(make_hierarchy):
    hierarchy = make_hierarchy(seed=0, images=8, boxes=6, empty=2)
    assert np.isnan(edge_f1(hierarchy, None)[6:]).all()
    assert np.isfinite(edge_f1(hierarchy, None, max_images=3)).sum() == 3


def test_embeddings_that_are_a_tree_give_it_back(make_hierarchy):
    """Each child beyond its parent and a little aside: its direct parent holds it, and points nearly where it does."""
    hierarchy = make_hierarchy(seed=3, images=4, boxes=5)
    rng = np.random.default_rng(0)
    tangent = rng.normal(size=(hierarchy.num_nodes, 256)) * 0.02
    parents = {v: u for u, v in hierarchy.direct.tolist()}  # one of them, where there are two
    for node in np.argsort(hierarchy.level, kind="stable").tolist():
        if node in parents:
            step = rng.normal(size=256)
            tangent[node] = 1.5 * tangent[parents[node]] + 0.4 * step / np.linalg.norm(step)
    embeds = lorentz.exp_map0(torch.from_numpy(tangent), 1.0).float()
    beta, cosine = (EmbeddingScorer(embeds, measure, 1.0).pairs for measure in ("beta", "cosine"))
    values = edge_f1(hierarchy, nearest_container(beta, cosine))
    count = np.bincount(hierarchy.direct[:, 1], minlength=hierarchy.num_nodes)
    for image in range(4):
        direct = count[hierarchy.image_nodes(image)]
        boxes = len(direct) - 1
        assert values[image] == pytest.approx(2 * boxes / (boxes + direct.sum()))


def test_a_node_holds_from_the_angle_given_on():
    angle = np.array([[0.0, 1.0, 2.0]])
    cosine = np.array([[0.0, 0.2, 0.1]])
    first, second = np.array([0, 0]), np.array([1, 2])
    at = lambda table: lambda f, s: table[0][s]  # noqa: E731
    obtuse = nearest_container(at(angle), at(cosine))(first, second)
    assert obtuse[1] > obtuse[0]  # a right angle lies between the two
    wide = nearest_container(at(angle), at(cosine), 0.5)(first, second)
    assert wide[0] > wide[1]  # both hold, and the nearer in direction comes first
    each = nearest_container(at(angle), at(cosine), np.array([1.0, 9.0, 9.0]))(first, second)
    np.testing.assert_array_equal(each, wide)


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match="square"):
        recover_tree(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        recover_tree(np.array([[0, np.nan], [1, 0]]))


@pytest.mark.parametrize("kind", ["any", "ties", "holders"])
def test_as_heavy_as_the_tree_of_a_graph_library(kind):
    networkx = pytest.importorskip("networkx")
    rng = np.random.default_rng(0)
    for n in range(2, 22):
        scores = rng.normal(size=(n, n))
        if kind == "ties":
            scores = np.round(scores)
        if kind == "holders":
            scores += 1e4 * (rng.random((n, n)) < 0.3)
        parent = recover_tree(scores)
        assert is_arborescence(parent.tolist())
        graph = networkx.DiGraph()
        graph.add_weighted_edges_from((u, v, scores[u, v]) for u in range(n) for v in range(n) if u != v)
        best = sum(scores[u, v] for u, v in networkx.maximum_spanning_arborescence(graph).edges)
        assert sum(scores[p, v] for v, p in enumerate(parent) if p >= 0) == pytest.approx(best)


def test_chance_and_ceiling_in_closed_form(make_hierarchy):
    hierarchy = make_hierarchy(seed=4, images=5, boxes=6, whole=1)
    chance, best = edge_f1_bounds(hierarchy)
    trials = np.stack([edge_f1(hierarchy, random_scorer(seed)) for seed in range(400)])
    spread = trials.std(0) / np.sqrt(len(trials))
    assert (np.abs(trials.mean(0) - chance) < 4 * spread).all()
    known = {(u, v) for u, v in hierarchy.direct.tolist()}
    oracle = edge_f1(
        hierarchy, lambda a, b: np.array([float(pair in known) for pair in zip(a.tolist(), b.tolist(), strict=True)])
    )
    assert best == pytest.approx(oracle)


def test_the_tree_of_an_image_names_nodes(make_hierarchy):
    hierarchy = make_hierarchy(seed=4, images=3, boxes=4, whole=1)
    nodes, parent = image_tree(hierarchy, 0, None)
    assert nodes.tolist() == [0, *range(hierarchy.num_images + 1, hierarchy.num_images + 4)]
    assert parent.tolist() == [-1, 0, 0, 0]
    nodes, parent = image_tree(hierarchy, 2, lambda a, b: -np.abs(a - b).astype(float))
    assert set(parent.tolist()) <= {-1, *nodes.tolist()}
    assert (parent == -1).sum() == 1
