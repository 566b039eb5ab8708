"""Formats in which boxes are written as four numbers, and which of them a set of boxes can be in."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

BoxFormat = Literal["xywh", "xyxy", "cxcywh", "xywh_relative", "xyxy_relative", "cxcywh_relative"]
BOX_FORMATS: tuple[BoxFormat, ...] = get_args(BoxFormat)

# more boxes than this impossible in a format, and the boxes are not in it: annotations have their mistakes
_TOLERATED = 0.01
# boxes may reach over the border by this share of the side and still count as possible
_OVERSHOOT = 0.01


def _from_xywh(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> list[np.ndarray]:
    return [x, y, x + width, y + height]


def _from_xyxy(x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray) -> list[np.ndarray]:
    return [x0, y0, x1, y1]


def _from_cxcywh(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> list[np.ndarray]:
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


_TO_CORNERS: dict[str, Callable[..., list[np.ndarray]]] = {
    "xywh": _from_xywh,
    "xyxy": _from_xyxy,
    "cxcywh": _from_cxcywh,
}


def to_corners(boxes: np.ndarray, box_format: BoxFormat, sizes: np.ndarray) -> np.ndarray:
    """Boxes in any format -> (B, 4) float64 x0 y0 x1 y1 in pixels.

    Args:
        boxes: (B, 4) numbers.
        box_format: `"xywh"` (corner and sides: COCO), `"xyxy"` (two corners: VOC) or `"cxcywh"` (centre and sides:
            YOLO), in pixels, or with `_relative` in shares of the image.
        sizes: (B, 2) width and height in pixels of each box's image.

    Raises:
        ValueError: unknown format.
    """
    if box_format not in BOX_FORMATS:
        raise ValueError(f"box_format {box_format!r}: choose one of {', '.join(BOX_FORMATS)}")
    order, _, relative = box_format.partition("_")
    with np.errstate(over="ignore", invalid="ignore"):
        corners = np.stack(_TO_CORNERS[order](*np.asarray(boxes, dtype=np.float64).T), axis=1)
        return corners * np.tile(sizes, 2) if relative else corners


def impossible(boxes: np.ndarray, box_format: BoxFormat, sizes: np.ndarray) -> np.ndarray:
    """(B,) bool: boxes that, read in this format, have no area or leave their image by more than 1 % of a side.

    In a format in pixels, a box whose four numbers are all at most 1 is impossible too: it would lie in the first
    pixel. Boxes that are not finite are impossible in no format.
    """
    corners = to_corners(boxes, box_format, sizes)
    low, high, limit = corners[:, :2], corners[:, 2:], np.asarray(sizes, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        bad = ((high <= low) | (low < -_OVERSHOOT * limit) | (high > (1 + _OVERSHOOT) * limit)).any(axis=1)
        if not box_format.endswith("_relative"):
            bad |= (boxes <= 1).all(axis=1)
    return bad & np.isfinite(boxes).all(axis=1)


def detect_format(boxes: np.ndarray, sizes: np.ndarray, where: str) -> BoxFormat:
    """The only format (B, 4) boxes can be in.

    A format is ruled out when more than 1 % of the boxes are impossible in it. The true format is not ruled out unless
    the boxes are that faulty, so where one is left it is the true one; where several or none are, nothing is guessed.

    Args:
        boxes: (B, 4) numbers.
        sizes: (B, 2) width and height in pixels of each box's image.
        where: name of the data set, for the error.

    Raises:
        ValueError: more than one format fits, or none.
    """
    count = max(1, int(np.isfinite(boxes).all(axis=1).sum()))
    shares = {box_format: impossible(boxes, box_format, sizes).sum() / count for box_format in BOX_FORMATS}
    fitting = [box_format for box_format, share in shares.items() if share <= _TOLERATED]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(
            f"{where}: the format of its {count:,} boxes cannot be told: {', '.join(fitting)} all fit; look it up on "
            f"the data set's card and pass it, for example box_format={fitting[0]!r}"
        )
    listed = ", ".join(f"{box_format} {share:.0%}" for box_format, share in sorted(shares.items(), key=lambda s: s[1]))
    raise ValueError(
        f"{where}: no format fits its {count:,} boxes (share of boxes impossible in each: {listed}); if one of them "
        "is right and the boxes are faulty, pass it as box_format="
    )
