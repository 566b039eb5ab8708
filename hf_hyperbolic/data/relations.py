"""Which nodes of a batch stand in which relation: positives, and pairs that must not be negatives."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.overlap import intersection_over_union

CrossParents = Literal["scene", "all", "none"]

_TENSORS = ("own", "duplicates", "images", "labels", "holds")


@dataclass(frozen=True)
class Relations:
    """Relations among n nodes, each matrix (n, n) bool with the more general node (the parent) as row.

    Attributes:
        own: `own[i, j]`: i is an ancestor of j in the same image, at any distance.
        cross: `cross[i, j]`: i and j lie in different images and i's tree holds j's category.
        ignored: `ignored[i, j]`: neither positive nor negative: a node and itself, or a pair that is related by
            category (`cross` of a kind that was not asked for, or the same within one image) without being an
            entailment pair, or two nodes that are near-duplicates.
        categories: (n, C) bool, the classes a node stands for: a scene for those that its tree holds, a box for its
            own. None where nobody looked.
    A pair in none of the first three is a negative. The three are disjoint.
    """

    own: np.ndarray
    cross: np.ndarray
    ignored: np.ndarray
    categories: np.ndarray | None = None


@dataclass(frozen=True)
class SparseRelations:
    """What the relations among n nodes follow from, without any matrix of pairs; `block` makes a part of them.

    Attributes:
        own: (p, 2) int64, the entailment pairs within images, parent and child as places in the batch.
        duplicates: (q, 2) int64, near-duplicates of one image, each pair in both orders.
        images: (n,) int64, which image a node lies in.
        labels: (n,) int64, the class of a box, -1 for a full scene.
        holds: (n, C) bool, the classes below a node.
        cross_parents: see `RelationIndex`.
    """

    own: Tensor
    duplicates: Tensor
    images: Tensor
    labels: Tensor
    holds: Tensor
    cross_parents: CrossParents

    def to(self, device: torch.device | str) -> "SparseRelations":
        """The same on another device; `block` then computes there. Nobody waits for what a GPU is still at."""
        moved: dict[str, Any] = {name: _moved(getattr(self, name), device) for name in _TENSORS}
        return replace(self, **moved)

    @property
    def is_scene(self) -> Tensor:
        """(n,) bool, which nodes are full scenes."""
        return self.labels < 0

    @property
    def categories(self) -> Tensor:
        """(n, C) bool, see `Relations`."""
        every = torch.arange(self.holds.shape[1], device=self.labels.device)
        return (self.holds & self.is_scene[:, None]) | (self.labels[:, None] == every)

    def block(self, rows: slice = slice(None), columns: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """`own`, `cross` and `ignored` of `Relations` for a range of rows and of columns, each (r, c) bool."""
        labels = self.labels[columns]
        by_category = self.holds[rows][:, labels.clamp(min=0)] & (labels >= 0)
        cross = by_category & (self.images[rows, None] != self.images[columns])
        if self.cross_parents == "scene":
            cross &= (self.labels[rows] == -1)[:, None]
        elif self.cross_parents == "none":
            cross.zero_()
        own = self._scatter(self.own, rows, columns)
        # the reverse of an own pair stays a negative: a part does not entail its whole
        reverse = self._scatter(self.own.flip(1), rows, columns)
        ignored = (by_category & ~cross) | self._scatter(self.duplicates, rows, columns)
        ignored &= ~(own | reverse)
        itself = torch.arange(len(self.images), device=self.images.device)
        ignored |= self._scatter(itself[:, None].expand(-1, 2), rows, columns)
        return own, cross, ignored

    def _scatter(self, pairs: Tensor, rows: slice, columns: slice) -> Tensor:
        """(r, c) bool, True at those of (m, 2) `pairs` that lie in the block."""
        (top, bottom, _), (left, right, _) = (part.indices(len(self.images)) for part in (rows, columns))
        height, width = max(0, bottom - top), max(0, right - left)
        row, column = pairs[:, 0] - top, pairs[:, 1] - left
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        # pairs outside go to a place of their own: to pick those inside, a GPU would have to say how many there are
        place = torch.where(inside, row * width + column, height * width)
        found = torch.zeros(height * width + 1, dtype=torch.bool, device=pairs.device)
        found.index_fill_(0, place, True)
        return found[:-1].view(height, width)

    def dense(self) -> Relations:
        """All of it as matrices."""
        own, cross, ignored = (mask.cpu().numpy() for mask in self.block())
        return Relations(own=own, cross=cross, ignored=ignored, categories=self.categories.cpu().numpy())


def _moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        # memory that the system may move is copied only once the GPU has done all before it
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class RelationIndex:
    """Looks up relations among any nodes of a hierarchy without ever holding a nodes x nodes matrix.

    Federated labels (`Hierarchy.federation`) make no difference here: a class that was not looked for in an image is
    a negative there, as it is to detectors trained on LVIS with a plain loss. To ignore what is unknown would leave
    hardly a negative: a photograph of LVIS was searched for a dozen of its 1,200 classes, and the chance that one of
    the other classes is in fact there is small. Evaluation does leave them out.

    Args:
        hierarchy: the hierarchy the node numbers refer to.
        cross_parents: whose cross-image relations are positives: `"scene"` (a full scene entails the boxes of other
            images whose category it holds: the paper's setting), `"all"` (so does a box with regard to its
            descendants' categories) or `"none"`. Those left out are ignored, never negatives.
    """

    def __init__(self, hierarchy: Hierarchy, cross_parents: CrossParents = "scene") -> None:
        if cross_parents not in ("scene", "all", "none"):
            raise ValueError(f"cross_parents must be 'scene', 'all' or 'none', got {cross_parents!r}")
        self.hierarchy = hierarchy
        self.cross_parents = cross_parents
        ancestry = hierarchy.ancestry
        order = np.lexsort((ancestry[:, 1], ancestry[:, 0]))
        self._descendants = ancestry[order, 1]
        counts = np.bincount(ancestry[:, 0], minlength=len(hierarchy.node_image))
        self._start = np.concatenate([[0], np.cumsum(counts)])

    def descendants(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Strict descendants of (n,) `nodes`: rows (m,) into `nodes`, and the (m,) descendant nodes."""
        start, stop = self._start[nodes], self._start[nodes + 1]
        lengths = stop - start
        rows = np.repeat(np.arange(len(nodes)), lengths)
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return rows, self._descendants[np.repeat(start, lengths) + offsets]

    def relations(self, nodes: np.ndarray) -> Relations:
        """Relations among (n,) `nodes`, as matrices.

        Raises:
            ValueError: a node occurs twice (it would be its own negative).
        """
        return self.sparse(nodes).dense()

    def sparse(self, nodes: np.ndarray) -> SparseRelations:
        """Relations among (n,) `nodes`, in memory that grows with n and not with its square.

        Raises:
            ValueError: a node occurs twice (it would be its own negative).
        """
        nodes = np.asarray(nodes, dtype=np.int64)
        if len(np.unique(nodes)) != len(nodes):
            raise ValueError("the nodes of a batch must be distinct: a repeated node would be its own negative")
        rows, found = self.descendants(nodes)
        order = np.argsort(nodes)
        places = order[np.searchsorted(nodes, found, sorter=order).clip(max=len(nodes) - 1)]
        present = nodes[places] == found

        holds = np.zeros((len(nodes), self.hierarchy.num_classes), dtype=bool)
        holds[rows, self.hierarchy.node_label[found]] = True  # a descendant is a box, and has a class
        return SparseRelations(
            own=torch.from_numpy(np.stack([rows[present], places[present]], axis=1)),
            duplicates=torch.from_numpy(self._near_duplicates(nodes)),
            images=torch.from_numpy(self.hierarchy.node_image[nodes].astype(np.int64)),
            labels=torch.from_numpy(self.hierarchy.node_label[nodes].astype(np.int64)),
            holds=torch.from_numpy(holds),
            cross_parents=self.cross_parents,
        )

    def _near_duplicates(self, nodes: np.ndarray) -> np.ndarray:
        """(q, 2) places of one image that show the same pixels: boxes of IoU above the duplicate threshold."""
        images = self.hierarchy.node_image[nodes]
        order = np.argsort(images, kind="stable")
        # each place of `order` with those after it up to the last of its image
        end = np.searchsorted(images[order], images[order], side="right")
        after = end - np.arange(len(nodes)) - 1
        first = np.repeat(np.arange(len(nodes)), after)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(after) - after, after)
        first, second = order[first], order[second]
        box = self.hierarchy.node_box[nodes]
        duplicate = intersection_over_union(box[first], box[second]) > self.hierarchy.duplicate_iou
        pairs = np.stack([first[duplicate], second[duplicate]], axis=1)
        return np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64)


class CrossImageSampler:
    """Draws, for a box, boxes of the same category from other images: the paper's cross-image pairs, lazily."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        labels = np.where(hierarchy.active(), hierarchy.node_label, -1)
        self._by_label = np.argsort(labels, kind="stable")
        self._start = np.searchsorted(labels[self._by_label], np.arange(-1, hierarchy.num_classes + 1))

    def sample(self, boxes: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) box nodes -> (n, k) nodes of the same category in other images, -1 where a draw found none.

        Each draw is uniform over the category's boxes; one that falls into the box's own image is drawn again, eight
        times at most, so that a category that lives in a single image costs no search and gives -1.
        """
        boxes = np.asarray(boxes, dtype=np.int64)
        labels, images = self.hierarchy.node_label[boxes], self.hierarchy.node_image[boxes]
        if (labels < 0).any():
            raise ValueError("cross-image mates exist for boxes only, not for full scenes")
        start, stop = self._start[labels + 1][:, None], self._start[labels + 2][:, None]
        mates = np.full((len(boxes), k), -1, dtype=np.int64)
        for _ in range(8):
            missing = mates < 0
            if not missing.any():
                break
            drawn = self._by_label[start + (rng.random((len(boxes), k)) * (stop - start)).astype(np.int64)]
            good = missing & (self.hierarchy.node_image[drawn] != images[:, None])
            mates[good] = drawn[good]
        return mates
