"""Rankings that are blind to the query: what a retrieval figure grants to knowing the gallery's labels alone.

Two oracles look at no image and rank the gallery alike for every query: `class_prevalence` puts boxes of common classes
first, `class_count` scenes of many classes. Chance is a random ranking's level; theirs is that of a ranking that knows
what is likely to be right whatever is asked. A model that does not exceed them may answer "is it a common class?" or
"is it a crowded scene?", not "is it in this image?".

Ties (all boxes of a class, say) are broken by chance, anew for every query: one draw for all would add its own luck to
the mean. Asked for a query again, a scorer breaks ties otherwise than before. Its draws for a query depend on the seed
and on nothing else that it was asked, so the processes of a distributed run draw as one alone does.
"""

from collections import Counter

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.sampling import images_per_class
from hf_hyperbolic.evaluation.nodes import Direction, NodeScorer


def training_images(hierarchy: Hierarchy, train: Hierarchy) -> np.ndarray:
    """(C,) int64: images of the training split that hold each class of the split, matched by name; 0 for a new class.

    Raises:
        ValueError: the two splits share no class name.
    """
    if not set(train.class_names) & set(hierarchy.class_names):
        raise ValueError(
            "train_hierarchy and hierarchy share no class name: the frequency of classes needs the training split of "
            "the same data set"
        )
    counted = dict(zip(train.class_names, images_per_class(train).tolist(), strict=True))
    return np.array([counted.get(name, 0) for name in hierarchy.class_names], dtype=np.int64)


def class_prevalence(hierarchy: Hierarchy, train: Hierarchy, seed: int = 0) -> NodeScorer:
    """Ranks boxes, for every query alike, by the share of training images that hold their class.

    Args:
        hierarchy: the split; its labels of the gallery are known to the oracle.
        train: the training split, whose classes are matched by name; a class it does not know has share 0.
        seed: of the ties.

    Raises:
        ValueError: the two splits share no class name.
    """
    # the label of a scene, -1, picks the last entry; dividing by the number of images would not change the order
    prevalence = np.append(training_images(hierarchy, train), 0)
    return _query_blind(prevalence[hierarchy.node_label], seed)


def class_count(hierarchy: Hierarchy, seed: int = 0) -> NodeScorer:
    """Ranks scenes, for every query alike, by the number of classes in their tree.

    Args:
        hierarchy: the split; its labels of the gallery are known to the oracle.
        seed: of the ties.
    """
    return _query_blind(hierarchy.scene_labels().sum(1), seed)


def _query_blind(worth: np.ndarray, seed: int) -> NodeScorer:
    """Scores nodes by their place in (n,) `worth`, plus a random number in [0, 1) that only orders equals."""
    place = np.unique(worth, return_inverse=True)[1]
    asked: Counter[int] = Counter()

    def score(queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor:
        scores = np.empty((len(queries), len(gallery)))
        for row, query in zip(scores, queries.tolist(), strict=True):
            np.random.default_rng((seed, query, asked[query])).random(out=row)
            asked[query] += 1
        scores += place[gallery]
        return torch.from_numpy(scores)

    return score
