"""Federated labels in every protocol, against loops that ask of each (node, class) what is known, by the words."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation import EvaluationSettings, child_to_parent, entailment, evaluate_embeddings, nodes
from hf_hyperbolic.evaluation import parent_to_child as down
from hf_hyperbolic.evaluation.ranking import k_name

KS = (2, 7, 0.3, 0.8)


def federated(hierarchy: Hierarchy, seed: int) -> Hierarchy:
    """Some of the absent classes verified, some of the present ones not exhaustively annotated."""
    rng = np.random.default_rng(seed)
    present = np.zeros((hierarchy.num_images, hierarchy.num_classes), dtype=bool)
    boxes = np.arange(hierarchy.num_images, hierarchy.num_nodes)
    present[hierarchy.node_image[boxes], hierarchy.node_label[boxes]] = True
    chosen = rng.random(present.shape) < 0.4
    pairs = [np.argwhere(mask).astype(np.int32) for mask in (~present & chosen, present & chosen)]
    return dataclasses.replace(hierarchy, federation=Federation(*pairs))


def knowledge(hierarchy: Hierarchy, node: int, label: int) -> bool | None:
    """Whether a node's tree holds a class; None where nobody knows."""
    image = hierarchy.node_image[node]
    if any(a == node and hierarchy.node_label[d] == label for a, d in hierarchy.ancestry):
        return True
    if [image, label] in hierarchy.federation.verified_absent.tolist():
        return False
    annotated = any(
        hierarchy.node_image[box] == image and hierarchy.node_label[box] == label
        for box in range(hierarchy.num_images, hierarchy.num_nodes)
    )
    return False if annotated and [image, label] not in hierarchy.federation.not_exhaustive.tolist() else None


@pytest.fixture(scope="module", params=range(3))
def case(request, make_hierarchy):
    plain = make_hierarchy(request.param, images=7, boxes=5, classes=6, empty=1, whole=2)
    hierarchy = federated(plain, request.param)
    table = {(n, c): knowledge(hierarchy, n, c) for n in range(hierarchy.num_nodes) for c in range(6)}
    assert {True, False, None} == set(table.values())
    scores = np.random.default_rng(request.param).integers(0, 8, (hierarchy.num_nodes,) * 2).astype(float)
    return hierarchy, table, scores


def boxes_of(hierarchy: Hierarchy) -> list[int]:
    return [n for n in range(hierarchy.num_images, hierarchy.num_nodes) if not hierarchy.node_is_scene_duplicate[n]]


def test_parent_to_child_ranks_what_is_known(case, make_scorer, monkeypatch):
    hierarchy, table, scores = case
    labels, boxes = hierarchy.node_label, boxes_of(case[0])
    task = down.prepare(hierarchy)
    found = down.per_query(task, make_scorer(scores), KS)
    chance, ceiling = down.chance(task, KS, rankings=100)[0], down.ceiling(task, KS)
    for k in KS:
        values: dict[str, list[float]] = {"recall": [], "ot": [], "precision": [], "ap": [], "class": []}
        levels: dict[str, list[float]] = {"recall": [], "precision": [], "best": []}
        for scene in range(hierarchy.num_images):
            ranked = [g for g in boxes if table[scene, labels[g]] is not None]
            ranked.sort(key=lambda g, scene=scene: (-scores[scene, g], g))
            right = [bool(table[scene, labels[g]]) for g in ranked]
            if not any(right):
                continue
            cut = down.resolve_k(k, len(ranked))
            values["recall"].append(sum(right[:cut]) / sum(right))
            values["precision"].append(sum(right[:cut]) / cut)
            wanted = [labels[g] for g, good in zip(ranked, right, strict=True) if good]
            values["ot"].append(wasserstein_distance(wanted, [labels[g] for g in ranked[:cut]]))
            places = [place for place, good in enumerate(right, start=1) if good]
            values["ap"].append(np.mean([(i + 1) / place for i, place in enumerate(places)]))
            for c in sorted(set(wanted)):
                of_class = [labels[g] == c for g in ranked]
                values["class"].append(sum(of_class[:cut]) / sum(of_class))
            levels["recall"].append(cut / len(ranked))
            levels["precision"].append(sum(right) / len(ranked))
            levels["best"].append(min(cut, sum(right)) / sum(right))
        name = k_name(k)
        np.testing.assert_allclose(found.figures[f"recall@{name}"], values["recall"], atol=1e-12)
        np.testing.assert_allclose(found.figures[f"ot@{name}"], values["ot"], atol=1e-9)
        np.testing.assert_allclose(found.figures["average_precision"], values["ap"], atol=1e-12)
        np.testing.assert_allclose(found.class_recall[f"recall@{name}"], values["class"], atol=1e-12)
        assert chance[f"recall@{name}"] == pytest.approx(np.mean(levels["recall"]), abs=1e-12)
        assert ceiling[f"recall@{name}"] == pytest.approx(np.mean(levels["best"]), abs=1e-12)
        if isinstance(k, int):
            np.testing.assert_allclose(found.figures[f"precision@{name}"], values["precision"], atol=1e-12)
            assert chance[f"precision@{name}"] == pytest.approx(np.mean(levels["precision"]), abs=1e-12)
    monkeypatch.setattr(nodes, "TILE_CELLS", 1)
    tiled = down.per_query(task, make_scorer(scores), KS)
    for name, array in found.figures.items():
        np.testing.assert_array_equal(tiled.figures[name], array)


def test_parent_to_child_chance_is_what_random_scores_reach(case, make_scorer):
    task = down.prepare(case[0])
    expected, _ = down.chance(task, KS, rankings=20_000)
    rng = np.random.default_rng(0)
    runs = [
        {name: v.mean() for name, v in down.per_query(task, make_scorer(rng.random(case[2].shape)), KS).figures.items()}
        for _ in range(64)
    ]
    for name in runs[0]:
        means = [run[name] for run in runs]
        assert abs(np.mean(means) - expected[name]) < 5 * np.std(means) / 8, name


@pytest.mark.parametrize("gallery", ["scenes", "parents"])
def test_child_to_parent_ranks_what_is_known(case, make_scorer, gallery):
    hierarchy, table, scores = case
    nodes = range(hierarchy.num_images) if gallery == "scenes" else sorted({int(a) for a, _ in hierarchy.ancestry})
    task = child_to_parent.prepare(hierarchy, gallery)
    found = child_to_parent.per_query(task, make_scorer(scores), (1, 3, 50))
    chance, ceiling = child_to_parent.chance_and_ceiling(task, (1, 3, 50))
    for k in (1, 3, 50):
        for suffix in ("", "_other_images"):
            shares, chances, bests = [], [], []
            for box in boxes_of(hierarchy):
                label = hierarchy.node_label[box]
                ranked = [n for n in nodes if n != box and table[n, label] is not None]
                if suffix:
                    ranked = [n for n in ranked if hierarchy.node_image[n] != hierarchy.node_image[box]]
                ranked.sort(key=lambda n, box=box: (-scores[box, n], n))
                right = [bool(table[n, label]) for n in ranked]
                used = min(k, len(ranked))
                shares.append(np.mean(right[:used]) if used else np.nan)
                if used:
                    chances.append(np.mean(right))
                    bests.append(min(used, sum(right)) / used)
            np.testing.assert_allclose(found[f"top_{k}{suffix}"], shares, atol=1e-12)
            assert chance[f"top_{k}{suffix}"] == pytest.approx(np.mean(chances), abs=1e-12)
            assert ceiling[f"top_{k}{suffix}"] == pytest.approx(np.mean(bests), abs=1e-12)


def test_random_pairs_of_unknown_relation_are_left_out(case):
    hierarchy, table, _ = case
    drawn: set[tuple[int, int]] = set()
    for seed in range(40):
        drawn |= {tuple(pair) for pair in entailment.sample_pairs(hierarchy, seed=seed).random.tolist()}
    active, pairs = np.flatnonzero(hierarchy.active()).tolist(), {tuple(pair) for pair in hierarchy.ancestry.tolist()}
    expected = set()
    for a in active:
        for d in active:
            label, across = hierarchy.node_label[d], hierarchy.node_image[a] != hierarchy.node_image[d]
            if a != d and (a, d) not in pairs and not (across and label >= 0 and table[a, label] is None):
                expected.add((a, d))
    assert drawn <= expected
    assert len(drawn) > 0.8 * len(expected), "enough draws to have met what must not be there"


def test_all_known_is_as_no_federation(make_hierarchy, make_embeds):
    plain = make_hierarchy(0, empty=1)
    everything = np.argwhere(~plain.scene_labels()).astype(np.int32)
    full = dataclasses.replace(plain, federation=Federation(everything, np.zeros((0, 2), np.int32)))
    settings = EvaluationSettings(ks=(3, 0.5), top_ks=(5,), resamples=20)
    one, other = (evaluate_embeddings(make_embeds(plain), h, 1.0, ["beta"], settings=settings) for h in (plain, full))
    assert any("labels are federated: of 100.0 %" in note for note in other["notes"])
    for section in ("child_to_parent", "own_scene", "entailment"):
        assert one[section] == other[section]
    for name, entry in one["parent_to_child"]["beta"].items():
        # chance of OT is simulated, query by query where galleries differ
        assert other["parent_to_child"]["beta"][name]["value"] == entry["value"]
        assert other["parent_to_child"]["beta"][name]["chance"] == pytest.approx(entry["chance"], rel=0.05)
