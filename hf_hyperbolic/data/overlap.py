"""How much boxes x0 y0 x1 y1 overlap. All in float64, whatever the boxes' type, so that every place decides alike."""

import numpy as np

# boxes of an image whose IoU is above this show the same thing
DUPLICATE_IOU = 0.9


def area(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes -> (...) float64."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(..., 4) boxes, whose leading axes are broadcast -> (...) float64, the area that both cover."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(..., 4) boxes of positive area, whose leading axes are broadcast -> (...) float64 in [0, 1]."""
    shared = intersection(a, b)
    return shared / (area(a) + area(b) - shared)
