import hashlib
import itertools

import numpy as np
import pytest

from hf_hyperbolic.data import BoxTable, build_hierarchy
from hf_hyperbolic.data.batches import BatchPlan, BatchSampler
from hf_hyperbolic.data.sampling import (
    draw_distinct,
    images_per_class,
    log_box_weights,
    log_image_weights,
    top_by_gumbel,
)


def hierarchy_of(images: list[list[int]], classes: int):
    """An image for each list of labels, its boxes side by side; label -1 is a box that is the whole image."""
    boxes, labels, owner = [], [], []
    for image, held in enumerate(images):
        for place, label in enumerate(held):
            x = 10 * (place % 10)
            y = 10 * (place // 10)
            boxes.append([0, 0, 100, 100] if label < 0 else [x, y, x + 9, y + 9])
            labels.append(max(label, 0))
            owner.append(image)
    names = np.array([str(i) for i in range(len(images))])
    return build_hierarchy(
        BoxTable(
            image_ids=names,
            image_files=names,
            image_sizes=np.full((len(images), 2), 100, dtype=np.int32),
            box_image=np.array(owner, dtype=np.int32),
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            labels=np.array(labels, dtype=np.int32),
            class_names=tuple(f"class {c}" for c in range(classes)),
        )
    )


def random_images(seed: int, images: int = 40, classes: int = 6) -> list[list[int]]:
    """Some images without a box, and a whole-image box here and there."""
    rng = np.random.default_rng(seed)
    frequency = 0.5 ** np.arange(classes)
    held = [rng.choice(classes, rng.integers(0, 8), p=frequency / frequency.sum()).tolist() for _ in range(images)]
    return [[-1, *labels] if image % 7 == 0 else labels for image, labels in enumerate(held)]


def close(counts: np.ndarray, expected: np.ndarray) -> None:
    """Counts of independent draws agree with their probabilities to 4.5 standard deviations."""
    total = counts.sum()
    spread = np.sqrt(total * expected * (1 - expected))
    assert (np.abs(counts - total * expected) <= 4.5 * spread + 1e-9).all(), (counts / total, expected)


def test_counts_and_weights_equal_naive_loops():
    images = random_images(0)
    hierarchy = hierarchy_of(images, 6)
    held = [[label for label in labels if label >= 0] for labels in images]
    by_image = [sum(c in labels for labels in held) for c in range(6)]
    assert images_per_class(hierarchy).tolist() == by_image
    boxes = np.flatnonzero(hierarchy.active() & (hierarchy.node_label >= 0))
    _, first = np.unique(hierarchy.node_image[boxes], return_index=True)
    for exponent in (0.0, 0.3, 1.0):
        weights = [max(by_image[c] ** (exponent - 1) for c in labels) for labels in held if labels]
        found = np.exp(log_image_weights(hierarchy, boxes, first, exponent))
        np.testing.assert_allclose(found, np.array(weights) / max(weights))
        count = [sum(labels.count(c) for labels in held) for c in range(6)]
        of_boxes = [count[c] ** (exponent - 1) for labels in held for c in labels]
        np.testing.assert_allclose(np.exp(log_box_weights(hierarchy, boxes, exponent)), of_boxes)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [5, 0.1, 2, 1], [1e4, 1, 2, 3]])
@pytest.mark.parametrize("fast", [True, False])
def test_draws_without_replacement_have_the_odds_of_one_after_another(weights, fast):
    weights = np.array(weights, dtype=float)
    rng = np.random.default_rng(0)
    cumulative, logs = np.cumsum(weights), np.log(weights)
    outcomes = list(itertools.permutations(range(4), 2))
    place = {pair: i for i, pair in enumerate(outcomes)}
    counts = np.zeros(len(outcomes))
    for _ in range(20_000):
        pair = draw_distinct(cumulative, 2, rng) if fast else top_by_gumbel(logs, 2, rng)
        counts[place[tuple(pair.tolist())]] += 1
    share = weights / weights.sum()
    close(counts, np.array([share[a] * share[b] / (1 - share[a]) for a, b in outcomes]))


def test_everything_can_be_drawn_and_weight_zero_comes_last():
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert sorted(draw_distinct(np.cumsum([1e9, 1, 1e-9, 3]), 4, rng).tolist()) == [0, 1, 2, 3]
        assert 1 not in draw_distinct(np.cumsum([1.0, 0, 2]), 2, rng)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.8])
def test_a_class_is_drawn_in_proportion_to_its_count_to_the_exponent(exponent):
    counts = np.array([100, 30, 8, 2])
    hierarchy = hierarchy_of([[c] for c, n in enumerate(counts) for _ in range(n)], 4)
    sampler = BatchSampler(hierarchy, BatchPlan(scenes=2, boxes_per_scene=1), seed=1, class_exponent=exponent)
    # the nodes of an image together, in the order of the draw: node 1 is the first image's box
    first = np.array([hierarchy.node_label[sampler.nodes(step)[1]] for step in range(6000)])
    wanted = counts**exponent
    close(np.bincount(first, minlength=4), wanted / wanted.sum())


def test_images_of_many_classes_follow_their_rarest_and_boxes_their_own():
    images = [[0, 0, 0, 1]] * 3 + [[0, 1]] * 6 + [[0]] * 12 + [[1, 2]]
    hierarchy = hierarchy_of(images, 3)
    sampler = BatchSampler(hierarchy, BatchPlan(scenes=2, boxes_per_scene=1), class_exponent=0.25)
    nodes = [sampler.nodes(step) for step in range(8000)]
    weights = np.array([max((21, 10, 1)[c] ** -0.75 for c in set(labels)) for labels in images])
    close(np.bincount([n[0] for n in nodes], minlength=len(images)), weights / weights.sum())
    # within the first images, class 0 (27 boxes) against class 1 (10 boxes), three to one
    inside = np.array([hierarchy.node_label[n[1]] for n in nodes if n[0] < 3])
    odds = np.array([3 * 27**-0.75, 10**-0.75])
    close(np.bincount(inside, minlength=2), odds / odds.sum())


def test_a_smoothed_batch_is_as_planned_and_depends_on_seed_and_step_alone():
    hierarchy = hierarchy_of(random_images(3), 6)
    plan = BatchPlan(scenes=5, boxes_per_scene=3, mated_boxes_per_scene=1)
    sampler, again, other = (BatchSampler(hierarchy, plan, seed, 0.3) for seed in (4, 4, 5))
    steps = list(range(40))
    batches = {step: sampler.nodes(step) for step in steps}
    for step in reversed(steps):
        assert np.array_equal(again.nodes(step), batches[step])
    assert not all(np.array_equal(other.nodes(step), batches[step]) for step in steps)
    for nodes in batches.values():
        scenes = nodes[hierarchy.node_label[nodes] < 0]
        assert len(np.unique(nodes)) == len(nodes)
        assert len(scenes) == 5
        assert hierarchy.active()[nodes].all()
        own = nodes[(hierarchy.node_label[nodes] >= 0) & np.isin(hierarchy.node_image[nodes], scenes)]
        assert (np.bincount(hierarchy.node_image[own])[scenes] >= 1).all()


def test_exponent_one_draws_the_batches_it_always_drew():
    hierarchy = hierarchy_of(random_images(5), 6)
    sampler = BatchSampler(hierarchy, BatchPlan(4, 3, mated_boxes_per_scene=2, mates_per_box=2), seed=7)
    digest = hashlib.sha256()
    # to and fro over epochs: what is kept of an epoch's order must not matter
    for step in [*range(25), 3, 24, 0]:
        digest.update(sampler.nodes(step).astype("<i8").tobytes())
    assert digest.hexdigest() == "8653be4bcb6cae2773f02bffc94c477f1b2e030b0447d4333312cb788c8646ff"


@pytest.mark.parametrize("exponent", [-0.1, 1.5, float("nan")])
def test_an_exponent_outside_its_range_is_refused(exponent):
    with pytest.raises(ValueError, match=r"class_exponent must lie in \[0, 1\]"):
        BatchSampler(hierarchy_of([[0]] * 3, 1), BatchPlan(2), class_exponent=exponent)
