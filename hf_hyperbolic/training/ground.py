"""What the optimal transport of an evaluation measures by: the order of the classes, or a tree read from a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.class_hierarchy import read_class_hierarchy
from hf_hyperbolic.data.text_files import read_text
from hf_hyperbolic.evaluation.optimal_transport import ClassTree, class_tree


def read_ground(class_names: Sequence[str], hierarchy_file: str) -> ClassTree:
    """The tree over the classes of a split.

    Args:
        class_names: (C,) names of the split's classes.
        hierarchy_file: JSON, either the class hierarchy of Open Images, whose names are looked for in
            `*class-descriptions*.csv` beside it, or an object that maps each class to its parent, null for the root.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or has no place for a class.
    """
    path = Path(hierarchy_file)
    try:
        document = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON at line {error.lineno}: {error.msg}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must hold one object, a class hierarchy or a map of classes to their parents")
    if "LabelName" not in document:
        wrong = next((key for key, value in document.items() if not isinstance(value, str | None)), None)
        if wrong is not None:
            raise ValueError(f"{path}: the parent of {wrong!r} must be a name, or null for the root")
        hierarchies: list[Any] = [document]
    else:
        # Open Images has one file of names for its boxes and others for other labels: the one that fits is taken
        described = sorted(path.parent.glob("*class-descriptions*.csv"))
        hierarchies = [read_class_hierarchy(path, file) for file in (*described, None)]
    errors = []
    for hierarchy in hierarchies:
        try:
            return class_tree(class_names, hierarchy)
        except ValueError as error:
            errors.append(error)
    raise ValueError(f"{path}: {errors[0]}") from None
