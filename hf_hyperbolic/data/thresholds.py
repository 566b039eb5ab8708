"""What the threshold of containment decides: hierarchies of one table at several thresholds, side by side.

The rule "80 % of a box inside a larger one makes it a part" (arXiv 2411.17490, section 3.1) is set by hand. Here one
sees what another share would give, and which classes it is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.containment import ContainmentPairs, containment_pairs, hierarchy_of
from hf_hyperbolic.data.draw import PairExample
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.overlap import DUPLICATE_IOU

DEFAULT_THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class ThresholdStudy:
    """Counts at each of T thresholds, lowest first; pairs are those between boxes, without the scenes' own.

    Attributes:
        thresholds: (T,).
        direct: (T,) int64, direct pairs.
        transitive: (T,) int64, pairs of ancestry that are not direct.
        with_parent: (T,) float64, share of the boxes that lie in another box.
        levels: (T, L) int64, boxes at level 1 (no box parent), 2, ...; boxes that are the whole image are not counted.
        class_names: (C,) names.
        classes: (K, 2) int32, class pairs (parent, child) that are direct somewhere.
        class_direct: (K, T) int64, their direct pairs.
    """

    thresholds: tuple[float, ...]
    direct: np.ndarray
    transitive: np.ndarray
    with_parent: np.ndarray
    levels: np.ndarray
    class_names: tuple[str, ...]
    classes: np.ndarray
    class_direct: np.ndarray

    def changes(self, low: int, high: int, top: int = 10) -> list[tuple[str, str, int, int]]:
        """Class pairs whose direct pairs change most between two thresholds (by position), largest change first.

        Returns:
            At most `top` rows of parent, child, direct pairs at `low`, direct pairs at `high`.
        """
        before, after = self.class_direct[:, low], self.class_direct[:, high]
        order = np.argsort(-np.abs(after - before), kind="stable")[:top]
        return [
            (
                self.class_names[self.classes[row, 0]],
                self.class_names[self.classes[row, 1]],
                int(before[row]),
                int(after[row]),
            )
            for row in order
            if before[row] != after[row]
        ]

    def to_text(self, top: int = 8) -> str:
        """A table of the thresholds, then the class pairs that change most from each to the next."""
        depth = self.levels.shape[1]
        head = ["threshold", "direct", "transitive", "in a box %", *(f"level {level + 1}" for level in range(depth))]
        rows = [
            [
                f"{threshold:g}",
                f"{self.direct[row]:,}",
                f"{self.transitive[row]:,}",
                f"{100 * self.with_parent[row]:.1f}",
                *(f"{count:,}" for count in self.levels[row]),
            ]
            for row, threshold in enumerate(self.thresholds)
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
        for row in range(len(self.thresholds) - 1):
            low, high = self.thresholds[row : row + 2]
            changed = [
                f"{parent} > {child} {before} to {after}"
                for parent, child, before, after in self.changes(row, row + 1, top)
            ]
            lines += ["", f"{low:g} to {high:g}: " + ("; ".join(changed) or "no direct pair changes")]
        return "\n".join(lines)

    def to_dict(self, top: int = 20) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "thresholds": [
                {
                    "threshold": threshold,
                    "direct": int(self.direct[row]),
                    "transitive": int(self.transitive[row]),
                    "share_of_boxes_in_a_box": float(self.with_parent[row]),
                    "boxes_by_level": self.levels[row].tolist(),
                }
                for row, threshold in enumerate(self.thresholds)
            ],
            "changes": [
                {
                    "from": self.thresholds[row],
                    "to": self.thresholds[row + 1],
                    "class_pairs": [
                        {"parent": parent, "child": child, "before": before, "after": after}
                        for parent, child, before, after in self.changes(row, row + 1, top)
                    ],
                }
                for row in range(len(self.thresholds) - 1)
            ],
        }


def study_thresholds(
    table: BoxTable, thresholds: Sequence[float] = DEFAULT_THRESHOLDS, duplicate_iou: float = DUPLICATE_IOU
) -> ThresholdStudy:
    """Measures every pair of boxes once and counts what each threshold makes of them.

    Raises:
        ValueError: fewer than two thresholds, not increasing, or outside (0, 1].
    """
    check_thresholds(thresholds)
    pairs = containment_pairs(table, thresholds[0], duplicate_iou)
    hierarchies = [_boxes_only(table, pairs, threshold) for threshold in thresholds]
    active = max(1, int((~pairs.is_scene).sum()))
    depth = max(int(level.max(initial=1)) for _, _, level in hierarchies)
    classes = len(table.class_names)
    labels = table.labels.astype(np.int64)
    codes = [labels[direct[:, 0]] * classes + labels[direct[:, 1]] for direct, _, _ in hierarchies]
    known = np.unique(np.concatenate(codes))
    counts = [np.bincount(np.searchsorted(known, code), minlength=len(known)) for code in codes]
    return ThresholdStudy(
        thresholds=tuple(float(threshold) for threshold in thresholds),
        direct=np.array([len(direct) for direct, _, _ in hierarchies]),
        transitive=np.array([ancestry - len(direct) for direct, ancestry, _ in hierarchies]),
        with_parent=np.array([(level > 1).sum() / active for _, _, level in hierarchies]),
        levels=np.array([np.bincount(level, minlength=depth + 1)[1 : depth + 1] for _, _, level in hierarchies]),
        class_names=table.class_names,
        classes=np.stack([known // classes, known % classes], axis=1).astype(np.int32),
        class_direct=np.stack(counts, axis=1),
    )


def check_thresholds(thresholds: Sequence[float]) -> None:
    """
    Raises:
        ValueError: fewer than two thresholds, not increasing, or outside (0, 1].
    """
    values = list(thresholds)
    if len(values) < 2 or not all(low < high for low, high in pairwise(values)):
        raise ValueError(f"give at least two thresholds, each above the one before; got {values}")
    if values[0] <= 0 or values[-1] > 1:
        raise ValueError(f"thresholds must lie in (0, 1], got {values}")


def changed_pairs(
    table: BoxTable, low: float, high: float, count: int = 12, seed: int = 0, duplicate_iou: float = DUPLICATE_IOU
) -> dict[str, tuple[int, list[PairExample]]]:
    """Direct pairs that raising the threshold from `low` to `high` removes (`"lost"`) or makes direct (`"gained"`).

    A pair is gained where the boxes that stood between its two no longer do. Examples are drawn at random, of as many
    class pairs as there are: one of each before a second of any, those with most changes first.

    Args:
        table: the boxes.
        low, high: the thresholds, in (0, 1].
        count: of examples each.
        seed: of the draw.
        duplicate_iou: see `build_hierarchy`.

    Returns:
        Their number and examples, whose caption names parent, child and the share of the child inside the parent.

    Raises:
        ValueError: not 0 < low < high <= 1.
    """
    check_thresholds((low, high))
    pairs = containment_pairs(table, low, duplicate_iou)
    (before, _, _), (after, _, _) = (_boxes_only(table, pairs, threshold) for threshold in (low, high))
    size = table.num_boxes
    old, new = before @ [size, 1], after @ [size, 1]
    measured = np.stack([pairs.parent, pairs.child], axis=1) @ [size, 1]
    ratio = dict(zip(measured.tolist(), pairs.ratio.tolist(), strict=True))
    result = {}
    for name, codes in (("lost", np.setdiff1d(old, new)), ("gained", np.setdiff1d(new, old))):
        chosen = codes[_varied(table, codes, count, np.random.default_rng(seed))]
        result[name] = (
            len(codes),
            [
                PairExample(
                    image=int(table.box_image[code // size]),
                    parent=table.boxes[code // size],
                    child=table.boxes[code % size],
                    caption=f"{table.class_names[table.labels[code // size]]} > "
                    f"{table.class_names[table.labels[code % size]]}: {100 * ratio[code]:.0f} %",
                )
                for code in chosen.tolist()
            ],
        )
    return result


def _varied(table: BoxTable, codes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of at most `count` pairs: the first of every class pair, then the second, ..."""
    order = rng.permutation(len(codes))
    label = table.labels.astype(np.int64)
    kind = label[codes // table.num_boxes] * len(table.class_names) + label[codes % table.num_boxes]
    _, kind, frequency = np.unique(kind, return_inverse=True, return_counts=True)
    turn = np.zeros(len(codes), dtype=np.int64)
    seen = np.zeros(len(frequency), dtype=np.int64)
    for position in order.tolist():
        turn[position] = seen[kind[position]]
        seen[kind[position]] += 1
    return order[np.lexsort((-frequency[kind[order]], turn[order]))][:count]


def _boxes_only(table: BoxTable, pairs: ContainmentPairs, threshold: float) -> tuple[np.ndarray, int, np.ndarray]:
    """Direct pairs as rows of boxes, number of ancestry pairs, and level of each box (0: the whole image)."""
    found: Hierarchy = hierarchy_of(table, pairs, pairs.contained(threshold))
    images = table.num_images
    ancestry = int((found.ancestry[:, 0] >= images).sum())
    return found.direct[found.direct[:, 0] >= images] - images, ancestry, found.level[images:]
