"""Boxes of decoded images -> square crops."""

from typing import Literal

import numpy as np
from PIL import Image

# large crops are first shrunk by an integer factor: twice as fast, on photographs 0.25 grey levels from the filter in
# the mean, 13 at most
_REDUCING_GAP = 3.0

CropMode = Literal["resize", "pad"]


def crop(
    image: Image.Image,
    box: np.ndarray | tuple[float, float, float, float],
    size: int,
    context: float = 0.0,
    mode: CropMode = "resize",
) -> np.ndarray:
    """Cuts a box out of an image and scales it to a square, by an antialiased bicubic filter.

    No pixel outside the box and its context is used, but for the fractional pixels at its border.

    Args:
        image: PIL RGB image.
        box: x0 y0 x1 y1 in pixels.
        size: side of the result in pixels.
        context: share of the box's width (height) added at its left and right (top and bottom), cut at the image.
        mode: `"resize"` squashes to a square; `"pad"` keeps the aspect ratio, centred, the rest filled with the crop's
            mean colour.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: the box has no area or lies outside the image, or another argument is out of range.
    """
    if image.mode != "RGB":
        raise ValueError(f"crop takes RGB images, got mode {image.mode!r}: read it by ImageReader or convert it first")
    if size < 1 or not context >= 0 or mode not in ("resize", "pad"):
        raise ValueError(
            f'crop takes size >= 1, context >= 0 and mode "resize" or "pad"; got size {size}, context {context}, '
            f"mode {mode!r}"
        )
    x0, y0, x1, y1 = (float(side) for side in box)
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"box {(x0, y0, x1, y1)} has no area: expected x0 < x1 and y0 < y1")
    wider, taller = context * (x1 - x0), context * (y1 - y0)
    x0, x1 = max(x0 - wider, 0.0), min(x1 + wider, float(image.width))
    y0, y1 = max(y0 - taller, 0.0), min(y1 + taller, float(image.height))
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"box {tuple(map(float, box))} lies outside the image of {image.width} x {image.height}")

    # cut to whole pixels first: the filter would otherwise reach for neighbours outside the box
    left, top = int(x0), int(y0)
    cut = image.crop((left, top, int(np.ceil(x1)), int(np.ceil(y1))))
    longest = max(x1 - x0, y1 - y0)
    width = size if mode == "resize" else max(1, round(size * (x1 - x0) / longest))
    height = size if mode == "resize" else max(1, round(size * (y1 - y0) / longest))
    scaled = cut.resize(
        (width, height),
        Image.Resampling.BICUBIC,
        box=(x0 - left, y0 - top, x1 - left, y1 - top),
        reducing_gap=_REDUCING_GAP,
    )
    if (width, height) != (size, size):
        # mean by rows first: numpy is slow over two axes at once
        red, green, blue = np.rint(np.asarray(scaled).mean(axis=0, dtype=np.float32).mean(axis=0)).astype(int).tolist()
        square = Image.new("RGB", (size, size), (red, green, blue))
        square.paste(scaled, ((size - width) // 2, (size - height) // 2))
        scaled = square
    return np.array(scaled)
