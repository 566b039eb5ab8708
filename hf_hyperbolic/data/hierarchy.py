"""Boxes of an image -> its hierarchy: which box is a part of which, directly and at any distance.

Box B is a child of box A when A holds at least 80 % of B's area and is larger (arXiv 2411.17490, section 3.1, applied
recursively). The paper leaves near-duplicates and whole-image boxes open; what is done with them here is stated in
`build_hierarchy`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable, Federation
from hf_hyperbolic.data.overlap import DUPLICATE_IOU, area, intersection, intersection_over_union

# cells of the padded (images, n, n) arrays worked on at once: 1 MB for each float64 temporary, which stays in cache
_CHUNK_CELLS = 1 << 17
# boxes compared with their image frame at once
_CHUNK_BOXES = 1 << 20
# images whose box counts lie within this ratio share a bucket; padding then wastes at most its square
_BUCKET_RATIO = 1.2


@dataclass(frozen=True)
class Hierarchy:
    """The scene -> object -> part hierarchies of a set of images, as one numbered set of nodes.

    Node n < num_images is the full scene of image n; node num_images + b is box b of the table. Pair arrays are sorted
    by their first column, then by their second.

    Attributes:
        num_images: I, number of images and so of scenes.
        num_classes: C, number of classes.
        class_names: (C,) names.
        node_image: (N,) int32, image a node belongs to.
        node_label: (N,) int32, class, -1 for a scene.
        node_box: (N, 4) float32, x0 y0 x1 y1 in pixels; a scene has 0, 0, width, height.
        level: (N,) int32, length of the longest direct path from the scene: 0 for a scene, at least 1 for a box
            (0 for a scene duplicate, which is the scene).
        direct: (E, 2) int64, parent and child: the transitive reduction.
        ancestry: (P, 2) int64, ancestor and descendant at any distance; a scene is an ancestor of every active box of
            its image.
        node_is_scene_duplicate: (N,) bool, boxes that are the whole image. They keep their number but take no part:
            they stand in no pair and belong in no gallery and no set of queries.
        duplicate_iou: boxes of an image whose IoU is above this show the same thing and are no pair.
        federation: which absences are known; None where every class was looked for in every image.
    """

    num_images: int
    num_classes: int
    class_names: tuple[str, ...]
    node_image: np.ndarray
    node_label: np.ndarray
    node_box: np.ndarray
    level: np.ndarray
    direct: np.ndarray
    ancestry: np.ndarray
    node_is_scene_duplicate: np.ndarray
    duplicate_iou: float = DUPLICATE_IOU
    federation: Federation | None = None

    @property
    def num_nodes(self) -> int:
        return len(self.node_image)

    def active(self) -> np.ndarray:
        """(N,) bool: nodes that take part, that is all but the boxes that are the whole image."""
        return ~self.node_is_scene_duplicate

    def image_nodes(self, image: int) -> np.ndarray:
        """Nodes of an image, its scene first."""
        of_boxes = self.node_image[self.num_images :]
        # of the column's own type, lest all of it be converted for each search
        first, last = np.searchsorted(of_boxes, np.array([image, image + 1], of_boxes.dtype)) + self.num_images
        return np.concatenate([[image], np.arange(first, last)])

    def scene_labels(self) -> np.ndarray:
        """(I, C) bool: classes that occur in the tree of an image."""
        boxes = np.flatnonzero(self.active() & (self.node_label >= 0))
        labels = np.zeros((self.num_images, self.num_classes), dtype=bool)
        labels[self.node_image[boxes], self.node_label[boxes]] = True
        return labels

    def subtree_labels(self, nodes: np.ndarray | None = None) -> np.ndarray:
        """(n, C) bool: classes among the strict descendants of (n,) `nodes`, all N when None; n x C bytes."""
        row = np.arange(self.num_nodes)
        if nodes is not None:
            row = np.full(self.num_nodes, -1)
            row[nodes] = np.arange(len(nodes))
        labels = np.zeros((self.num_nodes if nodes is None else len(nodes), self.num_classes), dtype=bool)
        pairs = self.ancestry[row[self.ancestry[:, 0]] >= 0]
        labels[row[pairs[:, 0]], self.node_label[pairs[:, 1]]] = True
        return labels


def build_hierarchy(table: BoxTable, threshold: float = 0.8, duplicate_iou: float = DUPLICATE_IOU) -> Hierarchy:
    """Finds every ancestor-descendant pair of every image, and the direct ones.

    - B is contained in A when `area(A and B) >= threshold * area(B)` and A is strictly larger.
    - Near-duplicates (IoU > `duplicate_iou`) never form a pair, not even by way of a third box.
    - A box whose IoU with the image frame exceeds `duplicate_iou` is the scene: it is marked and takes no part.
    - `ancestry` is the transitive closure of containment less the near-duplicates; `direct` is the transitive
      reduction of that closure, so each direct pair is itself a containment. With `threshold < 1` containment is not
      transitive, so a descendant reached through several boxes may lie partly or wholly outside its ancestor.

    Args:
        table: the boxes.
        threshold: share of the child's area inside the parent, in (0, 1].
        duplicate_iou: intersection over union above which two boxes count as one, in (0, 1].

    Raises:
        ValueError: a threshold lies outside (0, 1].
    """
    for name, value in (("threshold", threshold), ("duplicate_iou", duplicate_iou)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value}")
    is_scene = scene_duplicates(table, duplicate_iou)
    ancestry, direct = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for index, present in _buckets(table.box_image[~is_scene], np.flatnonzero(~is_scene), table.num_images):
        contains, duplicate = _containment(table.boxes[index].astype(np.float64), present, threshold, duplicate_iou)
        # most images of few boxes nest none of them
        nested = np.flatnonzero(contains.any(axis=(1, 2)))
        index, duplicate = index[nested], duplicate[nested]
        closure, reduction = _close_and_reduce(contains[nested])
        ancestry.append(_keys(closure & ~duplicate, index, table.num_boxes))
        direct.append(_keys(reduction, index, table.num_boxes))
    return assemble(table, is_scene, ancestry, direct, duplicate_iou)


def scene_duplicates(table: BoxTable, duplicate_iou: float) -> np.ndarray:
    """(B,) bool: boxes whose IoU with the frame of their image is above `duplicate_iou`."""
    scene_box = _scene_boxes(table)
    found = np.zeros(table.num_boxes, dtype=bool)
    for first in range(0, table.num_boxes, _CHUNK_BOXES):
        part = slice(first, first + _CHUNK_BOXES)
        boxes, frame = table.boxes[part].astype(np.float64), scene_box[table.box_image[part]].astype(np.float64)
        found[part] = intersection_over_union(boxes, frame) > duplicate_iou
    return found


def assemble(
    table: BoxTable, is_scene: np.ndarray, ancestry: list[np.ndarray], direct: list[np.ndarray], duplicate_iou: float
) -> Hierarchy:
    """Puts the pairs of boxes of a table under its scenes.

    Pairs are int64 numbers, first row * num_boxes + second row, in arrays whose lists are emptied: at the size of Open
    Images they are a third of all the memory in use.

    Args:
        table: the boxes.
        is_scene: (B,) bool, boxes that are the whole image; they stand in no pair.
        ancestry: pairs of ancestor and descendant, transitively closed but for near-duplicates.
        direct: pairs of parent and child, the transitive reduction of the closure.
        duplicate_iou: what the near-duplicates were found by.
    """
    images = table.num_images
    scene_box = _scene_boxes(table)
    active = np.flatnonzero(~is_scene)
    parent, child = _sorted_pairs(direct, table.num_boxes)
    level = np.concatenate([np.zeros(images, dtype=np.int32), _levels(parent, child, ~is_scene)])
    has_parent = np.zeros(table.num_boxes, dtype=bool)
    has_parent[child] = True
    top = np.flatnonzero(~is_scene & ~has_parent)
    direct_pairs = _with_scenes(table.box_image, top, parent, child, images)
    ancestry_pairs = _with_scenes(table.box_image, active, *_sorted_pairs(ancestry, table.num_boxes), images)
    return Hierarchy(
        num_images=images,
        num_classes=len(table.class_names),
        class_names=tuple(table.class_names),
        node_image=np.concatenate([np.arange(images, dtype=np.int32), table.box_image.astype(np.int32)]),
        node_label=np.concatenate([np.full(images, -1, np.int32), table.labels.astype(np.int32)]),
        node_box=np.concatenate([scene_box, table.boxes.astype(np.float32)]),
        level=level,
        direct=direct_pairs,
        ancestry=ancestry_pairs,
        node_is_scene_duplicate=np.concatenate([np.zeros(images, dtype=bool), is_scene]),
        duplicate_iou=duplicate_iou,
        federation=table.federation,
    )


def _scene_boxes(table: BoxTable) -> np.ndarray:
    """(I, 4) float32 boxes of the full images."""
    sizes = table.image_sizes.astype(np.float32)
    return np.concatenate([np.zeros_like(sizes), sizes], axis=1)


def _buckets(box_image: np.ndarray, box: np.ndarray, images: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (G, n) rows of `box` and (G, n) presence for groups of images of about n boxes, in bounded memory."""
    counts = np.bincount(box_image, minlength=images)
    starts = np.cumsum(counts) - counts
    # an image of one box has no pair of boxes
    many = np.flatnonzero(counts >= 2)
    step = np.ceil(np.log(np.maximum(counts[many], 1)) / np.log(_BUCKET_RATIO)).astype(np.int64)
    order = np.argsort(step, kind="stable")
    for members in np.split(many[order], np.flatnonzero(np.diff(step[order])) + 1):
        if not len(members):
            continue
        n = int(counts[members].max())
        size = max(1, _CHUNK_CELLS // (n * n))
        for first in range(0, len(members), size):
            chunk = members[first : first + size]
            present = np.arange(n) < counts[chunk][:, None]
            rows = np.where(present, starts[chunk][:, None] + np.arange(n), starts[chunk][:, None])
            yield box[rows], present


def _containment(
    boxes: np.ndarray, present: np.ndarray, threshold: float, duplicate_iou: float
) -> tuple[np.ndarray, np.ndarray]:
    """(G, n, 4) boxes -> (G, n, n) bool: row contains column; row and column are near-duplicates."""
    row, column = boxes[:, :, None], boxes[:, None]
    areas = area(boxes)
    row_area, column_area = areas[:, :, None], areas[:, None]
    shared = intersection(row, column)
    duplicate = shared / (row_area + column_area - shared) > duplicate_iou
    contains = (shared >= threshold * column_area) & (row_area > column_area) & ~duplicate
    contains &= present[:, :, None] & present[:, None]
    return contains, duplicate


def _close_and_reduce(contains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transitive closure and transitive reduction of acyclic relations, (G, n, n) bool each.

    Dense, for all pairs of boxes of many small images at once, as matrix products. `containment.py` has its like for
    lists of pairs: there what is left after filtering is too sparse, and an image's boxes too many, for matrices.
    """
    closure = contains
    while True:
        # float32 counts paths exactly up to 2**24, and goes through BLAS where a boolean product would not
        step = closure.astype(np.float32)
        through_another = (step @ step) > 0
        if not (through_another & ~closure).any():
            return closure, closure & ~through_another
        closure = closure | through_another


def _keys(relation: np.ndarray, index: np.ndarray, num_boxes: int) -> np.ndarray:
    """(G, n, n) bool relation between rows of (G, n) box numbers -> (P,) int64, parent * num_boxes + child."""
    group, parent, child = np.nonzero(relation)
    return index[group, parent] * np.int64(num_boxes) + index[group, child]


def _sorted_pairs(keys: list[np.ndarray], num_boxes: int) -> tuple[np.ndarray, np.ndarray]:
    """(P,) parents and (P,) children in order; empties `keys`, which are a third of all the memory in use."""
    joined = np.concatenate(keys)
    keys.clear()
    # one number a pair sorts several times faster than two columns
    joined.sort()
    parent = joined // max(num_boxes, 1)
    joined -= parent * num_boxes
    return parent, joined


def _with_scenes(
    box_image: np.ndarray, below_scene: np.ndarray, parent: np.ndarray, child: np.ndarray, images: int
) -> np.ndarray:
    """Node pairs of the scenes with the boxes `below_scene`, then of boxes; sorted if both are."""
    scenes = len(below_scene)
    pairs = np.empty((scenes + len(parent), 2), dtype=np.int64)
    pairs[:scenes, 0] = box_image[below_scene]
    np.add(below_scene, images, out=pairs[:scenes, 1])
    np.add(parent, images, out=pairs[scenes:, 0])
    np.add(child, images, out=pairs[scenes:, 1])
    return pairs


def _levels(parent: np.ndarray, child: np.ndarray, active: np.ndarray) -> np.ndarray:
    """(B,) int32 longest path from the scene, over direct pairs of boxes; as many rounds as the graph is deep."""
    level = active.astype(np.int32)
    while len(child):
        deeper = level[parent] + 1
        rises = deeper > level[child]
        np.maximum.at(level, child[rises], deeper[rises])
        # only what hangs below a box that moved can move next
        moved = np.zeros(len(level), dtype=bool)
        moved[child[rises]] = True
        below = moved[parent]
        parent, child = parent[below], child[below]
    return level
