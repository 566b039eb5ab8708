"""Rankings that know no query: their order against loops over images and boxes, and what they reach beside chance."""

import dataclasses

import numpy as np
import pytest
import torch

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation import EvaluationSettings, child_to_parent, evaluate_embeddings
from hf_hyperbolic.evaluation import parent_to_child as down
from hf_hyperbolic.evaluation.oracles import class_count, class_prevalence, training_images
from hf_hyperbolic.evaluation.ranking import k_name

# class2 of the split is unknown in training; the names stand in another order there
TRAIN_NAMES = ("class4", "class0", "other", "class1", "class3")


def skewed(hierarchy: Hierarchy, seed: int) -> Hierarchy:
    """Class c as likely as 1 / (c + 1), as classes of photographs are (Zipf's law)."""
    odds = 1 / np.arange(1, hierarchy.num_classes + 1)
    labels = hierarchy.node_label.copy()
    boxes = labels >= 0
    labels[boxes] = np.random.default_rng(seed).choice(hierarchy.num_classes, boxes.sum(), p=odds / odds.sum())
    return dataclasses.replace(hierarchy, node_label=labels)


@pytest.fixture(scope="module", params=[False, True], ids=["all known", "federated"])
def case(request, make_hierarchy):
    hierarchy = make_hierarchy(0, images=9, boxes=4, empty=1, whole=2)
    if request.param:
        absent = np.argwhere(~hierarchy.scene_labels())[::2].astype(np.int32)
        hierarchy = dataclasses.replace(hierarchy, federation=Federation(absent, np.zeros((0, 2), np.int32)))
    train = skewed(make_hierarchy(1, images=12, boxes=3, whole=2), 1)
    return hierarchy, dataclasses.replace(train, class_names=TRAIN_NAMES)


def images_with(train: Hierarchy, name: str) -> int:
    images = set()
    for node in range(train.num_images, train.num_nodes):
        if train.class_names[train.node_label[node]] == name and not train.node_is_scene_duplicate[node]:
            images.add(int(train.node_image[node]))
    return len(images)


def expected_share(worth: np.ndarray, right: np.ndarray, cut: int) -> float:
    """Items right among the first `cut`, best worth first, in expectation over the order of equals."""
    found, left = 0.0, cut
    for value in sorted(set(worth.tolist()), reverse=True):
        equals = worth == value
        taken = min(left, int(equals.sum()))
        found += taken * right[equals].mean()
        left -= taken
    return found


def test_training_images_are_counted_by_name(case) -> None:
    hierarchy, train = case
    counts = training_images(hierarchy, train)
    assert counts.tolist() == [images_with(train, name) for name in hierarchy.class_names]
    assert counts[2] == 0
    assert len(set(counts.tolist())) > 2


def test_prevalence_figures_equal_a_naive_expectation(case) -> None:
    hierarchy, train = case
    task = down.prepare(hierarchy)
    cuts = (3, 0.5)
    oracle = class_prevalence(hierarchy, train, seed=3)
    draws = [down.per_query(task, oracle, cuts, (0.5,)).figures for _ in range(400)]
    worth = np.array([images_with(train, hierarchy.class_names[label]) for label in task.gallery_labels])
    for k in cuts:
        expected = []
        for query in range(len(task.queries)):
            known = np.ones(len(worth), bool)
            if task.query_known is not None:
                known = task.query_known[query, task.gallery_labels]
            right = task.query_labels[query, task.gallery_labels][known]
            cut = down.resolve_k(k, int(known.sum()))
            expected.append(expected_share(worth[known], right, cut) / right.sum())
        found = np.stack([draw[f"recall@{k_name(k)}"] for draw in draws])
        assert (np.abs(found.mean(0) - expected) < 5 * found.std(0) / 20 + 1e-9).all()
        assert found.std(0).max() > 0, "boxes of a class that straddle the cut are taken by chance"


def test_class_count_figures_equal_a_naive_expectation(case) -> None:
    hierarchy, _ = case
    task = child_to_parent.prepare(hierarchy)
    oracle = class_count(hierarchy, seed=3)
    draws = [child_to_parent.per_query(task, oracle, (2, 5)) for _ in range(400)]
    held = [{int(hierarchy.node_label[d]) for a, d in hierarchy.ancestry if a == s} for s in range(9)]
    worth = np.array([len(classes) for classes in held])
    assert len(set(worth.tolist())) > 2
    for suffix in ("", "_other_images"):
        for k in (2, 5):
            expected = []
            for query, label in enumerate(task.query_labels):
                allowed = ~task.unknown(slice(query, query + 1))[0]
                if suffix:
                    allowed[task.query_images[query]] = False
                right = np.array([int(label) in classes for classes in held])[allowed]
                used = min(k, len(right))
                expected.append(expected_share(worth[allowed], right, used) / used if used else np.nan)
            found = np.stack([draw[f"top_{k}{suffix}"] for draw in draws])
            assert np.isnan(found).all(0).tolist() == np.isnan(expected).tolist()
            some = ~np.isnan(expected)
            off = np.abs(found.mean(0) - expected)[some]
            assert (off < 5 * found.std(0)[some] / 20 + 1e-9).all()


def test_ties_fall_anew_for_every_query_and_by_the_seed(case) -> None:
    hierarchy, train = case
    task = down.prepare(hierarchy)
    scores = class_prevalence(hierarchy, train)(task.queries, task.gallery, "children")
    orders = scores.argsort(dim=1, descending=True)
    labels = torch.from_numpy(training_images(hierarchy, train)[task.gallery_labels])[orders]
    assert (labels.diff(dim=1) <= 0).all()
    assert (labels == labels[0]).all()
    assert len({tuple(order) for order in orders.tolist()}) == len(orders)
    again, other = (class_prevalence(hierarchy, train, s)(task.queries, task.gallery, "children") for s in (0, 1))
    assert torch.equal(again, scores)
    assert not torch.equal(other, scores)


def test_random_embeddings_stay_at_chance_where_the_oracles_do_not(make_hierarchy, make_embeds) -> None:
    hierarchy, train = (skewed(make_hierarchy(seed, images=40, boxes=5, classes=20), seed) for seed in (0, 1))
    settings = EvaluationSettings(ks=(0.5,), top_ks=(10,), max_pairs=50, resamples=2)
    found = [
        evaluate_embeddings(make_embeds(hierarchy, seed), hierarchy, None, ["cosine"], train, settings=settings)
        for seed in range(20)
    ]
    for section, figure, oracle in (
        ("parent_to_child", "recall@50%", "class_prevalence"),
        ("parent_to_child", "average_precision", "class_prevalence"),
        ("child_to_parent", "top_10", "class_count"),
    ):
        entries = [result[section]["cosine"][figure] for result in found]
        values = np.array([entry["value"] for entry in entries])
        chance, ceiling, blind = entries[0]["chance"], entries[0]["ceiling"], entries[0]["oracles"][oracle]
        assert abs(values.mean() - chance) < 4.5 * values.std() / np.sqrt(20)
        assert chance + 0.04 < blind < ceiling
        assert values.max() < blind


def test_splits_without_a_common_class_are_refused(make_hierarchy, make_embeds) -> None:
    hierarchy, train = make_hierarchy(0), make_hierarchy(1)
    strangers = dataclasses.replace(train, class_names=tuple("abcde"))
    with pytest.raises(ValueError, match=r"share no class name: .* needs the training split"):
        class_prevalence(hierarchy, strangers)
    with pytest.raises(ValueError, match="share no class name"):
        evaluate_embeddings(make_embeds(hierarchy), hierarchy, 1.0, ["beta"], strangers)
