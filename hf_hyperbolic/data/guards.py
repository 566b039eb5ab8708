"""Guards against pairs that the containment rule finds but that are no part of anything; all are off by default.

Whatever stands before something lies in its box (a window behind a hedge becomes a part of the hedge), and annotators
sometimes box the same thing twice. Neither can be seen in one pair of boxes; a data set's statistics can tell some.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.class_pairs import class_pairs
from hf_hyperbolic.data.containment import ContainmentPairs, containment_pairs, hierarchy_of
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.overlap import DUPLICATE_IOU

ANY = "*"


@dataclass(frozen=True)
class Guards:
    """Which containments are dropped, by classes (parent, child) and overlap.

    Attributes:
        deny: class pairs that are never a containment; `"*"` stands for any class.
        allow: class pairs that neither `deny` nor the statistics drop; `deny={("*", "*")}` keeps these alone.
        min_lift: drop class pairs nested less than this many times as often as by chance (see `ClassPairs.lift`).
        min_share: drop class pairs nested in less than this share of the images that hold both classes, in [0, 1].
        same_class_iou: drop pairs of one class whose IoU exceeds this, in [0, 1]; 0 drops all nesting of a class in
            itself (a person in a person).
    """

    deny: Collection[tuple[str, str]] = ()
    allow: Collection[tuple[str, str]] = ()
    min_lift: float = 0.0
    min_share: float = 0.0
    same_class_iou: float = 1.0

    def __post_init__(self) -> None:
        for name in ("min_share", "same_class_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not self.min_lift >= 0:
            raise ValueError(f"min_lift cannot be negative, got {self.min_lift}")


def guard_pairs(
    table: BoxTable, pairs: ContainmentPairs, guards: Guards, threshold: float = 0.8
) -> tuple[np.ndarray, Counter[str]]:
    """Which measured pairs are containments that pass the guards.

    The statistics are those of the table itself; to treat a small split as the training set, deny the class pairs that
    `class_pairs` of the training set speaks against instead.

    Args:
        table: the boxes.
        pairs: from `containment_pairs(table, ...)`.
        guards: what to drop.
        threshold: share of the child's area inside the parent.

    Returns:
        (P,) bool, and how many containments were dropped, by the first guard that applies: `"deny"`,
        `"same_class_iou"`, `"min_share"`, `"min_lift"`.

    Raises:
        ValueError: a guard names a class that the table does not have.
    """
    kept = pairs.contained(threshold)
    parent, child = table.labels[pairs.parent], table.labels[pairs.child]
    allowed = named_pairs(table, guards.allow, "allow")[parent, child]
    tests = {
        "deny": named_pairs(table, guards.deny, "deny")[parent, child] & ~allowed,
        "same_class_iou": (parent == child) & (pairs.iou > guards.same_class_iou),
    }
    if guards.min_share or guards.min_lift:
        found = class_pairs(table, pairs, threshold)
        for name, value, least in (
            ("min_share", found.share, guards.min_share),
            ("min_lift", found.lift, guards.min_lift),
        ):
            below = np.zeros((len(table.class_names),) * 2, dtype=bool)
            below[found.parent, found.child] = value < least
            tests[name] = below[parent, child] & ~allowed
    dropped: Counter[str] = Counter()
    for name, met in tests.items():
        dropped[name] = int((kept & met).sum())
        kept &= ~met
    return kept, dropped


def build_guarded_hierarchy(
    table: BoxTable, guards: Guards, threshold: float = 0.8, duplicate_iou: float = DUPLICATE_IOU
) -> tuple[Hierarchy, Counter[str]]:
    """`build_hierarchy` on the containments that pass the guards; with `Guards()` it is `build_hierarchy`.

    Ancestry is the transitive closure of what is kept (see `hierarchy_of`), so a dropped pair may return by way of a
    third box: such pairs are counted as `"returned"`; to be rid of them deny a link of the chain. A dropped pair that
    does not return counts as any two unrelated boxes of an image: in training it is a negative.

    Returns:
        The hierarchy, and how many containments each guard dropped, with `"returned"`.

    Raises:
        ValueError: as `guard_pairs`, or a threshold lies outside (0, 1].
    """
    pairs = containment_pairs(table, threshold, duplicate_iou)
    kept, dropped = guard_pairs(table, pairs, guards, threshold)
    hierarchy = hierarchy_of(table, pairs, kept)
    lost = np.stack([pairs.parent[~kept], pairs.child[~kept]], axis=1) + table.num_images
    nodes = hierarchy.num_nodes
    dropped["returned"] = int(np.isin(lost @ [nodes, 1], hierarchy.ancestry @ [nodes, 1]).sum())
    return hierarchy, dropped


def named_pairs(table: BoxTable, names: Collection[tuple[str, str]], argument: str) -> np.ndarray:
    """(C, C) bool: class pairs (parent, child) that are named; `"*"` is any class.

    Raises:
        ValueError: `argument` does not hold pairs, or names a class that the table does not have.
    """
    row = {name: number for number, name in enumerate(table.class_names)}
    named = np.zeros((len(row), len(row)), dtype=bool)
    for pair in names:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"{argument} takes pairs (parent class, child class), got {pair!r}")
        for name in pair:
            if name != ANY and name not in row:
                raise ValueError(f"{argument} names class {name!r}, which the table does not have: {_some(row)}")
        parent, child = (slice(None) if name == ANY else row[name] for name in pair)
        named[parent, child] = True
    return named


def _some(names: Collection[str]) -> str:
    listed = ", ".join(sorted(names)[:20])
    return listed if len(names) <= 20 else f"{listed}, ... ({len(names)} in all)"
