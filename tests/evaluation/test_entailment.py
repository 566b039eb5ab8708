import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hf_hyperbolic.evaluation import entailment
from hf_hyperbolic.evaluation.radial import mean_norm_by_level, radial_order

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 2.0]), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_auc_with_ties_equals_sklearn(positive: list[float], negative: list[float]) -> None:
    area, high, low = entailment.auc(np.array(positive), np.array(negative))
    expected = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    assert area == pytest.approx(expected, abs=1e-12)
    assert high.mean() == pytest.approx(area, abs=1e-12)
    assert low.mean() == pytest.approx(area, abs=1e-12)


def test_auc_of_nothing_and_of_nan() -> None:
    assert np.isnan(entailment.auc(np.zeros(0), np.zeros(3))[0])
    assert np.isnan(entailment.auc(np.zeros(3), np.zeros(0))[0])
    with pytest.raises(ValueError, match="NaN"):
        entailment.auc(np.array([np.nan]), np.zeros(3))


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(d)) for a, d in pairs}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), boxes_only=st.booleans())
def test_sampled_pairs_are_what_they_claim(make_hierarchy, seed: int, boxes_only: bool) -> None:
    hierarchy = make_hierarchy(seed, images=5, boxes=8, whole=1)
    sample = entailment.sample_pairs(hierarchy, seed=seed, boxes_only=boxes_only)
    ancestry = as_set(hierarchy.ancestry)
    smallest = hierarchy.num_images if boxes_only else 0
    assert as_set(sample.ancestry) == {(a, d) for a, d in ancestry if a >= smallest}
    assert as_set(sample.reversed) == {(d, a) for a, d in sample.ancestry}
    assert not as_set(sample.random) & ancestry
    for first, second in as_set(sample.random) | as_set(sample.unrelated):
        assert first != second
        assert min(first, second) >= smallest
        assert not hierarchy.node_is_scene_duplicate[[first, second]].any()
    for first, second in as_set(sample.unrelated):
        assert hierarchy.node_image[first] == hierarchy.node_image[second]
        assert min(first, second) >= hierarchy.num_images
        assert (first, second) not in ancestry
        assert (second, first) not in ancestry
    if len(sample.ancestry):
        assert len(sample.random) == len(sample.ancestry)


def test_unrelated_pairs_reach_every_candidate(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0, images=2, boxes=4)
    drawn: set[tuple[int, int]] = set()
    for seed in range(30):
        drawn |= as_set(entailment.sample_pairs(hierarchy, seed=seed).unrelated)
    ancestry = as_set(hierarchy.ancestry)
    boxes = range(hierarchy.num_images, hierarchy.num_nodes)
    expected = {
        (a, b)
        for a in boxes
        for b in boxes
        if a != b
        and hierarchy.node_image[a] == hierarchy.node_image[b]
        and (a, b) not in ancestry
        and (b, a) not in ancestry
    }
    assert drawn == expected


def test_near_duplicates_are_no_unrelated_pair(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0, images=1, boxes=3)
    box = hierarchy.node_box.copy()
    box[1], box[2], box[3] = [10, 10, 50, 50], [10, 10, 50, 51], [60, 60, 90, 90]
    apart = dataclasses.replace(hierarchy, node_box=box, ancestry=np.array([[0, 1], [0, 2], [0, 3]]))
    drawn = as_set(entailment.sample_pairs(apart, max_pairs=200).unrelated)
    assert drawn
    assert not drawn & {(1, 2), (2, 1)}


def test_sampling_is_seeded_and_bounded(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0)
    first, again, other = (entailment.sample_pairs(hierarchy, 20, seed) for seed in (1, 1, 2))
    for kind in ("ancestry", "random", "reversed", "unrelated"):
        assert len(getattr(first, kind)) == 20
        np.testing.assert_array_equal(getattr(first, kind), getattr(again, kind))
    assert as_set(first.ancestry) != as_set(other.ancestry)


def test_a_single_box_has_no_unrelated_pair(make_hierarchy) -> None:
    sample = entailment.sample_pairs(make_hierarchy(images=1, boxes=1))
    assert len(sample.ancestry) == 1
    assert len(sample.unrelated) == 0
    assert as_set(sample.random) <= {(1, 0)}
    values = entailment.per_image({"": sample}, lambda a, d: np.zeros(len(a)), make_hierarchy(images=1, boxes=1))
    assert np.isnan(values["auc_unrelated"]).all()


def test_per_image_values_have_the_auc_as_mean(make_hierarchy) -> None:
    hierarchy = make_hierarchy(3, images=10)
    matrix = np.random.default_rng(0).integers(0, 6, (hierarchy.num_nodes,) * 2).astype(float)
    samples = {s: entailment.sample_pairs(hierarchy, boxes_only=bool(s)) for s in ("", "_boxes")}
    values = entailment.per_image(samples, lambda a, d: matrix[a, d], hierarchy)
    assert len(values) == 6
    for suffix, sample in samples.items():
        for kind in entailment.KINDS:
            others = getattr(sample, kind)
            scores = [matrix[a, d] for a, d in [*sample.ancestry, *others]]
            expected = roc_auc_score([1] * len(sample.ancestry) + [0] * len(others), scores)
            assert np.nanmean(values[f"auc_{kind}{suffix}"]) == pytest.approx(expected, abs=1e-12)


def test_scene_flag_oracle_knows_only_scenes(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0)
    oracle = entailment.scene_flag_oracle(hierarchy)
    box = hierarchy.num_images
    assert oracle(np.array([0, box, 0, box]), np.array([box, 0, 1, box + 1])).tolist() == [1, -1, 0, 0]
    boxes = entailment.sample_pairs(hierarchy, boxes_only=True)
    values = entailment.per_image({"_boxes": boxes}, oracle, hierarchy)
    for per_image in values.values():
        assert np.nanmean(per_image) == pytest.approx(0.5, abs=1e-12)


def test_category_pair_oracle_counts_training_pairs_by_name(make_hierarchy) -> None:
    train, test = make_hierarchy(1), make_hierarchy(2, whole=1)
    # the test split numbers the classes backwards and knows one that training does not
    renamed = (*reversed(train.class_names[1:]), "unheard of")
    test = dataclasses.replace(test, class_names=renamed)
    oracle = entailment.category_pair_oracle(test, train)

    def name(hierarchy, node: int) -> str:
        label = hierarchy.node_label[node]
        return "scene" if label < 0 else hierarchy.class_names[label]

    counts: dict[tuple[str, str], int] = {}
    for a, d in train.ancestry:
        key = (name(train, a), name(train, d))
        counts[key] = counts.get(key, 0) + 1
    nodes = np.arange(test.num_nodes)
    first, second = np.repeat(nodes, len(nodes)), np.tile(nodes, len(nodes))
    expected = [counts.get((name(test, a), name(test, b)), 0) for a, b in zip(first, second, strict=True)]
    assert oracle(first, second).tolist() == expected
    assert max(expected) > 0
    strangers = dataclasses.replace(test, class_names=tuple("vwxyz"))
    with pytest.raises(ValueError, match="share no class name"):
        entailment.category_pair_oracle(strangers, train)


def test_radial_order_equals_a_naive_loop(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0, whole=1, empty=1)
    norms = np.random.default_rng(0).integers(1, 6, hierarchy.num_nodes).astype(float)
    for name, smallest in (("all", 0), ("boxes", hierarchy.num_images)):
        points = [
            1.0 if norms[a] < norms[d] else 0.5 if norms[a] == norms[d] else 0.0
            for a, d in hierarchy.ancestry
            if a >= smallest
        ]
        assert 0.5 in points
        assert np.nanmean(radial_order(norms, hierarchy)[name]) == pytest.approx(np.mean(points), abs=1e-12)
    by_level = radial_order(hierarchy.level.astype(float), hierarchy)
    assert np.nanmean(by_level["all"]) == pytest.approx(1)
    means = mean_norm_by_level(norms, hierarchy)
    for level, mean in enumerate(means):
        chosen = (hierarchy.level == level) & hierarchy.active()
        assert mean == pytest.approx(norms[chosen].mean())
