"""Which answers are known, in a set where annotators did not look for every class in every image (LVIS, Open Images).

Class c is known of node n when

- a box of class c is a descendant of n: it is there; or
- c was verified absent in n's image: it is not there; or
- c was annotated in n's image, every instance of it, and none lies in n's tree: it is not there either.

All else is unknown: a system that says so is neither right nor wrong, and the combination is left out of that query's
ranking, as the federated evaluation of LVIS (Gupta, Dollar & Girshick 2019) leaves the image out of the category's.
A class whose only box is the whole image counts as annotated, though it is in no tree.

Training goes another way (see `data.relations.RelationIndex`).
"""

import numpy as np

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.data.hierarchy import Hierarchy


def settled_in_image(hierarchy: Hierarchy, federation: Federation) -> np.ndarray:
    """(I, C) bool: what is not in a node's tree is known to be absent: every instance was annotated, or none exists."""
    settled = np.zeros((hierarchy.num_images, hierarchy.num_classes), dtype=bool)
    boxes = np.flatnonzero(hierarchy.node_label >= 0)
    settled[hierarchy.node_image[boxes], hierarchy.node_label[boxes]] = True
    settled[tuple(federation.not_exhaustive.T)] = False
    settled[tuple(federation.verified_absent.T)] = True
    return settled


def known_labels(hierarchy: Hierarchy, nodes: np.ndarray, held: np.ndarray) -> np.ndarray | None:
    """Classes of which it is known whether a node's tree holds them.

    Args:
        hierarchy: the split.
        nodes: (n,) node numbers.
        held: (n, C) bool, classes in each node's tree.

    Returns:
        (n, C) bool; None where every class was looked for in every image, so that all is known.
    """
    if hierarchy.federation is None:
        return None
    return held | settled_in_image(hierarchy, hierarchy.federation)[hierarchy.node_image[nodes]]


def unknown_pairs(hierarchy: Hierarchy, pairs: np.ndarray) -> np.ndarray:
    """(P, 2) wholes and parts -> (P,) bool: whether it is unknown if the whole's tree holds the part's class.

    No scene is a part: nothing is unknown of such a pair.
    """
    if hierarchy.federation is None:
        return np.zeros(len(pairs), dtype=bool)
    settled = settled_in_image(hierarchy, hierarchy.federation)
    whole, classes = pairs[:, 0], hierarchy.num_classes
    labels = hierarchy.node_label[pairs[:, 1]].astype(np.int64)
    ancestry = hierarchy.ancestry
    held = np.unique(ancestry[:, 0] * classes + hierarchy.node_label[ancestry[:, 1]])
    known = settled[hierarchy.node_image[whole], labels] | np.isin(whole * classes + labels, held)
    return (labels >= 0) & ~known
