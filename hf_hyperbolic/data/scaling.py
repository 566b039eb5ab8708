"""At what fraction of its size a JPEG may be decoded, given the crops to be shown from it."""

import numpy as np

from hf_hyperbolic.data.crops import CropMode

# the fractions that the inverse cosine transform of a JPEG's 8 x 8 blocks gives at less work
SCALES = (8, 4, 2, 1)
# a crop is shown from at least this many pixels a side for each of its own: on photographs the result then lies within
# one grey level of full decoding in the mean (1.5 would give about 2, and 1 about 3.5)
MARGIN = 2.0


def decoding_scale(
    boxes: np.ndarray, image_size: tuple[int, int], size: int, context: float = 0.0, mode: CropMode = "resize"
) -> int:
    """The largest scale at which every box still has `MARGIN` pixels for each pixel it is shown at, along both sides.

    A box that is enlarged, or shrunk by less than twice the margin, gives 1: nothing is lost that full decoding has.

    Args:
        boxes: (n, 4) x0 y0 x1 y1 in pixels of the whole image.
        image_size: width and height of the whole image in pixels.
        size: side of a crop in pixels.
        context: as `images.crop`.
        mode: as `images.crop`.

    Returns:
        1, 2, 4 or 8.
    """
    around = context * (boxes[:, 2:] - boxes[:, :2])
    low, high = np.maximum(boxes[:, :2] - around, 0), np.minimum(boxes[:, 2:] + around, image_size)
    # padding keeps the proportions: both sides are shrunk as the longer one
    sides = (high - low).max(axis=1) if mode == "pad" else (high - low).min(axis=1)
    allowed = sides.min(initial=np.inf) / (MARGIN * size)
    return next((scale for scale in SCALES if scale <= allowed), 1)
