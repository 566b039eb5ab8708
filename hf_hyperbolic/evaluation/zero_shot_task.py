"""The boxes that class prototypes are made from, and the boxes whose class they are to tell (see `zero_shot`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.detection import IOU_THRESHOLDS, Overlaps, find_overlaps
from hf_hyperbolic.evaluation.federated import settled_in_image
from hf_hyperbolic.evaluation.nodes import active_boxes


@dataclass(frozen=True)
class Support:
    """Boxes of the support split from which prototypes are made.

    Attributes:
        nodes: (n,) int64, boxes of the support split: embed these.
        labels: (n,) int64, their classes by the numbers of the *evaluated* split.
        draws: rows of `nodes`, one array a draw.
        shots: most boxes of a class in a draw; None for all.
        counts: (C,) int64, boxes of each class in the support split, drawn or not.
    """

    nodes: np.ndarray
    labels: np.ndarray
    draws: tuple[np.ndarray, ...]
    shots: int | None
    counts: np.ndarray


@dataclass(frozen=True)
class Queries:
    """The boxes to be told, and the classes they may be.

    Attributes:
        nodes: (Q,) int64, boxes whose class is among the candidates.
        labels: (Q,) int64, rows of `classes`.
        classes: (K,) int64, candidate classes of the split.
        left_out: boxes of classes without support.
        overlaps: of these boxes, labels as above.
        settled: (I, K) bool, images in which all boxes of a class are known; None where all are.
    """

    nodes: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    left_out: int
    overlaps: Overlaps
    settled: np.ndarray | None

    def class_settled(self, row: int) -> np.ndarray | None:
        return None if self.settled is None else self.settled[:, row]


def draw_support(
    support: Hierarchy, evaluated: Hierarchy, shots: int | None = 50, draws: int = 1, seed: int = 0
) -> Support:
    """Draws boxes of every class that the two splits share by name, without replacement.

    Args:
        support: the split that prototypes come from.
        evaluated: the split whose boxes will be told.
        shots: most boxes of a class in a draw; None takes all (and one draw is all there is).
        draws: how many.
        seed: of the draws.

    Raises:
        ValueError: they share no class with a box in the support, or a number makes no sense.
    """
    if (shots is not None and shots < 1) or draws < 1:
        raise ValueError(f"shots and draws must be at least 1, got {shots} and {draws}")
    number_of = {name: label for label, name in enumerate(evaluated.class_names)}
    renumbered = np.array([number_of.get(name, -1) for name in support.class_names], dtype=np.int64)
    boxes = active_boxes(support)
    labels = renumbered[support.node_label[boxes]] if len(boxes) else np.zeros(0, np.int64)
    boxes, labels = boxes[labels >= 0], labels[labels >= 0]
    if not len(boxes):
        raise ValueError(
            "the support split has no box of a class of the evaluated split: prototypes need a split of the same data "
            f"set (support: {_listed(support.class_names)}; evaluated: {_listed(evaluated.class_names)})"
        )
    counts = np.bincount(labels, minlength=evaluated.num_classes)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws if shots is not None else 1):
        # a random order, then the first of each class
        order = rng.permutation(len(boxes))
        order = order[np.argsort(labels[order], kind="stable")]
        place = np.arange(len(order)) - np.searchsorted(labels[order], labels[order])
        drawn.append(np.sort(order[place < (len(order) if shots is None else shots)]))
    used = np.unique(np.concatenate(drawn))
    rows = tuple(np.searchsorted(used, one) for one in drawn)
    return Support(boxes[used], labels[used], rows, shots, counts)


def told_boxes(hierarchy: Hierarchy, support: Support) -> np.ndarray:
    """(Q,) int64, the boxes of the evaluated split whose class has support: the units of zero-shot accuracy."""
    boxes = active_boxes(hierarchy)
    return boxes[np.isin(hierarchy.node_label[boxes], support.labels)]


def prepare(hierarchy: Hierarchy, support: Support, thresholds: Sequence[float] = IOU_THRESHOLDS) -> Queries:
    """The boxes to be told.

    Raises:
        ValueError: no box of the split is of a class with support.
    """
    classes, boxes = np.unique(support.labels), active_boxes(hierarchy)
    nodes = told_boxes(hierarchy, support)
    if not len(nodes):
        raise ValueError("no box of the evaluated split is of a class that the support split has a box of")
    labels = np.searchsorted(classes, hierarchy.node_label[nodes])
    overlaps = find_overlaps(
        hierarchy.node_box[nodes], hierarchy.node_image[nodes], labels, hierarchy.num_images, thresholds
    )
    settled = None
    if hierarchy.federation is not None:
        settled = settled_in_image(hierarchy, hierarchy.federation)[:, classes]
    return Queries(nodes, labels, classes, len(boxes) - len(nodes), overlaps, settled)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)} in all)" if len(names) > 5 else "")
