"""The class hierarchy of Open Images (`bbox_labels_600_hierarchy.json`) -> parents of each class, and a tree."""

import json
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hf_hyperbolic.data.class_descriptions import read_class_descriptions
from hf_hyperbolic.data.text_files import read_text

Relation = Literal["subcategory", "part"]
_KEYS: dict[str, Relation] = {"Subcategory": "subcategory", "Part": "part"}


@dataclass(frozen=True)
class ClassHierarchy:
    """Classes and what they are kinds or parts of. A class may have several parents.

    Attributes:
        root: id of the class above all others; in Open Images `/m/0bl9f` ("entity"), which has no description.
        parents: class id -> its parents and how it hangs below each; () for the root. Classes and parents
            stand breadth first: the root, then what hangs below it, and so on.
        names: class id -> name; ids without a description are their own names.
    """

    root: str
    parents: dict[str, tuple[tuple[str, Relation], ...]]
    names: dict[str, str]

    def tree(self) -> dict[str, str]:
        """Class id -> its one parent, for every class but the root.

        Of several parents the one nearest the root is taken; among equals a subcategory goes before a part, then the
        first met breadth first. So the parent is always nearer the root, which makes this a tree even if the classes
        of the file go round in a circle.
        """
        depth = self._depth()
        return {
            # min keeps the first among equals
            child: min(parents, key=lambda parent: (depth[parent[0]], parent[1] == "part"))[0]
            for child, parents in self.parents.items()
            if child != self.root
        }

    def parent_rows(self, class_names: tuple[str, ...]) -> np.ndarray:
        """The tree over the classes of a table, as `ClassTree.parent` of the evaluation wants it.

        Args:
            class_names: (C,) names or ids, for example of a `BoxTable`.

        Returns:
            (T,) int64 row of each node's parent, -1 for the root. The first C nodes are `class_names`, the others are
            classes that do not occur in it.

        Raises:
            ValueError: a name is not in the hierarchy, or two names are one class.
        """
        id_of_name = {name: class_id for class_id, name in self.names.items()} | {key: key for key in self.parents}
        unknown = [name for name in class_names if name not in id_of_name]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(class_names)} classes are not in the class hierarchy, for example "
                f"{unknown[0]!r}: read the hierarchy with the class_file the names come from"
            )
        ids = [id_of_name[name] for name in class_names]
        if len(set(ids)) < len(ids):
            second = next(place for place in range(len(ids)) if ids[place] in ids[:place])
            one, other = class_names[ids.index(ids[second])], class_names[second]
            raise ValueError(f"class_names: {one!r} and {other!r} are one class, {ids[second]}: leave one out")
        row = {class_id: number for number, class_id in enumerate(dict.fromkeys([*ids, *self.parents]))}
        tree = self.tree()
        return np.array([row[tree[class_id]] if class_id in tree else -1 for class_id in row], dtype=np.int64)

    def _depth(self) -> dict[str, int]:
        children: dict[str, list[str]] = {class_id: [] for class_id in self.parents}
        for child, parents in self.parents.items():
            for parent, _ in parents:
                children[parent].append(child)
        depth, queue = {self.root: 0}, deque([self.root])
        while queue:
            parent = queue.popleft()
            for child in children[parent]:
                if child not in depth:
                    depth[child] = depth[parent] + 1
                    queue.append(child)
        return depth


def read_class_hierarchy(
    json_file: str | os.PathLike[str], class_file: str | os.PathLike[str] | None = None
) -> ClassHierarchy:
    """Reads nested objects of `LabelName` and lists under `Subcategory` and `Part`.

    A label may stand in many places: its parents are those of all of them. A label directly under itself, or the root
    under another, adds no parent.

    Args:
        json_file: the file.
        class_file: class descriptions that give the names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON, or not nested as above.
    """
    path = Path(json_file)
    try:
        document = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        advice = "the file ends early: it was cut short, fetch it again" if cut else error.msg
        raise ValueError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {advice}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: not a class hierarchy: nested more deeply than Python can read") from error
    root = _label(path, document, "the top")
    parents: dict[str, dict[tuple[str, Relation], None]] = {root: {}}
    queue = deque([(document, root)])
    while queue:
        node, label = queue.popleft()
        for key, relation in _KEYS.items():
            children = node.get(key, [])
            if not isinstance(children, list):
                raise ValueError(f"{path}: {key} of {label} must be a list of classes, got {children!r:.60}")
            for number, child in enumerate(children):
                name = _label(path, child, f"{key}[{number}] of {label}")
                below = parents.setdefault(name, {})
                if name not in (label, root):
                    below[label, relation] = None
                queue.append((child, name))
    described = {} if class_file is None else read_class_descriptions(class_file)
    return ClassHierarchy(
        root=root,
        parents={child: tuple(found) for child, found in parents.items()},
        names={class_id: described.get(class_id, class_id) for class_id in parents},
    )


def _label(path: Path, node: Any, where: str) -> str:
    if not isinstance(node, dict) or not isinstance(node.get("LabelName"), str) or not node["LabelName"]:
        raise ValueError(f"{path}: not a class hierarchy: {where} must be an object with a LabelName, got {node!r:.60}")
    return node["LabelName"]
