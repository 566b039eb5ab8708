"""Rows of an exported set, one an image with its boxes and their pairs, as hierarchies; several of them as one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy

COLUMNS = (
    "image", "image_id", "width", "height", "boxes", "labels", "levels", "is_scene_duplicate", "direct", "ancestry",
)  # fmt: skip


def row_hierarchy(row: dict[str, Any], class_names: tuple[str, ...]) -> Hierarchy:
    """The hierarchy of one image: node 0 is its scene, 1 + b is box b of the row.

    Args:
        row: `width`, `height`, `boxes` (x0 y0 x1 y1 in pixels as shown), `labels`, `levels`, `is_scene_duplicate`, and
            `direct` and `ancestry`, pairs of parent and child.
        class_names: what the labels are indices into.

    Raises:
        ValueError: the columns do not fit together.
    """
    labels = np.array(row["labels"], dtype=np.int32)
    count = len(labels)
    if any(len(row[name]) != count for name in ("boxes", "levels", "is_scene_duplicate")):
        raise ValueError(
            f"boxes, labels, levels and is_scene_duplicate must have one length, that of labels is {count}"
        )
    if count and not (labels.min() >= 0 and labels.max() < len(class_names)):
        raise ValueError(f"labels must lie in [0, {len(class_names)}), got {labels.min()} to {labels.max()}")
    boxes = np.array(row["boxes"], dtype=np.float32).reshape(count, 4)
    frame = np.array([[0, 0, row["width"], row["height"]]], dtype=np.float32)
    sound = ((boxes[:, :2] >= 0) & (boxes[:, :2] < boxes[:, 2:]) & (boxes[:, 2:] <= frame[:, 2:])).all(axis=1)
    if not sound.all():
        wrong = int(np.argmin(sound))
        raise ValueError(
            f"boxes must lie inside the image of {row['width']} x {row['height']} and have an area, box {wrong} is "
            f"{boxes[wrong].tolist()}"
        )
    pairs = {name: np.array(row[name], dtype=np.int64).reshape(-1, 2) for name in ("direct", "ancestry")}
    for name, found in pairs.items():
        if len(found) and not (found.min() >= 0 and found.max() <= count):
            raise ValueError(f"{name} must hold node numbers of the row, in [0, {count}]")
    return Hierarchy(
        num_images=1,
        num_classes=len(class_names),
        class_names=class_names,
        node_image=np.zeros(1 + count, dtype=np.int32),
        node_label=np.concatenate([[-1], labels]).astype(np.int32),
        node_box=np.concatenate([frame, boxes]),
        level=np.concatenate([[0], np.array(row["levels"], dtype=np.int32)]).astype(np.int32),
        direct=_sorted(pairs["direct"]),
        ancestry=_sorted(pairs["ancestry"]),
        node_is_scene_duplicate=np.concatenate([[False], np.array(row["is_scene_duplicate"], dtype=bool)]),
    )


def join_hierarchies(hierarchies: Sequence[Hierarchy]) -> tuple[Hierarchy, list[np.ndarray]]:
    """Several sets of images as one: scenes first, then the boxes, each in the order given.

    It makes one hierarchy of the images of a batch, and of the batches of several processes.

    Returns:
        The hierarchy, and for each one given the (N,) new numbers of its nodes.

    Raises:
        ValueError: there is none, or they differ in classes or in `duplicate_iou`.
    """
    if not hierarchies:
        raise ValueError("there is no hierarchy to join")
    first = hierarchies[0]
    if any(other.class_names != first.class_names for other in hierarchies):
        raise ValueError("only hierarchies of the same classes, in the same order, can be joined")
    if any(other.duplicate_iou != first.duplicate_iou for other in hierarchies):
        values = ", ".join(f"{value:g}" for value in sorted({other.duplicate_iou for other in hierarchies}))
        raise ValueError(f"only hierarchies of one duplicate_iou can be joined, these have {values}")
    images = np.array([other.num_images for other in hierarchies])
    boxes = np.array([other.num_nodes for other in hierarchies]) - images
    image_start, box_start = np.cumsum(images) - images, images.sum() + np.cumsum(boxes) - boxes
    numbers = [
        np.concatenate([np.arange(i, i + n), np.arange(b, b + m)])
        for i, n, b, m in zip(image_start, images, box_start, boxes, strict=True)
    ]
    place = np.argsort(np.concatenate(numbers))  # where each new node stands among the old ones laid end to end

    def nodes(columns: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(columns)[place]

    def pairs(columns: list[np.ndarray]) -> np.ndarray:
        return _sorted(np.concatenate([new[old] for new, old in zip(numbers, columns, strict=True)]))

    joined = Hierarchy(
        num_images=int(images.sum()),
        num_classes=first.num_classes,
        class_names=first.class_names,
        node_image=nodes([h.node_image + start for h, start in zip(hierarchies, image_start, strict=True)]).astype(
            np.int32
        ),
        node_label=nodes([h.node_label for h in hierarchies]),
        node_box=nodes([h.node_box for h in hierarchies]),
        level=nodes([h.level for h in hierarchies]),
        direct=pairs([h.direct for h in hierarchies]),
        ancestry=pairs([h.ancestry for h in hierarchies]),
        node_is_scene_duplicate=nodes([h.node_is_scene_duplicate for h in hierarchies]),
        duplicate_iou=first.duplicate_iou,
    )
    return joined, numbers


def _sorted(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
