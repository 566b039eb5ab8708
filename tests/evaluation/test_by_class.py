import dataclasses
import itertools
import json

import numpy as np
import pytest

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_per_query, format_table
from hf_hyperbolic.evaluation import by_class as module
from hf_hyperbolic.evaluation import parent_to_child as down
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer

QUICK = EvaluationSettings(ks=(3, 0.5), top_ks=(2, 4), resamples=40)


def skewed(hierarchy, seed=0):
    """The same boxes with classes of falling frequency."""
    rng = np.random.default_rng(seed)
    share = 0.5 ** np.arange(hierarchy.num_classes)
    labels = rng.choice(hierarchy.num_classes, hierarchy.num_nodes, p=share / share.sum()).astype(np.int32)
    return dataclasses.replace(hierarchy, node_label=np.where(hierarchy.node_label < 0, -1, labels))


@pytest.fixture(scope="module")
def case(make_hierarchy, make_embeds):
    hierarchy = skewed(make_hierarchy(0, images=9, boxes=5, classes=6, empty=1, whole=1))
    train = skewed(make_hierarchy(1, images=30, boxes=4, classes=6), 1)
    # the training split numbers the classes otherwise and lacks one
    train = dataclasses.replace(train, class_names=("class2", "class0", "class1", "class4", "class3", "another"))
    embeds = make_embeds(hierarchy)
    result, values = evaluate_per_query(embeds, hierarchy, 1.0, ["beta", "cosine"], train, settings=QUICK)
    return hierarchy, train, embeds, result, values


def test_figures_equal_naive_loops(case):
    hierarchy, _, embeds, result, _ = case
    by_class, labels = result["by_class"], hierarchy.node_label
    boxes = [n for n in range(hierarchy.num_images, hierarchy.num_nodes) if not hierarchy.node_is_scene_duplicate[n]]
    scenes = np.arange(hierarchy.num_images)
    tree = {s: {labels[d] for a, d in hierarchy.ancestry if a == s} for s in scenes.tolist()}
    names = by_class["classes"]["name"]
    for measure in ("beta", "cosine"):
        scorer = EmbeddingScorer(embeds, measure, 1.0)
        below = scorer(scenes, np.array(boxes), "children").numpy()
        above = scorer(np.array(boxes), scenes, "parents").numpy()
        expected: dict[tuple[str, str], list[float]] = {}
        for name in names:
            c = hierarchy.class_names.index(name)
            mine = [b for b in boxes if labels[b] == c]
            for figure, cut in (("recall@3", 3), ("recall@50%", round(0.5 * len(boxes)))):
                shares = []
                for scene in [s for s in scenes if c in tree[s]]:
                    first = [boxes[i] for i in np.argsort(-below[scene], kind="stable")[:cut]]
                    shares.append(sum(labels[b] == c for b in first) / len(mine))
                expected.setdefault(("parent_to_child", figure), []).append(np.mean(shares))
            for k in (1, 5):
                found = [hierarchy.node_image[b] in np.argsort(-above[boxes.index(b)], kind="stable")[:k] for b in mine]
                expected.setdefault(("own_scene", f"recall@{k}"), []).append(np.mean(found))
            for k in (2, 4):
                shares = [
                    np.mean([c in tree[s] for s in np.argsort(-above[boxes.index(b)], kind="stable")[:k]]) for b in mine
                ]
                expected.setdefault(("child_to_parent", f"top_{k}"), []).append(np.mean(shares))
        for (section, figure), per_class in expected.items():
            np.testing.assert_allclose(by_class["per_class"][section]["measures"][measure][figure], per_class)
            for group in (*module.GROUPS, "all"):
                chosen = [
                    v for v, g in zip(per_class, by_class["classes"]["group"], strict=True) if group in (g, "all")
                ]
                entry = by_class[section][measure][group][figure]
                assert entry["value"] == pytest.approx(np.mean(chosen))
                assert entry["low"] <= entry["high"]
                assert entry["value"] <= entry["ceiling"] + 1e-12


def test_the_text_table_shows_the_groups(case):
    result = case[3]
    text = format_table({"ours": result}, intervals=True).split(
        "Classes by the number of images of the training split:"
    )[1]
    for group in module.GROUPS:
        entry = result["by_class"]["own_scene"]["beta"][group]["recall@1"]
        assert f"{100 * entry['value']:.1f}" in text
        assert f"[{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]" in text
        assert f"{group} {result['by_class']['groups'][group]['classes']} (" in text


def test_frequency_is_counted_in_training_images_by_name(case):
    hierarchy, train, _, result, _ = case
    by_class = result["by_class"]
    for name, images in zip(by_class["classes"]["name"], by_class["classes"]["images"], strict=True):
        expected = 0
        if name in train.class_names:
            c = train.class_names.index(name)
            expected = len({train.node_image[n] for n in np.flatnonzero(train.node_label == c)})
        assert images == expected
    assert by_class["counted_in"] == "train"
    json.dumps(result, allow_nan=False)
    assert hierarchy.num_classes >= len(by_class["classes"]["name"])


@pytest.mark.parametrize("federated", [False, True])
def test_chance_and_ceiling_are_what_random_and_best_rankings_reach(make_hierarchy, make_scorer, federated):
    hierarchy = skewed(make_hierarchy(3, images=8, boxes=4, classes=4), 3)
    if federated:
        absent = np.argwhere(~hierarchy.scene_labels())[::2].astype(np.int32)
        hierarchy = dataclasses.replace(hierarchy, federation=Federation(absent, np.zeros((0, 2), np.int32)))
    task, members = down.prepare(hierarchy), np.array([False, True, True, True])
    query, label = np.nonzero(task.query_labels)
    cut, sizes = task.cuts(0.25), task.gallery_sizes()
    rng = np.random.default_rng(0)

    def macro(scores) -> float:
        recall = down.per_query(task, make_scorer(scores), (0.25,)).class_recall["recall@25%"]
        return module.macro_mean(module.class_means(recall, label, 4), members)

    runs = [macro(rng.random((hierarchy.num_nodes,) * 2)) for _ in range(400)]
    chance = module.macro_mean(module.class_means((cut / sizes)[query], label, 4), members)
    assert abs(np.mean(runs) - chance) < 4.5 * np.std(runs) / 20
    ceiling = module.best_class_recall(task, cut, members)
    assert max(runs) <= ceiling < 1, "the cut is short enough to bite"
    # scene by scene, the best of all orders in which the boxes of its classes may come
    boxes, best = task.label_counts(), 0.0
    scenes_with = {c: sum(c in label[query == q] for q in range(len(task.queries))) for c in range(4)}
    for q in range(len(task.queries)):
        totals = []
        for order in itertools.permutations(c for c in range(4) if task.query_labels[q, c]):
            left, total = cut[q], 0.0
            for c in order:
                taken = min(left, boxes[c])
                left -= taken
                total += members[c] * taken / boxes[c] / scenes_with[c]
            totals.append(total)
        best += max(totals)
    assert ceiling == pytest.approx(best / sum(members[c] and scenes_with[c] > 0 for c in range(4)))


def test_intervals_equal_a_naive_bootstrap(case):
    rng = np.random.default_rng(0)
    labels, images = rng.integers(0, 4, 60), rng.integers(0, 9, 60) * 10
    images[labels == 3] = np.where(images[labels == 3] < 50, 0, 10)  # a class of two images is missing now and then
    values = np.stack([rng.random(60), np.where(rng.random(60) < 0.3, np.nan, rng.random(60))], axis=1)
    groups = [np.array([True, True, False, False, False]), np.ones(5, dtype=bool), np.array([False] * 4 + [True])]
    low, high = module.macro_interval(values, module.Units(labels, images), groups, resamples=300, seed=3)
    names = np.unique(images)
    drawn = np.random.default_rng(3).integers(0, len(names), size=(300, len(names)))
    absent = 0
    for column in range(2):
        for row, members in enumerate(groups[:2]):
            means = []
            for resample in drawn:
                rows = np.concatenate([np.flatnonzero(images == names[i]) for i in resample])
                found = []
                for c in np.flatnonzero(members & (np.bincount(labels, minlength=5) > 0)):
                    drawn_values = values[rows[labels[rows] == c], column]
                    missing = np.isnan(drawn_values).all()
                    absent += bool(missing)
                    found.append(np.nanmean(values[labels == c, column] if missing else drawn_values))
                means.append(np.mean(found))
            np.testing.assert_allclose([low[row, column], high[row, column]], np.quantile(means, (0.025, 0.975)))
    assert absent > 0
    assert np.isnan([low[2], high[2]]).all()


def test_groups_by_bounds_and_by_thirds():
    counts, occurs = np.array([5, 10, 11, 100, 101, 7000, 0, 3]), np.array([True] * 7 + [False])
    group, bounds = module.class_groups(counts, occurs, (10, 100))
    assert [module.GROUPS[g] if g >= 0 else None for g in group] == [
        "tail", "tail", "middle", "middle", "head", "head", "tail", None,
    ]  # fmt: skip
    assert bounds == (10, 100)
    for asked in (None, (8000, 9000)):
        group, bounds = module.class_groups(counts, occurs, asked)
        assert group.tolist() == [2, 1, 1, 0, 0, 0, 2, -1]
        assert bounds is None
    for wrong in ((0, 10), (10, 10), (100, 10)):
        with pytest.raises(ValueError, match="two ascending numbers"):
            module.class_groups(counts, occurs, wrong)


def test_a_split_of_one_class_has_empty_groups(make_hierarchy, make_embeds):
    hierarchy = make_hierarchy(0, images=4, boxes=2, classes=1)
    result, _ = evaluate_per_query(make_embeds(hierarchy), hierarchy, None, ["cosine"], settings=QUICK)
    json.dumps(result, allow_nan=False)
    found = result["by_class"]
    assert found["groups"]["tail"] == {"classes": 0, "images": None}
    assert found["own_scene"]["cosine"]["tail"]["recall@1"]["value"] is None
    assert found["own_scene"]["cosine"]["all"]["recall@1"]["value"] == pytest.approx(
        result["own_scene"]["cosine"]["recall@1"]["value"]
    )
    assert any("thirds" in note for note in result["notes"])
    assert found["counted_in"] == "evaluated"
    assert "tail" in format_table({"one": result})
