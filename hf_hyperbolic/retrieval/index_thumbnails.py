"""Small pictures of what an index holds."""

from io import BytesIO

import numpy as np
from PIL import Image

from hf_hyperbolic.data.images import to_rgb
from hf_hyperbolic.retrieval.encoders import Box

_QUALITY = 80


def thumbnail(image: Image.Image, box: Box | None, side: int) -> bytes:
    """An image, or a box of it in its pixels, as a JPEG whose longer side is at most `side` pixels."""
    if box is not None:
        x0, y0 = np.floor(box[:2]).astype(int).tolist()
        x1, y1 = np.ceil(box[2:]).astype(int).tolist()
        image = image.crop((x0, y0, x1, y1))
    small = to_rgb(image)
    if max(small.size) > side:
        small = small.copy() if small is image else small
        small.thumbnail((side, side), reducing_gap=2.0)
    stream = BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
