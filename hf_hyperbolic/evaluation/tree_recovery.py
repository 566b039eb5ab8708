"""Does the tree emerge? The tree of each image rebuilt from pairwise scores alone, beside the true one.

Of all ways to hang an image's nodes below one root, the one whose edges have the largest total score is taken: the
maximum spanning arborescence (Chu & Liu 1965, Edmonds 1967). Its edges are held against the direct
edges of the true hierarchy. The true hierarchy may give a box two direct parents where boxes overlap, and a tree gives
it one: the best F1 of a tree can lie below 1.

Beside the figure stand trees of random scores and the star, in which the full scene is every box's parent: it knows
nothing but which node is the scene.
"""

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.containment_angle import RIGHT_ANGLE
from hf_hyperbolic.evaluation.entailment import PairScorer

# exceeds what the cosines of a whole image's edges add up to
_BEFORE_ALL_OTHERS = 1e4


def recover_tree(scores: np.ndarray) -> np.ndarray:
    """The maximum spanning arborescence of pairwise scores.

    Args:
        scores: (n, n) float, row the parent, column the child; the diagonal is not looked at.

    Returns:
        (n,) int64 parent of each node, -1 at the root.

    Raises:
        ValueError: scores are not square or not finite off the diagonal.
    """
    scores = np.array(scores, dtype=np.float64)
    n = len(scores)
    if scores.shape != (n, n) or not np.isfinite(scores[~np.eye(n, dtype=bool)]).all():
        raise ValueError(f"scores must be a square matrix of finite numbers, got shape {scores.shape}")
    if n < 2:
        return np.full(n, -1, dtype=np.int64)
    np.fill_diagonal(scores, 0.0)
    # a node above all, so dear that only one hangs on it: the root need not be known
    extended = np.full((n + 1, n + 1), -np.inf)
    extended[:n, :n] = scores
    extended[n, :n] = -1.0 - 2 * n * float(np.ptp(scores)) - float(np.abs(scores).max())
    parent = _heaviest_arborescence(extended, n)[:n]
    return np.where(parent == n, -1, parent)


def _heaviest_arborescence(weights: np.ndarray, root: int) -> np.ndarray:
    """(n,) parents under a given root, by contracting circles (Chu & Liu, Edmonds); -1 at the root.

    Dense and recursive. On images of some twenty nodes it is some fifty times faster than a general graph library.
    """
    weights = weights.copy()
    np.fill_diagonal(weights, -np.inf)
    weights[:, root] = -np.inf
    parent = weights.argmax(axis=0)
    parent[root] = -1
    circle = _circle(parent)
    if circle is None:
        return parent
    inside = np.zeros(len(weights), dtype=bool)
    inside[circle] = True
    outside = np.flatnonzero(~inside)
    # the circle becomes one node, the last; an edge into it costs the edge of the circle that it replaces
    small = np.full((len(outside) + 1, len(outside) + 1), -np.inf)
    small[:-1, :-1] = weights[np.ix_(outside, outside)]
    leaving = weights[np.ix_(circle, outside)]
    small[-1, :-1] = leaving.max(axis=0)
    entering = weights[np.ix_(outside, circle)] - weights[parent[circle], circle]
    small[:-1, -1] = entering.max(axis=1)
    found = _heaviest_arborescence(small, int(np.searchsorted(outside, root)))
    into = found[-1]
    parent[circle[entering[into].argmax()]] = outside[into]
    for place, node in enumerate(outside):
        if node != root:
            above = found[place]
            parent[node] = circle[leaving[:, place].argmax()] if above == len(outside) else outside[above]
    return parent


def _circle(parent: np.ndarray) -> np.ndarray | None:
    """(k,) nodes of one circle of the parents, None where there is none."""
    seen = np.full(len(parent), -1)
    for start in range(len(parent)):
        node = start
        while node >= 0 and seen[node] < 0:
            seen[node] = start
            node = int(parent[node])
        if node >= 0 and seen[node] == start:
            circle = [node]
            while (above := int(parent[circle[-1]])) != node:
                circle.append(above)
            return np.array(circle)
    return None


def image_tree(hierarchy: Hierarchy, image: int, scorer: PairScorer | None) -> tuple[np.ndarray, np.ndarray]:
    """The recovered tree of one image.

    Args:
        hierarchy: the split.
        image: which.
        scorer: scores of "the first holds the second" for pairs of nodes; None for the star.

    Returns:
        (n,) nodes that take part, the scene first; (n,) the node that is each one's parent, -1 at the root.
    """
    nodes = hierarchy.image_nodes(image)
    nodes = nodes[hierarchy.active()[nodes]]
    n = len(nodes)
    if scorer is None:
        return nodes, np.where(np.arange(n) == 0, -1, nodes[0])
    pairs = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    apart = pairs[:, 0] != pairs[:, 1]
    scores = np.zeros(n * n)
    scores[apart] = scorer(pairs[apart, 0], pairs[apart, 1])
    parent = recover_tree(scores.reshape(n, n))
    return nodes, np.where(parent < 0, -1, nodes[parent])


def edge_f1(hierarchy: Hierarchy, scorer: PairScorer | None, max_images: int = 200, seed: int = 0) -> np.ndarray:
    """F1 between the edges of the recovered and of the true tree, image by image.

    Args:
        hierarchy: the split.
        scorer: scores of "the first holds the second" for pairs of nodes; None for the star.
        max_images: images with at least two boxes, drawn by `seed` where there are more.
        seed: of that draw.

    Returns:
        (I,) float64 in [0, 1], NaN for images that were not drawn or have fewer than two boxes.
    """
    values = np.full(hierarchy.num_images, np.nan)
    true = _active_direct(hierarchy)
    known = {*map(tuple, true.tolist())}
    counts = np.bincount(hierarchy.node_image[true[:, 0]], minlength=hierarchy.num_images)
    for image in drawn_images(hierarchy, max_images, seed):
        nodes, parent = image_tree(hierarchy, image, scorer)
        right = sum(edge in known for edge in zip(parent.tolist(), nodes.tolist(), strict=True))
        values[image] = 2 * right / (len(nodes) - 1 + counts[image])
    return values


def edge_f1_bounds(hierarchy: Hierarchy, max_images: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Chance and the best possible of `edge_f1`, image by image, in closed form.

    Under scores drawn independently of one law each of the n (n - 1) ordered pairs of an image is equally likely to be
    one of the n - 1 edges: a true edge is found with probability 1 / n. The best tree gives every box one of its
    direct parents.

    Returns:
        (I,) and (I,) float64, NaN where `edge_f1` is.
    """
    chance, best = np.full((2, hierarchy.num_images), np.nan)
    sizes = np.bincount(hierarchy.node_image[hierarchy.active()], minlength=hierarchy.num_images)
    counts = np.bincount(hierarchy.node_image[_active_direct(hierarchy)[:, 0]], minlength=hierarchy.num_images)
    for image in drawn_images(hierarchy, max_images, seed):
        edges = sizes[image] - 1 + counts[image]
        chance[image] = 2 * counts[image] / sizes[image] / edges
        best[image] = 2 * (sizes[image] - 1) / edges
    return chance, best


def _active_direct(hierarchy: Hierarchy) -> np.ndarray:
    direct: np.ndarray = hierarchy.direct[hierarchy.active()[hierarchy.direct].all(1)]
    return direct


def drawn_images(hierarchy: Hierarchy, max_images: int, seed: int) -> list[int]:
    """At most `max_images` images with at least two boxes, drawn by `seed` where there are more; in order."""
    boxes = np.bincount(hierarchy.node_image[hierarchy.active()], minlength=hierarchy.num_images) - 1
    images = np.flatnonzero(boxes >= 2)
    if len(images) > max_images:
        images = np.sort(np.random.default_rng(seed).choice(images, max_images, replace=False))
    return [int(image) for image in images]


def nearest_container(beta: PairScorer, similarity: PairScorer, least: np.ndarray | float = RIGHT_ANGLE) -> PairScorer:
    """Scores for `edge_f1`: of the nodes that hold a node, the one that it resembles most is its parent.

    A node holds another where the interior angle at it is wide. All ancestors do, and angles at them say little about
    which is the direct one; the direct parent is the one whose direction is nearest.

    Args:
        beta: scores pairs by the interior angle at the first, radians.
        similarity: scores pairs by the cosine of the angle between them.
        least: radians, from which angle on a node holds another; (N,) one for each first node, or one for all. At a
            right angle the other lies on its far side as seen from the origin.
    """

    def score(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        holds = beta(first, second) >= (least[first] if isinstance(least, np.ndarray) else least)
        # any edge from a node that holds comes before every edge from one that does not
        return similarity(first, second) + _BEFORE_ALL_OTHERS * holds

    return score


def random_scorer(seed: int = 0) -> PairScorer:
    """Scores that know nothing: what chance reaches."""
    rng = np.random.default_rng(seed)
    return lambda first, _: rng.random(len(first))
