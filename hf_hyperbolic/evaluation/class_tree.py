"""Which class entails which, and the tree of classes that the mean angles between them make.

Every class is stood for by a few of its boxes, and the scene is a category too. Between two categories stand two mean
angles over pairs of nodes of different images: the interior angle at the first, and the angle between their directions.
Of two classes that with the wider interior angle at it holds the other; of those that hold a class, the one nearest in
direction is its container, as for the nodes of one image (`tree_recovery.nearest_container`). Beside it stands the rule
that a class holds another where its angle is obtuse.

The true container of a class is the category that its boxes lie directly in most often.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.bootstrap import bootstrap_interval
from hf_hyperbolic.evaluation.figures import figure, mean_figures
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer, is_hyperbolic
from hf_hyperbolic.evaluation.tree_recovery import recover_tree

MOST_CLASSES = 40
NODES_PER_CLASS = 40
MOST_PAIRS = 12
BOXES_PER_PAIR = 100
_BEFORE_ALL_OTHERS = 10.0  # exceeds any angle


@dataclass(frozen=True)
class Categories:
    """The scene and the classes of the most frequent pairs of whole and part.

    Attributes:
        names: (n,) the scene first.
        of_node: (N,) int64 category of each node of the hierarchy, -1 for one of another class or one that takes no
            part.
        shares: (n, n) of the direct containers of the column's boxes, among the categories here and without its own
            class, the share that is of the row's category; columns sum to 1 but the scene's, which is 0.
        pairs: (M, 2) categories of whole and part, boxes both, the most frequent first.
    """

    names: tuple[str, ...]
    of_node: np.ndarray
    shares: np.ndarray
    pairs: np.ndarray


def choose_categories(hierarchy: Hierarchy, most_classes: int = MOST_CLASSES) -> Categories | None:
    """The classes of the most frequent pairs of whole and part, with what holds them; None where no box holds another.

    Pairs are gone through from the frequent to the rare. Each brings its classes, their most frequent containers and
    so on, so that the true container of a class is never left out; those that no longer fit are passed by.

    Args:
        hierarchy: the split.
        most_classes: classes taken, at most.
    """
    active, classes = hierarchy.active(), hierarchy.num_classes
    label = np.where(hierarchy.node_label < 0, classes, hierarchy.node_label)
    direct = hierarchy.direct[active[hierarchy.direct].all(1)]
    kind, count = np.unique(label[direct[:, 0]] * (classes + 1) + label[direct[:, 1]], return_counts=True)
    whole, part = np.divmod(kind, classes + 1)
    frequent = np.argsort(-count, kind="stable")
    frequent = frequent[whole[frequent] != part[frequent]]
    container: dict[int, int] = {}
    for pair in frequent:
        container.setdefault(int(part[pair]), int(whole[pair]))
    chosen: set[int] = set()
    for pair in frequent[whole[frequent] != classes]:
        new: set[int] = set()
        for category in (int(whole[pair]), int(part[pair])):
            while category != classes and category not in chosen | new:
                new.add(category)
                category = container.get(category, classes)
        if len(chosen) + len(new) <= most_classes:
            chosen |= new
    if not chosen:
        return None
    place = np.full(classes + 1, -1)
    place[sorted(chosen)] = np.arange(1, len(chosen) + 1)
    place[classes] = 0
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1))
    inside = (place[whole] >= 0) & (place[part] >= 0)
    counts[place[whole[inside]], place[part[inside]]] = count[inside]
    np.fill_diagonal(counts, 0)
    boxes = counts.copy()
    boxes[0] = 0
    order = np.argsort(-boxes, axis=None, kind="stable")[: np.count_nonzero(boxes)]
    return Categories(
        names=("scene", *(hierarchy.class_names[c] for c in sorted(chosen))),
        of_node=np.where(active, place[label], -1),
        shares=counts / np.maximum(counts.sum(axis=0), 1),
        pairs=np.stack(np.unravel_index(order, boxes.shape), axis=1),
    )


def true_class_tree(shares: np.ndarray) -> np.ndarray:
    """(n,) the most frequent container of each category, -1 for the scene.

    Where these would make a circle the next frequent is taken, such that the sum of shares stays largest. A class is
    not its own container.
    """
    scores = shares.copy()
    scores[:, 0] = -2.0 * len(shares)  # nothing holds the scene
    return recover_tree(scores)


def mean_angles(
    embeds: torch.Tensor, curvature: float | None, rows: np.ndarray, columns: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles between nodes.

    Args:
        embeds: (N, D) embeddings.
        curvature: c of the hyperboloid; None or 0 for a Euclidean model.
        rows: (R,) nodes, candidate wholes.
        columns: (M,) nodes, candidate parts.
        images: (N,) image of each node.

    Returns:
        (R, M) interior angles at the row's node, (R, M) angles between directions, radians; (R, M) bool, whether the
        two are of different images.
    """
    interior = EmbeddingScorer(embeds, "beta" if is_hyperbolic(curvature) else "euclidean_beta", curvature)
    cosine = EmbeddingScorer(embeds, "cosine", curvature)
    beta = interior(rows, columns, "children").double().cpu().numpy()
    between = np.arccos(np.clip(cosine(rows, columns, "children").double().cpu().numpy(), -1, 1))
    return beta, between, images[rows][:, None] != images[columns][None]


def container_scores(interior: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Scores of "the row's category is the column's container": those that hold first, then the nearest direction."""
    return _BEFORE_ALL_OTHERS * (interior > np.pi / 2) - between


def wider_angle_scores(interior: np.ndarray, reverse: np.ndarray, between: np.ndarray) -> np.ndarray:
    """As `container_scores`, where of two the one with the larger interior angle holds the other.

    `reverse` are the interior angles at the columns.

    No angle need be obtuse. In a triangle the larger angle lies opposite the longer side, so it is also the category
    nearer the origin.
    """
    return _BEFORE_ALL_OTHERS * (interior > reverse) - between


def class_entailment(
    embeds: torch.Tensor, hierarchy: Hierarchy, curvature: float | None, seed: int = 0
) -> dict[str, Any] | None:
    """Angles between classes, their tree, and how often the class that holds a box is told.

    Args:
        embeds: (N, D) embeddings, one row a node.
        hierarchy: the split.
        curvature: c of the hyperboloid; None or 0 for a Euclidean model.
        seed: of the draws of nodes and boxes.

    Returns:
        None where no box holds another, else
        - `names` (n,), the scene first; `of_classes`, how many the split has;
        - `interior`, `between` (n, n): mean angles in degrees, whole first; None where no two images have them;
        - `true_parent`, `found_parent` (n,): places in `names`, -1 at the root;
        - `edge_f1`: figure; both trees have n - 1 edges, so it is the share of true edges found. Its interval is over
          classes. It is the tree by `wider_angle_scores`; `obtuse`: that by `container_scores`; `star`: that in which
          the scene holds every class;
        - `pairs`: list of `whole`, `part`, `boxes` and a figure of the share of these boxes for which the whole's
          class is the best container of all categories but the part's own; intervals over images.
    """
    found = choose_categories(hierarchy)
    if found is None:
        return None
    n, rng = len(found.names), np.random.default_rng(seed)
    nodes = np.concatenate([rng.permutation(np.flatnonzero(found.of_node == c))[:NODES_PER_CLASS] for c in range(n)])
    member = np.eye(n)[found.of_node[nodes]]
    interior, between, apart = mean_angles(embeds, curvature, nodes, nodes, hierarchy.node_image)
    counts = member.T @ apart @ member
    angles = [
        np.divide(member.T @ (angle * apart) @ member, counts, out=np.full((n, n), np.nan), where=counts > 0)
        for angle in (interior, between)
    ]
    # categories that never meet in two images tell nothing: as if at right angles
    known = [np.nan_to_num(angle, nan=np.pi / 2) for angle in angles]
    true = true_class_tree(found.shares)
    trees = {
        "edge_f1": recover_tree(wider_angle_scores(known[0], known[0].T, known[1])),
        "obtuse": recover_tree(container_scores(*known)),
        "star": np.where(np.arange(n) == 0, -1, 0),
    }
    hits = {name: {"f1": (tree == true)[1:].astype(np.float64)} for name, tree in trees.items()}
    figures = mean_figures(hits, {"f1": 1 / n}, {"f1": 1.0}, seed=seed)
    rows, image = _pair_boxes(hierarchy, found, rng), hierarchy.node_image
    pairs = []
    for (whole, part), boxes in rows:
        told = _best_container(embeds, curvature, nodes, boxes, found.of_node, image, n, part) == whole
        bounds = bootstrap_interval(told.astype(np.float64), seed=seed, groups=image[boxes])
        entry = figure(told.mean(), float(bounds[0]), float(bounds[1]), 1 / (n - 1), 1.0)
        pairs.append({"whole": found.names[whole], "part": found.names[part], "boxes": len(boxes), "told": entry})
    return {
        "names": list(found.names),
        "of_classes": hierarchy.num_classes,
        "interior": _degrees(angles[0]),
        "between": _degrees(angles[1]),
        "true_parent": true.tolist(),
        "found_parent": trees["edge_f1"].tolist(),
        **{name: entry["f1"] for name, entry in figures.items()},
        "pairs": pairs,
    }


def _best_container(
    embeds: torch.Tensor,
    curvature: float | None,
    nodes: np.ndarray,
    boxes: np.ndarray,
    of_node: np.ndarray,
    images: np.ndarray,
    n: int,
    own: int,
) -> np.ndarray:
    """(B,) category that holds each box best by its mean angles to `nodes` of other images, its own left out."""
    interior, between, apart = mean_angles(embeds, curvature, nodes, boxes, images)
    member = np.eye(n)[of_node[nodes]]
    counts = member.T @ apart
    reverse = mean_angles(embeds, curvature, boxes, nodes, images)[0].T
    means = [member.T @ (angle * apart) / np.maximum(counts, 1) for angle in (interior, reverse, between)]
    scores = np.where(counts > 0, wider_angle_scores(*means), -np.inf)
    scores[own] = -np.inf
    best: np.ndarray = scores.argmax(axis=0)
    return best


def _pair_boxes(
    hierarchy: Hierarchy, found: Categories, rng: np.random.Generator
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """The most frequent pairs of whole and part, with boxes of the part that lie directly in such a whole."""
    whole, part = found.of_node[hierarchy.direct].T
    rows = []
    for w, p in found.pairs[:MOST_PAIRS].tolist():
        boxes = np.unique(hierarchy.direct[(whole == w) & (part == p), 1])
        rows.append(((w, p), rng.permutation(boxes)[:BOXES_PER_PAIR]))
    return rows


def _degrees(angles: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(a) else round(float(a), 1) for a in row] for row in np.degrees(angles)]
