"""Which boxes of an annotation file are usable, where they are cut, and which say the same again: for every reader."""

import numpy as np

# annotation files round corners and sides to two decimals, so a box flush with the border may overshoot by this much
_ROUNDING = 0.011

REASONS = {
    "not_a_box": "must be four finite numbers",
    "zero_area": "width and height must be positive",
    "outside_image": "lies outside its image",
    "too_small": "a side is shorter than min_size after clipping",
    "clipped": "reached over the border of its image and was cut there (kept)",
}


def clip_boxes(
    corners: np.ndarray, sizes: np.ndarray, min_size: float, rounding: float = _ROUNDING
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cuts boxes at the border of their images and finds those that cannot be used.

    Args:
        corners: (B, 4) float64, x0 y0 x1 y1, in the units of `sizes`.
        sizes: (B, 2) width and height of each box's image; ones for boxes in shares.
        min_size: a box with a side shorter than this once it is cut is too small; same units.
        rounding: an overshoot of the border up to this is cut silently.

    Returns:
        (B, 4) float32 boxes inside their images, and reason -> (B,) bool, disjoint, in the order of `REASONS`: a box
        is under the first reason that applies. All but `"clipped"` are unusable.

    Raises:
        ValueError: `min_size` is negative or NaN.
    """
    if not min_size >= 0:
        raise ValueError(f"min_size and min_share must be 0 or a positive number, got {min_size}")
    low, high, limit = corners[:, :2], corners[:, 2:], sizes.astype(np.float64)
    finite = np.isfinite(corners).all(axis=1)
    with np.errstate(invalid="ignore"):
        boxes = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1).astype(np.float32)
        sides = boxes[:, 2:] - boxes[:, :2]
        tests = {
            "not_a_box": ~finite,
            "zero_area": (high <= low).any(axis=1),
            "outside_image": (high <= 0).any(axis=1) | (low >= limit).any(axis=1),
            # a positive width may vanish in float32
            "too_small": (sides < min_size).any(axis=1) | (sides <= 0).any(axis=1),
            "clipped": np.maximum(-low, high - limit).max(axis=1, initial=0) > rounding,
        }
    found: dict[str, np.ndarray] = {}
    taken = np.zeros(len(corners), dtype=bool)
    for reason, met in tests.items():
        found[reason] = met & ~taken
        taken |= met
    return boxes, found


def repeated_boxes(image: np.ndarray, labels: np.ndarray, boxes: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Finds boxes that stand there already: the same image, the same class and the very same corners, to the bit.

    Args:
        image: (B,) int32 or int64, the image of each box.
        labels: (B,) int32 classes.
        boxes: (B, 4) float32 corners, as `clip_boxes` gives them.
        usable: (B,) bool, the boxes to look at.

    Returns:
        (n,) int64, ascending: the usable boxes that repeat an earlier usable one.
    """
    # a hash first: comparing all columns of every row would take many times the memory
    key = _hash(image, labels, boxes)[usable]
    ordered = np.sort(key)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.empty(0, dtype=np.int64)
    suspects = np.flatnonzero(usable)[np.isin(key, twice)]
    full = np.concatenate([image[suspects, None], labels[suspects, None], boxes[suspects].view(np.int32)], axis=1)
    first = np.zeros(len(suspects), dtype=bool)
    first[np.unique(full, axis=0, return_index=True)[1]] = True
    return suspects[~first]


def _hash(image: np.ndarray, labels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(B,) uint64, equal for boxes of the same image, class and corners."""
    key = image.astype(np.uint64)
    for column in (labels.view(np.uint32), *boxes.view(np.uint32).T):
        key *= np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
        key += column
    return key
