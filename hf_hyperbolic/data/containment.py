"""How much of each box lies in each other box of its image: measured once, then cut at any threshold or filtered."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import Hierarchy, assemble, scene_duplicates
from hf_hyperbolic.data.overlap import DUPLICATE_IOU, area, intersection

# pairs looked at together: about 32 MB for each float64 temporary
_CHUNK_PAIRS = 1 << 22


@dataclass(frozen=True)
class ContainmentPairs:
    """Pairs of boxes of one image, the first strictly larger than the second, sorted by parent, then by child.

    Attributes:
        parent: (P,) int64, row of the larger box in its table.
        child: (P,) int64, row of the smaller box.
        shared: (P,) float64, area that both cover, in the table's units squared.
        child_area: (P,) float64, area of the smaller box.
        iou: (P,) float64, intersection over union, at most `duplicate_iou`.
        duplicates: (D, 2) int64, rows of larger and smaller boxes whose IoU is above `duplicate_iou`: no pairs.
        is_scene: (B,) bool, boxes that are the whole image: they stand in no pair.
        floor: pairs that share less than this of the child's area are left out.
        duplicate_iou: see `build_hierarchy`.
    """

    parent: np.ndarray
    child: np.ndarray
    shared: np.ndarray
    child_area: np.ndarray
    iou: np.ndarray
    duplicates: np.ndarray
    is_scene: np.ndarray
    floor: float
    duplicate_iou: float

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def ratio(self) -> np.ndarray:
        """(P,) float64, share of the child's area that lies in the parent, in [floor, 1]."""
        return self.shared / self.child_area

    def contained(self, threshold: float) -> np.ndarray:
        """(P,) bool: pairs that are a containment by the rule of `build_hierarchy`.

        Raises:
            ValueError: the threshold lies outside [floor, 1].
        """
        if not self.floor <= threshold <= 1:
            raise ValueError(f"threshold must lie in [{self.floor:g}, 1], where pairs were measured, got {threshold}")
        return self.shared >= threshold * self.child_area


def containment_pairs(table: BoxTable, floor: float = 0.5, duplicate_iou: float = DUPLICATE_IOU) -> ContainmentPairs:
    """Measures every pair of boxes of every image; time and memory grow with the pairs, not with boxes squared.

    Args:
        table: the boxes.
        floor: smallest share of the child's area to keep a pair for, in (0, 1].
        duplicate_iou: IoU above which two boxes are one, in (0, 1].

    Raises:
        ValueError: an argument lies outside (0, 1].
    """
    for name, value in (("floor", floor), ("duplicate_iou", duplicate_iou)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value}")
    boxes = table.boxes.astype(np.float64)
    areas = area(boxes)
    is_scene = scene_duplicates(table, duplicate_iou)
    active = np.flatnonzero(~is_scene)

    found: list[tuple[np.ndarray, ...]] = []
    duplicates = [np.empty((0, 2), np.int64)]
    for first, second in _same_image(table.box_image[active], table.num_images):
        parent, child = active[first], active[second]
        larger = areas[parent] > areas[child]
        parent, child = parent[larger], child[larger]
        shared = intersection(boxes[parent], boxes[child])
        iou = shared / (areas[parent] + areas[child] - shared)
        duplicate = iou > duplicate_iou
        duplicates.append(np.stack([parent[duplicate], child[duplicate]], axis=1))
        kept = (shared >= floor * areas[child]) & ~duplicate
        found.append((parent[kept], child[kept], shared[kept], areas[child[kept]], iou[kept]))
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))
    parent, child, shared, child_area, iou = (np.concatenate(column) for column in zip(empty, *found, strict=True))
    return ContainmentPairs(
        parent=parent,
        child=child,
        shared=shared,
        child_area=child_area,
        iou=iou,
        duplicates=np.concatenate(duplicates),
        is_scene=is_scene,
        floor=floor,
        duplicate_iou=duplicate_iou,
    )


def hierarchy_of(table: BoxTable, pairs: ContainmentPairs, kept: np.ndarray) -> Hierarchy:
    """The hierarchy that some of the measured pairs span.

    With `kept = pairs.contained(threshold)` it is `build_hierarchy(table, threshold)`. With fewer, ancestry is still
    transitively closed (but for near-duplicates): a pair that rested on a dropped one alone goes with it, a pair that
    is kept in its own right stays and may become direct, and a dropped pair returns where a chain of kept pairs leads
    from its first box to its second.

    Args:
        table: the boxes the pairs were measured on.
        pairs: from `containment_pairs`.
        kept: (P,) bool.
    """
    edges = np.stack([pairs.parent[kept], pairs.child[kept]], axis=1)
    closure, direct = _close_and_reduce(edges, table.box_image)
    ancestry = _code(closure, table)
    ancestry = ancestry[~np.isin(ancestry, _code(pairs.duplicates, table))]
    return assemble(table, pairs.is_scene, [ancestry], [_code(direct, table)], pairs.duplicate_iou)


def _same_image(box_image: np.ndarray, images: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All ordered pairs of rows of one image (a row with itself too), chunks of whole images in bounded memory."""
    counts = np.bincount(box_image, minlength=images).astype(np.int64)
    start = np.cumsum(counts) - counts
    chunk = np.cumsum(counts**2) // _CHUNK_PAIRS
    rows = np.arange(len(box_image))
    for first, stop in _runs(chunk[box_image]):
        image = box_image[first:stop]
        repeats = counts[image]
        offset = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        yield np.repeat(rows[first:stop], repeats), np.repeat(start[image], repeats) + offset


def _close_and_reduce(edges: np.ndarray, box_image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transitive closure and reduction of an acyclic (P, 2) relation within images, sorted by first column.

    On lists of pairs, so that time and memory grow with the pairs: thresholds and guards leave few of an image's many.
    `hierarchy.py` has its like for all pairs of many small images, where matrix products are faster.
    """
    closures, reductions = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.int64)]
    image = box_image[edges[:, 0]].astype(np.int64)
    change = np.flatnonzero(np.diff(image, prepend=-1)) if len(image) else image
    # a chunk starts with the first image that starts in it, so that no image is cut
    chunk = np.repeat(change // _CHUNK_PAIRS, np.diff(np.append(change, len(image))))
    for first, stop in _runs(chunk):
        part = edges[first:stop]
        base, width = int(part.min()), int(part.max() - part.min() + 1)
        parent, child = part[:, 0] - base, part[:, 1] - base
        codes = np.unique(parent * width + child)
        while True:
            parent, child = codes // width, codes % width
            low, high = np.searchsorted(parent, child), np.searchsorted(parent, child, side="right")
            repeats = high - low
            offset = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
            two_steps = np.unique(np.repeat(parent, repeats) * width + child[np.repeat(low, repeats) + offset])
            grown = np.union1d(codes, two_steps)
            if len(grown) == len(codes):
                break
            codes = grown
        direct = np.setdiff1d(codes, two_steps, assume_unique=True)
        for collected, code in ((closures, codes), (reductions, direct)):
            collected.append(np.stack([code // width, code % width], axis=1) + base)
    return np.concatenate(closures), np.concatenate(reductions)


def _runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last-plus-one positions of runs of equal values."""
    borders = np.flatnonzero(np.diff(values)) + 1
    stops = [*borders.tolist(), len(values)] if len(values) else []
    yield from zip([0, *borders.tolist()], stops, strict=False)


def _code(pairs: np.ndarray, table: BoxTable) -> np.ndarray:
    return pairs[:, 0] * table.num_boxes + pairs[:, 1]
