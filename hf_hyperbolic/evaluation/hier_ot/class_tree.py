"""A tree over classes, from a parent map or the class hierarchy of Open Images."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Preorder(NamedTuple):
    """Places of tree nodes in depth-first order, in which every subtree is one run.

    Attributes:
        start: (T,) int64, place of each node.
        end: (T,) int64, one past the last place of its subtree.
    """

    start: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class ClassTree:
    """A tree over classes; classes may be leaves or inner nodes.

    Attributes:
        parent: (T,) int, parent of each tree node, -1 at the root. The first C nodes are the C classes; nodes after
            them are inner nodes without a class of their own.
        weight: (T,) float, length of the edge to the parent, at least 0; 1 everywhere when None. The root's is unused.
    """

    parent: np.ndarray
    weight: np.ndarray | None = None

    def preorder(self) -> Preorder:
        """Places of the nodes, each subtree a run.

        Raises:
            ValueError: there is not exactly one root, a parent is out of range, or the parents go round in a circle.
        """
        parent = np.asarray(self.parent)
        nodes = len(parent)
        if not np.issubdtype(parent.dtype, np.integer) or parent.ndim != 1:
            raise ValueError(f"ClassTree.parent must be (T,) integers, got {parent.dtype} of shape {parent.shape}")
        if (parent == -1).sum() != 1 or not ((parent >= -1) & (parent < nodes)).all():
            raise ValueError(f"ClassTree.parent must hold one -1 (the root) and else nodes in [0, {nodes})")
        children: list[list[int]] = [[] for _ in range(nodes)]
        up = parent.tolist()
        for node, above in enumerate(up):
            if above >= 0:
                children[above].append(node)
        visited, stack = [], [up.index(-1)]
        while stack:
            node = stack.pop()
            visited.append(node)
            stack += children[node]
        if len(visited) < nodes:
            raise ValueError("ClassTree.parent goes round in a circle")
        size = [1] * nodes
        for node in reversed(visited[1:]):
            size[up[node]] += size[node]
        start = np.empty(nodes, dtype=np.int64)
        start[visited] = np.arange(nodes)
        return Preorder(start, start + size)

    def edge_lengths(self) -> np.ndarray:
        """(T,) float64: length of the edge to the parent, 0 at the root.

        Raises:
            ValueError: a weight is negative or not finite, or there are more or fewer than nodes.
        """
        parent = np.asarray(self.parent)
        length = np.ones(len(parent)) if self.weight is None else np.array(self.weight, dtype=np.float64)
        if length.shape != parent.shape:
            raise ValueError(f"ClassTree.weight has shape {length.shape}, expected {parent.shape}: one a node")
        length[parent == -1] = 0
        bad = np.flatnonzero(~(np.isfinite(length) & (length >= 0)))
        if len(bad):
            raise ValueError(f"ClassTree.weight[{bad[0]}] is {length[bad[0]]}: lengths are finite and at least 0")
        return length


def tree_from_parents(
    parents: str | os.PathLike[str] | Mapping[str, str | None] | Sequence[int] | np.ndarray,
    class_names: Sequence[str] | None = None,
    edge_lengths: Mapping[str, float] | Sequence[float] | np.ndarray | None = None,
) -> ClassTree:
    """The tree over classes that a parent map says.

    Args:
        parents: (T,) parent of each node, -1 at the root, the first C nodes being the classes; or a map name -> name
            of the parent, in which the root has None or no entry; or the path of the class hierarchy of Open Images
            (`bbox_labels_600_hierarchy.json`), whose names are the class ids (`/m/...`).
        class_names: (C,) name of each class, in the order of the classes; for names and files only.
        edge_lengths: of the edge from each node to its parent, (T,) or a map from names as `parents` is; 1 when None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the parents make no tree, a class is not in it, or two classes are one.
    """
    if isinstance(parents, (str, os.PathLike)):
        parents = open_images_parents(parents)
    if not isinstance(parents, Mapping):
        rows = np.asarray(parents)
        if rows.ndim != 1 or not len(rows) or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(
                "parents must be a list of the parent of each node (-1 at the root), a map from names to names, or the "
                f"path of a hierarchy file, got {parents!r:.80}"
            )
        if isinstance(edge_lengths, Mapping):
            raise ValueError("edge_lengths must be a list as parents is: one length a node")
        tree = ClassTree(rows.astype(np.int64), None if edge_lengths is None else np.asarray(edge_lengths, np.float64))
    else:
        tree = _tree_from_names(parents, class_names, edge_lengths)
    tree.preorder()
    tree.edge_lengths()
    return tree


def _tree_from_names(
    parents: Mapping[str, str | None],
    class_names: Sequence[str] | None,
    edge_lengths: Any,
) -> ClassTree:
    if class_names is None:
        raise ValueError(
            "parents go by name: class_names must give the name of each class, in the order of the classes"
        )
    names = list(class_names)
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"class_names holds {twice!r} twice")
    nodes = dict.fromkeys(name for pair in parents.items() for name in pair if name is not None)
    unknown = [name for name in names if name not in nodes]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(names)} class_names are not in parents, for example {unknown[0]!r}: the "
            "hierarchy of Open Images goes by class ids such as '/m/0k4j'"
        )
    order = {name: row for row, name in enumerate(dict.fromkeys([*names, *nodes]))}
    roots = [name for name in order if parents.get(name) is None]
    if len(roots) > 1:
        raise ValueError(
            f"parents has {len(roots)} roots ({', '.join(map(repr, roots[:3]))}{', ...' if len(roots) > 3 else ''}) "
            "and so no path between their classes: give them one parent"
        )
    if not roots:
        raise ValueError("parents has no root: the parents go round in a circle")
    above = [parents.get(name) for name in order]
    rows = np.array([-1 if name is None else order[name] for name in above], dtype=np.int64)
    if edge_lengths is None:
        return ClassTree(rows)
    if not isinstance(edge_lengths, Mapping):
        raise ValueError("edge_lengths must be a map from names as parents is")
    without = [name for name in order if name != roots[0] and name not in edge_lengths]
    if without:
        raise ValueError(f"edge_lengths has no length for {len(without)} nodes, for example {without[0]!r}")
    return ClassTree(rows, np.array([edge_lengths.get(name, 0.0) for name in order], dtype=np.float64))


def open_images_parents(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Class id -> its one parent, None for the root, of nested `LabelName`, `Subcategory` and `Part`.

    A class may stand in many places. Of several parents the one nearest the root is taken, among equals a subcategory
    before a part, then the first met breadth first: as `hf_hyperbolic.data.class_hierarchy` has it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON, or not nested as above.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"parents: {os.fspath(path)}: no such file")
    try:
        with open(path, encoding="utf-8-sig") as stream:
            document = json.load(stream)
        root = _label(document)
        places: dict[str, dict[tuple[str, str], None]] = {root: {}}
        queue = [(document, root)]
        for node, label in queue:  # grows as it goes: breadth first
            for key in ("Subcategory", "Part"):
                for child in node.get(key, []):
                    name = _label(child)
                    below = places.setdefault(name, {})
                    if name not in (label, root):
                        below[label, key] = None
                    queue.append((child, name))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"parents: {os.fspath(path)}: not a class hierarchy of nested LabelName, Subcategory and Part "
            f"({type(error).__name__}: {error})"
        ) from error
    children: dict[str, list[str]] = {name: [] for name in places}
    for name, above in places.items():
        for label, _ in above:
            children[label].append(name)
    depth, waiting = {root: 0}, [root]
    for label in waiting:
        for name in children[label]:
            if name not in depth:
                depth[name] = depth[label] + 1
                waiting.append(name)
    nearest = {
        name: min(above, key=lambda place: (depth[place[0]], place[1] == "Part"))[0]
        for name, above in places.items()
        if name != root
    }
    return {root: None, **nearest}


def _label(node: Any) -> str:
    if not isinstance(node["LabelName"], str) or not node["LabelName"]:
        raise ValueError(f"LabelName must be a name, got {node['LabelName']!r:.60}")
    return node["LabelName"]
