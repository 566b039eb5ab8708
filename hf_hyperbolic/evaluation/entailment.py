"""Entailment AUC: does the pair score tell ancestor -> descendant pairs from others?

The others are (a) `random` pairs of nodes that are no ancestry pair, (b) the `reversed` pairs, (c) `unrelated` nodes of
one image, neither of which is an ancestor of the other (near-duplicate boxes, which the hierarchy leaves undecided, are
left out). Each is reported over all pairs and, since a full scene is easy to tell, over box -> box pairs alone. Where
labels are federated, random pairs of unknown relation are left out.

Two oracles that see no image stand beside every AUC: how often the training split holds an ancestry pair of these two
categories (the scene counts as a category), and the bare flag "the first is a full scene and the second is not". What a
model scores below them may be a level learnt rather than containment seen.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.overlap import DUPLICATE_IOU, intersection_over_union
from hf_hyperbolic.evaluation.bootstrap import image_pseudo_values
from hf_hyperbolic.evaluation.federated import unknown_pairs
from hf_hyperbolic.evaluation.nodes import active_ancestry, active_boxes

KINDS = ("random", "reversed", "unrelated")
BOXES = "_boxes"

# scores (P,) ancestor candidates and (P,) descendant candidates, node numbers, to (P,) numbers, larger more likely
PairScorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PairSample:
    """Sampled pairs, (P, 2) int64 each, ancestor candidate first; a set may be empty.

    Attributes:
        ancestry: ancestor -> descendant pairs.
        random: pairs of different nodes that are no ancestry pair, nor of unknown relation (see `federated`).
        reversed: the ancestry pairs the other way round.
        unrelated: nodes of one image, neither an ancestor of the other.
    """

    ancestry: np.ndarray
    random: np.ndarray
    reversed: np.ndarray
    unrelated: np.ndarray


def sample_pairs(
    hierarchy: Hierarchy,
    max_pairs: int = 20_000,
    seed: int = 0,
    boxes_only: bool = False,
    duplicate_iou: float = DUPLICATE_IOU,
) -> PairSample:
    """Draws the pairs of an AUC.

    Args:
        hierarchy: the split.
        max_pairs: at most so many ancestry pairs, drawn without replacement; as many of each other kind are drawn,
            with replacement.
        seed: of the drawing.
        boxes_only: leave the scenes out.
        duplicate_iou: unrelated boxes that overlap by more are near-duplicates and left out.
    """
    rng = np.random.default_rng(seed)
    num_nodes = len(hierarchy.node_image)
    ancestry = active_ancestry(hierarchy)
    known = np.unique(ancestry[:, 0] * num_nodes + ancestry[:, 1])
    boxes = active_boxes(hierarchy)
    nodes = boxes if boxes_only else np.flatnonzero(hierarchy.active())
    if boxes_only:
        ancestry = ancestry[ancestry[:, 0] >= hierarchy.num_images]
    if len(ancestry) > max_pairs:
        ancestry = ancestry[np.sort(rng.choice(len(ancestry), max_pairs, replace=False))]

    def is_ancestry(pairs: np.ndarray) -> np.ndarray:
        return np.isin(pairs[:, 0] * num_nodes + pairs[:, 1], known)

    def draw_random(count: int) -> np.ndarray:
        pairs = nodes[rng.integers(0, len(nodes), size=(count, 2))]
        # within an image the boxes decide; whether the ancestor's image holds the class of another's box may be unknown
        across = hierarchy.node_image[pairs[:, 0]] != hierarchy.node_image[pairs[:, 1]]
        unknown = across & unknown_pairs(hierarchy, pairs)
        return pairs[(pairs[:, 0] != pairs[:, 1]) & ~is_ancestry(pairs) & ~unknown]

    # boxes of an image stand together, so an image's are a run
    per_image = np.bincount(hierarchy.node_image[boxes], minlength=hierarchy.num_images)
    starts = np.cumsum(per_image) - per_image
    by_image = boxes[np.argsort(hierarchy.node_image[boxes], kind="stable")]
    ordered_pairs = (per_image * (per_image - 1)).astype(np.float64)

    def draw_unrelated(count: int) -> np.ndarray:
        image = rng.choice(hierarchy.num_images, size=count, p=ordered_pairs / ordered_pairs.sum())
        first = rng.integers(0, per_image[image])
        second = rng.integers(0, per_image[image] - 1)
        second += second >= first
        pairs = by_image[np.stack([starts[image] + first, starts[image] + second], axis=1)]
        related = is_ancestry(pairs) | is_ancestry(pairs[:, ::-1])
        overlap = intersection_over_union(hierarchy.node_box[pairs[:, 0]], hierarchy.node_box[pairs[:, 1]])
        return pairs[~related & (overlap <= duplicate_iou)]

    wanted = len(ancestry)
    return PairSample(
        ancestry=ancestry,
        random=_draw(draw_random, wanted if len(nodes) > 1 else 0),
        reversed=ancestry[:, ::-1].copy(),
        unrelated=_draw(draw_unrelated, wanted if ordered_pairs.any() else 0),
    )


def auc(positive: np.ndarray, negative: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Area under the ROC curve; ties count half.

    Args:
        positive: (P,) scores.
        negative: (M,) scores.

    Returns:
        The area, and its components: for each positive the share of negatives below it, for each negative the share of
        positives above it (DeLong et al. 1988). NaN when either set is empty.

    Raises:
        ValueError: a score is NaN.
    """
    if np.isnan(positive).any() or np.isnan(negative).any():
        raise ValueError("pair scores are NaN: an AUC needs numbers")
    if not len(positive) or not len(negative):
        return float("nan"), np.full(len(positive), np.nan), np.full(len(negative), np.nan)
    high = _share_below(np.sort(negative), positive)
    low = 1 - _share_below(np.sort(positive), negative)
    return float(high.mean()), high, low


def per_image(samples: dict[str, PairSample], scorer: PairScorer, hierarchy: Hierarchy) -> dict[str, np.ndarray]:
    """Every AUC as per-image values whose mean is the AUC (see `image_pseudo_values`), for intervals and paired tests.

    A pair of two images counts for the image of its ancestor candidate.

    Args:
        samples: suffix of the figure's name (`""`, `"_boxes"`) -> pairs.
        scorer: scores pairs.
        hierarchy: the split that the pairs are of.

    Returns:
        `auc_<kind><suffix>`: (I,) float64, NaN for images without a pair (all NaN when there is no pair at all).
    """
    values: dict[str, np.ndarray] = {}
    images = hierarchy.num_images
    for suffix, sample in samples.items():
        positive = scorer(sample.ancestry[:, 0], sample.ancestry[:, 1])
        for kind in KINDS:
            others: np.ndarray = getattr(sample, kind)
            area, high, low = auc(positive, scorer(others[:, 0], others[:, 1]))
            if np.isnan(area):
                values[f"auc_{kind}{suffix}"] = np.full(images, np.nan)
                continue
            influence = np.concatenate([(high - area) / len(high), (low - area) / len(low)])
            image = hierarchy.node_image[np.concatenate([sample.ancestry[:, 0], others[:, 0]])]
            values[f"auc_{kind}{suffix}"] = image_pseudo_values(area, influence, image, images)
    return values


def scene_flag_oracle(hierarchy: Hierarchy) -> PairScorer:
    """Scores a pair by one bit a node: the first is a full scene (+1), the second is (-1)."""

    def score(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first < hierarchy.num_images).astype(np.float64) - (second < hierarchy.num_images)

    return score


def category_pair_oracle(hierarchy: Hierarchy, train: Hierarchy) -> PairScorer:
    """Scores a pair by how many ancestry pairs of its two categories the training split holds.

    Categories are matched by name; one the training split does not know has count 0. The scene is a category.

    Raises:
        ValueError: the two splits share no class name.
    """
    index = {name: c for c, name in enumerate(train.class_names)}
    if not index.keys() & set(hierarchy.class_names):
        raise ValueError(
            "train_hierarchy and hierarchy share no class name: the category-pair oracle needs the training split of "
            "the same data set"
        )
    scene, unknown = len(index), len(index) + 1
    pairs = active_ancestry(train)
    labels = np.where(train.node_label < 0, scene, train.node_label)[pairs]
    counts = np.zeros((unknown + 1, unknown + 1))
    np.add.at(counts, (labels[:, 0], labels[:, 1]), 1)
    to_train = np.array([index.get(name, unknown) for name in hierarchy.class_names] + [scene])
    # label -1, a scene, picks the last entry
    category = to_train[hierarchy.node_label]

    def score(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return counts[category[first], category[second]]

    return score


def _share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return below / (2 * len(ordered))


def _draw(draw: Callable[[int], np.ndarray], wanted: int, rounds: int = 50) -> np.ndarray:
    """`wanted` accepted pairs by rejection; empty when hardly any is ever accepted."""
    found: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)]
    have = 0
    for _ in range(rounds):
        if have >= wanted:
            break
        accepted = draw(max(256, 2 * (wanted - have)))
        found.append(accepted)
        have += len(accepted)
    return np.concatenate(found)[:wanted].astype(np.int64)
