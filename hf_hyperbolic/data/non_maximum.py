"""Many detections of one thing -> the best of them (non-maximum suppression).

In numpy: an image has some hundred detections, and torchvision, which holds the usual implementation, has no build for
every build of torch.
"""

import numpy as np

from hf_hyperbolic.data.overlap import DUPLICATE_IOU, intersection_over_union


def non_maximum_suppression(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    settled_boxes: np.ndarray,
    settled_labels: np.ndarray,
    iou: float,
    duplicate_iou: float = DUPLICATE_IOU,
) -> np.ndarray:
    """Keeps the highest-scoring of boxes that show the same thing, and none that shows a settled one.

    Two boxes show the same thing if their IoU is above `iou` and their classes are the same, or if their IoU is above
    `duplicate_iou`, whatever their classes.

    Args:
        boxes: (n, 4) x0 y0 x1 y1, of positive area.
        scores: (n,); of equal scores the earlier row wins.
        labels: (n,) classes, of any type that compares.
        settled_boxes: (m, 4) boxes that stay, whatever their scores.
        settled_labels: (m,) their classes.
        iou: in [0, 1], within one class.
        duplicate_iou: in [0, 1], across classes.

    Returns:
        Rows of `boxes` that are kept, by falling score.
    """
    alive = np.ones(len(boxes), dtype=bool)

    def drop_shown_by(box: np.ndarray, label: object) -> None:
        alive[intersection_over_union(box, boxes) > np.where(labels == label, iou, duplicate_iou)] = False

    for box, label in zip(settled_boxes, settled_labels, strict=True):
        drop_shown_by(box, label)
    kept = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if alive[row]:
            kept.append(row)
            drop_shown_by(boxes[row], labels[row])
    return np.array(kept, dtype=np.int64)
