"""From which interior angle on a model takes one node to hold another, fitted on other images than it is used on.

Training asks that the angle at a whole be wider towards its parts than towards anything else. It never asks for a right
angle: a recipe may keep all angles narrow, or wide, and order them just as well. A fixed cut-off would measure where a
model's angles lie; one number a model, fitted, leaves what they tell.
"""

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.entailment import PairScorer

RIGHT_ANGLE = np.pi / 2


def separating_angle(angles: np.ndarray, holds: np.ndarray) -> float:
    """The cut-off at which `angles >= cut-off` tells `holds` with the best balanced accuracy, the widest of several.

    Args:
        angles: (P,) interior angles at the first node of a pair, radians.
        holds: (P,) bool, whether the first holds the second.

    Returns:
        Radians; a right angle where all pairs hold, or none does.
    """
    if not holds.any() or holds.all():
        return RIGHT_ANGLE
    order = np.argsort(-angles, kind="stable")
    falling, held = angles[order], holds[order]
    told = np.cumsum(held) / held.sum() - np.cumsum(~held) / (~held).sum()
    # pairs of one angle stand or fall together
    last_of_its_angle = np.append(falling[1:] != falling[:-1], True)
    return float(falling[np.where(last_of_its_angle, told, -np.inf).argmax()])


def fitted_angles(beta: PairScorer, hierarchy: Hierarchy, images: list[int], seed: int = 0) -> np.ndarray:
    """The cut-off for each node, from images of which its own is none.

    `images` fall into two halves by `seed`. Nodes of one half get what separates all ordered pairs of nodes of single
    images of the other; nodes of images in neither get that of both.

    Args:
        beta: scores pairs by the interior angle at the first, radians.
        hierarchy: the split.
        images: what is fitted on.
        seed: of the halves.

    Returns:
        (N,) radians; right angles where there is nothing to fit on.
    """
    node_image = hierarchy.node_image
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *(_ordered_pairs(hierarchy, image) for image in images)])
    angles = beta(pairs[:, 0], pairs[:, 1]) if len(pairs) else np.empty(0)
    above, below = hierarchy.ancestry.T.astype(np.int64)
    holds = np.isin(pairs @ (hierarchy.num_nodes, 1), above * hierarchy.num_nodes + below)
    half = np.full(hierarchy.num_images, -1)
    half[np.random.default_rng(seed).permutation(np.array(images, dtype=np.int64))] = np.arange(len(images)) % 2
    least = np.full(hierarchy.num_nodes, separating_angle(angles, holds))
    of_pair = half[node_image[pairs[:, 0]]]
    for number in (0, 1):
        others = of_pair == 1 - number
        least[half[node_image] == number] = separating_angle(angles[others], holds[others])
    return least


def _ordered_pairs(hierarchy: Hierarchy, image: int) -> np.ndarray:
    nodes = hierarchy.image_nodes(image)
    nodes = nodes[hierarchy.active()[nodes]]
    pairs = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    return pairs[pairs[:, 0] != pairs[:, 1]]
