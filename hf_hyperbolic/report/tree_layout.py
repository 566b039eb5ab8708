"""Where the nodes of a tree stand in a picture."""

import numpy as np


def children_of(parent: np.ndarray) -> list[list[int]]:
    """Children of each node of (n,) parents, in order; -1 stands at the root."""
    children: list[list[int]] = [[] for _ in parent]
    for node, above in enumerate(parent.tolist()):
        if above >= 0:
            children[above].append(node)
    return children


def depth_first(parent: np.ndarray) -> list[int]:
    """Nodes from the root, each before what hangs below it; the smaller subtrees of a node come first."""
    children = children_of(parent)
    size = np.ones(len(parent), dtype=np.int64)
    order: list[int] = []
    stack = [node for node, above in enumerate(parent.tolist()) if above < 0]
    while stack:
        order.append(stack.pop())
        stack += children[order[-1]]
    for node in reversed(order):
        if parent[node] >= 0:
            size[parent[node]] += size[node]
    found: list[int] = []
    stack = order[:1]
    while stack:
        found.append(stack.pop())
        stack += sorted(children[found[-1]], key=lambda child: -int(size[child]))
    return found


def depths(parent: np.ndarray) -> np.ndarray:
    """(n,) int64 edges between each node and the root."""
    found = np.zeros(len(parent), dtype=np.int64)
    for node in depth_first(parent)[1:]:
        found[node] = found[parent[node]] + 1
    return found


def tidy_positions(parent: np.ndarray) -> np.ndarray:
    """(n, 2) float64: leaves one apart from left to right, others above the middle of their children; y is -depth."""
    children, order = children_of(parent), depth_first(parent)
    places = np.zeros((len(parent), 2))
    places[:, 1] = -depths(parent)
    leaves = [node for node in order if not children[node]]
    places[leaves, 0] = np.arange(len(leaves))
    for node in reversed(order):
        if children[node]:
            below = places[children[node], 0]
            places[node, 0] = (below.min() + below.max()) / 2
    return places
