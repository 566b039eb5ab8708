"""Which nodes of a batch stand in which relation: positives, and pairs that must not be negatives."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.overlap import intersection_over_union

CrossParents = Literal["scene", "all", "none"]


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
        """Relations among (n,) `nodes`.

        Raises:
            ValueError: a node occurs twice (it would be its own negative).
        """
        nodes = np.asarray(nodes, dtype=np.int64)
        n = len(nodes)
        if len(np.unique(nodes)) != n:
            raise ValueError("the nodes of a batch must be distinct: a repeated node would be its own negative")
        rows, found = self.descendants(nodes)

        position = {int(node): place for place, node in enumerate(nodes)}
        columns = np.fromiter((position.get(int(node), -1) for node in found), dtype=np.int64, count=len(found))
        own = np.zeros((n, n), dtype=bool)
        own[rows[columns >= 0], columns[columns >= 0]] = True

        labels = self.hierarchy.node_label[nodes]
        holds = np.zeros((n, self.hierarchy.num_classes + 1), dtype=bool)  # the last column is the scene's label, -1
        holds[rows, self.hierarchy.node_label[found]] = True
        by_category = holds[:, labels]
        images = self.hierarchy.node_image[nodes]
        same_image = images[:, None] == images[None, :]

        cross = by_category & ~same_image
        if self.cross_parents == "scene":
            cross &= (labels == -1)[:, None]
        elif self.cross_parents == "none":
            cross &= False
        # the reverse of an own pair stays a negative: a part does not entail its whole
        ignored = by_category & ~own & ~cross & ~own.T
        ignored |= self._near_duplicates(nodes, same_image) & ~own & ~own.T
        np.fill_diagonal(ignored, True)
        box = labels >= 0
        categories = holds[:, :-1] & ~box[:, None]
        categories[box, labels[box]] = True
        return Relations(own=own, cross=cross, ignored=ignored, categories=categories)

    def _near_duplicates(self, nodes: np.ndarray, same_image: np.ndarray) -> np.ndarray:
        """Pairs of one image that show the same pixels: boxes of IoU above the hierarchy's duplicate threshold."""
        first, second = np.nonzero(np.triu(same_image, 1))
        box = self.hierarchy.node_box[nodes]
        duplicate = intersection_over_union(box[first], box[second]) > self.hierarchy.duplicate_iou
        result = np.zeros_like(same_image)
        result[first[duplicate], second[duplicate]] = True
        return result | result.T


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
