"""Distance between label distributions: how far the labels retrieved are from the labels wanted.

The ground (what it costs to turn one class into another) is a parameter, because no order of classes is natural:
`"index"` puts class c at c on a line (unit spacing, as the 1-D Wasserstein of arXiv 2411.17490 appears to), a
`ClassTree` costs the path between two classes, and a (C, C) matrix costs whatever it says.

The distances live in `hier_ot`, the folder of the metric of that name, which must work without this package.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from hf_hyperbolic.data.class_hierarchy import ClassHierarchy
from hf_hyperbolic.evaluation.hier_ot.class_tree import ClassTree, tree_from_parents
from hf_hyperbolic.evaluation.hier_ot.wasserstein import (
    Ground,
    label_distance,
    wasserstein_cost,
    wasserstein_index,
    wasserstein_tree,
)

__all__ = [
    "ClassTree",
    "Ground",
    "class_tree",
    "label_distance",
    "wasserstein_cost",
    "wasserstein_index",
    "wasserstein_tree",
]


def class_tree(
    class_names: Sequence[str],
    hierarchy: ClassHierarchy | str | os.PathLike[str] | Mapping[str, str | None] | Sequence[int] | np.ndarray,
) -> ClassTree:
    """The tree ground over the classes of a table.

    Args:
        class_names: (C,) names, for example of a `BoxTable`.
        hierarchy: a `ClassHierarchy`, or what `tree_from_parents` takes: a map from each name to its parent's, the path
            of the class hierarchy of Open Images (by class ids), or the parent of each node, the first C the classes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the hierarchy is no tree, or has no place for a class.
    """
    if isinstance(hierarchy, ClassHierarchy):
        return ClassTree(hierarchy.parent_rows(tuple(class_names)))
    tree = tree_from_parents(hierarchy, class_names)
    if len(tree.parent) < len(class_names):
        raise ValueError(f"the hierarchy has {len(tree.parent)} nodes for {len(class_names)} classes")
    return tree
