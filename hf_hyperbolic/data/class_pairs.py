"""How often boxes of one class lie in boxes of another, beside how often they would by chance."""

from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.containment import ContainmentPairs
from hf_hyperbolic.data.overlap import area, intersection

# draws of boxes worked on at once
_CHUNK_DRAWS = 1 << 21


@dataclass(frozen=True)
class ClassPairs:
    """One row for each (parent class, child class) of which at least one pair of boxes is nested.

    Attributes:
        parent, child: (K,) int32 classes.
        nested: (K,) int64, pairs of boxes, the first in one image with the second and containing it.
        together: (K,) int64, pairs of boxes of the two classes in one image, nested or not.
        images_nested: (K,) int64, images with a nested pair.
        images_together: (K,) int64, images with a pair of boxes of the two classes.
        chance: (K,) float64, estimated probability that a box of the parent class contains a box of the child class
            taken from another image, both in shares of their image: what sizes and places alone would give.
    """

    parent: np.ndarray
    child: np.ndarray
    nested: np.ndarray
    together: np.ndarray
    images_nested: np.ndarray
    images_together: np.ndarray
    chance: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """(K,) float64 in (0, 1], share of the images with both classes where one contains the other."""
        return self.images_nested / self.images_together

    @property
    def lift(self) -> np.ndarray:
        """(K,) float64, `(nested / together) / chance`: 1 where nesting tells nothing about the two classes."""
        return self.nested / self.together / self.chance


def class_pairs(
    table: BoxTable, pairs: ContainmentPairs, threshold: float = 0.8, draws: int = 5000, seed: int = 0
) -> ClassPairs:
    """Counts nestings by classes and estimates what chance would give.

    `chance` is `(hits + 1) / (tries + 1)` over `draws` draws of a box of each class from different images: never 0, so
    that lift is finite and, for pairs that chance never nests, a lower bound. A class pair that lives in one image has
    no other image to draw from: its chance is 1, and its lift at most 1.

    Args:
        table: the boxes.
        pairs: their measured pairs.
        threshold: share of the child's area inside the parent.
        draws: for each class pair.
        seed: of the draws.
    """
    nested = pairs.contained(threshold)
    classes, label = len(table.class_names), table.labels.astype(np.int64)
    code = label[pairs.parent[nested]] * classes + label[pairs.child[nested]]
    codes, row, counts = np.unique(code, return_inverse=True, return_counts=True)
    parent, child = codes // classes, codes % classes
    image = table.box_image[pairs.parent[nested]].astype(np.int64)
    seen = np.unique(row * table.num_images + image) // table.num_images
    together, images_together = _together(table, pairs.is_scene, parent, child)
    return ClassPairs(
        parent=parent.astype(np.int32),
        child=child.astype(np.int32),
        nested=counts.astype(np.int64),
        together=together,
        images_nested=np.bincount(seen, minlength=len(codes)).astype(np.int64),
        images_together=images_together,
        chance=_chance(table, pairs, parent, child, threshold, draws, np.random.default_rng(seed)),
    )


def _together(
    table: BoxTable, is_scene: np.ndarray, parent: np.ndarray, child: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of distinct boxes of each class pair in one image, and the images that have one."""
    classes = len(table.class_names)
    key = (table.box_image.astype(np.int64) * classes + table.labels)[~is_scene]
    key, count = np.unique(key, return_counts=True)
    image, label = key // classes, key % classes
    order = np.lexsort((image, label))
    image, count = image[order], count[order].astype(np.int64)
    start = np.searchsorted(label[order], np.arange(classes + 1))
    together = np.zeros(len(parent), dtype=np.int64)
    images = np.zeros(len(parent), dtype=np.int64)
    for row, (a, b) in enumerate(zip(parent.tolist(), child.tolist(), strict=True)):
        of_a, of_b = slice(start[a], start[a + 1]), slice(start[b], start[b + 1])
        if a == b:
            # of two boxes of one class only the larger can contain the other
            both = count[of_a] * (count[of_a] - 1) // 2
        else:
            _, in_a, in_b = np.intersect1d(image[of_a], image[of_b], assume_unique=True, return_indices=True)
            both = count[of_a][in_a] * count[of_b][in_b]
        together[row], images[row] = both.sum(), np.count_nonzero(both)
    return together, images


def _chance(
    table: BoxTable,
    pairs: ContainmentPairs,
    parent: np.ndarray,
    child: np.ndarray,
    threshold: float,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    boxes = table.boxes / np.tile(table.image_sizes, 2)[table.box_image]
    active = np.flatnonzero(~pairs.is_scene)
    by_label = active[np.argsort(table.labels[active], kind="stable")]
    start = np.searchsorted(table.labels[by_label], np.arange(len(table.class_names) + 1))
    chance = np.ones(len(parent))
    step = max(1, _CHUNK_DRAWS // draws)
    for first in range(0, len(parent), step):
        here = slice(first, first + step)
        a, b = (
            by_label[(start[c] + rng.random((draws, len(c))) * (start[c + 1] - start[c])).astype(np.int64)]
            for c in (parent[here], child[here])
        )
        tried = table.box_image[a] != table.box_image[b]
        area_a, area_b = area(boxes[a]), area(boxes[b])
        if_same = (parent[here] == child[here]) & (area_a < area_b)
        a, b = np.where(if_same, b, a), np.where(if_same, a, b)
        area_a, area_b = np.where(if_same, area_b, area_a), np.where(if_same, area_a, area_b)
        shared = intersection(boxes[a], boxes[b])
        duplicate = shared / (area_a + area_b - shared) > pairs.duplicate_iou
        hit = tried & (shared >= threshold * area_b) & (area_a > area_b) & ~duplicate
        chance[here] = (hit.sum(axis=0) + 1) / (tried.sum(axis=0) + 1)
    return chance
