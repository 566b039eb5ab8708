import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from hf_hyperbolic.evaluation import nodes
from hf_hyperbolic.evaluation import parent_to_child as protocol
from hf_hyperbolic.evaluation.nodes import active_boxes
from hf_hyperbolic.evaluation.optimal_transport import ClassTree
from hf_hyperbolic.evaluation.ranking import k_name

KS = (3, 0.1, 0.5, 0.8)
LEVELS = (0.0, 0.25, 0.5, 1.0)


def naive(hierarchy, matrix: np.ndarray, k: int) -> dict[str, list[float]]:
    """Recall, OT, precision and average precision of every scene, by the protocol's words."""
    gallery = [n for n in range(hierarchy.num_images, hierarchy.num_nodes) if not hierarchy.node_is_scene_duplicate[n]]
    labels = hierarchy.node_label
    found: dict[str, list[float]] = {"recall": [], "ot": [], "precision": [], "average_precision": []}
    for scene in range(hierarchy.num_images):
        categories = {labels[d] for a, d in hierarchy.ancestry if a == scene}
        if not categories:
            continue
        ranked = sorted(gallery, key=lambda g: (-matrix[scene, g], g))
        relevant = [g for g in gallery if labels[g] in categories]
        hits = [g for g in ranked[:k] if labels[g] in categories]
        found["recall"].append(len(hits) / len(relevant))
        found["precision"].append(len(hits) / k)
        found["ot"].append(wasserstein_distance([labels[g] for g in relevant], [labels[g] for g in ranked[:k]]))
        positions = [rank for rank, g in enumerate(ranked, start=1) if labels[g] in categories]
        found["average_precision"].append(np.mean([(i + 1) / rank for i, rank in enumerate(positions)]))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_figures_equal_a_naive_loop(make_hierarchy, make_scorer, seed: int, monkeypatch) -> None:
    hierarchy = make_hierarchy(seed, images=7, boxes=4, classes=6, empty=1, whole=2)
    # few distinct scores: ties must go by gallery order
    matrix = np.random.default_rng(seed).integers(0, 8, (hierarchy.num_nodes,) * 2).astype(float)
    task = protocol.prepare(hierarchy)
    assert len(task.gallery) == 6 * 4 - 2
    found, _, _ = protocol.per_query(task, make_scorer(matrix), KS, LEVELS)
    for k in KS:
        cut = protocol.resolve_k(k, len(task.gallery))
        name = k_name(k)
        expected = naive(hierarchy, matrix, cut)
        np.testing.assert_allclose(found[f"recall@{name}"], expected["recall"], atol=1e-12)
        np.testing.assert_allclose(found[f"ot@{name}"], expected["ot"], atol=1e-9)
        np.testing.assert_allclose(found["average_precision"], expected["average_precision"], atol=1e-12)
        if isinstance(k, int):
            np.testing.assert_allclose(found[f"precision@{name}"], expected["precision"], atol=1e-12)
    # one query a tile gives the same as all at once
    monkeypatch.setattr(nodes, "TILE_CELLS", 1)
    tiled, _, _ = protocol.per_query(task, make_scorer(matrix), KS, LEVELS)
    for name in found:
        np.testing.assert_array_equal(tiled[name], found[name])


def test_chance_is_what_random_scores_reach(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(1, images=10, boxes=5, classes=6)
    task = protocol.prepare(hierarchy)
    expected, curve = protocol.chance(task, KS, LEVELS, rankings=20_000)
    rng = np.random.default_rng(5)
    runs: dict[str, list[float]] = {}
    curves = []
    for _ in range(300):
        values, points, _ = protocol.per_query(task, make_scorer(rng.random((hierarchy.num_nodes,) * 2)), KS, LEVELS)
        curves.append(points.mean(0))
        for name, per_query in values.items():
            runs.setdefault(name, []).append(per_query.mean())
    assert runs.keys() == expected.keys()
    for name, means in runs.items():
        # 300 runs here; the expectation itself is exact or from as many rankings as 2,000 runs hold
        assert abs(np.mean(means) - expected[name]) < 4.5 * np.std(means) / np.sqrt(300), name
    spread = np.std(curves, axis=0) / np.sqrt(300)
    assert (np.abs(np.mean(curves, axis=0) - curve) < 4.5 * spread + 1e-12).all()


def test_ceiling_is_reached_by_relevance_as_score(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(2, images=9, boxes=4, classes=7)
    task = protocol.prepare(hierarchy)
    matrix = np.zeros((hierarchy.num_nodes,) * 2)
    matrix[np.ix_(task.queries, task.gallery)] = task.query_labels[:, task.gallery_labels]
    values, curve, _ = protocol.per_query(task, make_scorer(matrix), KS, LEVELS)
    ceiling = protocol.ceiling(task, KS)
    for name, per_query in values.items():
        if not name.startswith("ot"):
            assert per_query.mean() == pytest.approx(ceiling[name], abs=1e-12), name
    assert (curve == 1).all()
    # premise: at some cut not all relevant boxes fit, at some they all do
    assert ceiling["recall@3"] < 1
    assert ceiling["recall@80%"] > ceiling["recall@10%"]


def test_ot_ceiling_is_the_mean_distribution_of_the_oracle_ranking(make_hierarchy) -> None:
    hierarchy = make_hierarchy(2, images=9, boxes=4, classes=7)
    task = protocol.prepare(hierarchy)
    cut = protocol.resolve_k(0.8, len(task.gallery))
    counts = task.label_counts()
    distances = []
    for wanted in task.query_labels:
        histogram = np.where(wanted, counts, 0).astype(float)
        relevant = histogram.sum()
        if cut <= relevant:
            distances.append(0.0)
            continue
        filled = histogram + np.where(wanted, 0, counts) * (cut - relevant) / (counts.sum() - relevant)
        axis = np.arange(len(counts))
        distances.append(wasserstein_distance(axis, axis, histogram, filled))
    assert max(distances) > 0  # premise: some cut lies past the last relevant box
    assert protocol.ceiling(task, (0.8,))["ot@80%"] == pytest.approx(np.mean(distances), abs=1e-9)
    assert protocol.ceiling(task, (1,))["ot@1"] == pytest.approx(0, abs=1e-12)


def test_own_boxes_are_relevant(make_hierarchy) -> None:
    hierarchy = make_hierarchy(3, whole=1)
    task = protocol.prepare(hierarchy)
    relevance = task.query_labels[:, task.gallery_labels]
    own = hierarchy.node_image[task.queries][:, None] == hierarchy.node_image[task.gallery]
    assert relevance[own].all()
    assert task.num_relevant().tolist() == relevance.sum(1).tolist()
    np.testing.assert_array_equal(task.gallery, active_boxes(hierarchy))


def test_grounds_are_passed_on(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(0, classes=5)
    task = protocol.prepare(hierarchy)
    scorer = make_scorer(np.random.default_rng(0).random((hierarchy.num_nodes,) * 2))
    chain = ClassTree(np.arange(-1, 4))
    line = np.abs(np.arange(5.0)[:, None] - np.arange(5.0))
    plain = protocol.per_query(task, scorer, (0.5,), LEVELS)[0]["ot@50%"]
    for ground in (chain, line):
        np.testing.assert_allclose(
            protocol.per_query(task, scorer, (0.5,), LEVELS, ground)[0]["ot@50%"], plain, atol=1e-9
        )
        assert protocol.chance(task, (0.5,), LEVELS, ground, rankings=50)[0]["ot@50%"] == pytest.approx(
            protocol.chance(task, (0.5,), LEVELS, rankings=50)[0]["ot@50%"], abs=1e-9
        )
    uniform = 1 - np.eye(5)
    assert not np.allclose(protocol.per_query(task, scorer, (0.5,), LEVELS, uniform)[0]["ot@50%"], plain)


def test_no_query_with_a_relevant_box_is_said(make_hierarchy) -> None:
    with pytest.raises(ValueError, match="no query with a relevant box: 3 scenes, 0 boxes"):
        protocol.prepare(make_hierarchy(images=3, boxes=1, whole=3))


def test_nan_scores_are_refused(make_hierarchy) -> None:
    task = protocol.prepare(make_hierarchy())
    with pytest.raises(ValueError, match="NaN"):
        protocol.per_query(task, lambda q, g, d: torch.full((len(q), len(g)), torch.nan))
