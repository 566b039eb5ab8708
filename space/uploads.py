"""Pictures that strangers send: what can be used comes back small and as shown, all else is one plain sentence."""

import os
from pathlib import Path

from PIL import Image

from hf_hyperbolic.data.images import BrokenImageError, decode_scaled, open_image

MOST_BYTES = 10 * 2**20
MOST_PIXELS = 40_000_000
# longer side of what is kept: far beyond what a model sees, even of a small box
KEPT_SIDE = 1024
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_LISTED = "JPEG, PNG, WebP, GIF or BMP"

TOO_MANY_BYTES = f"This file is larger than {MOST_BYTES // 2**20} MB: send a smaller picture."
_SENTENCES = {
    "missing_file": "No file arrived: send the picture again.",
    "not_an_image": f"This is not a picture that can be read here: send a {_LISTED}.",
    "truncated": "This picture breaks off before its end: send the whole file.",
    "too_large": f"This picture has more than {MOST_PIXELS // 1_000_000} million pixels: send a smaller one.",
    "broken_image": f"This picture is damaged and cannot be read: send another {_LISTED}.",
}


class UnusableUploadError(ValueError):
    """A file that is no usable picture; its text is for the person who sent it, and names no path."""


def read_upload(path: str | os.PathLike[str]) -> Image.Image:
    """An uploaded file as an RGB picture of at most `KEPT_SIDE` pixels a side, turned as EXIF says.

    The name is not looked at, only the content. Bytes and pixels are counted before anything is decoded, and of an
    animation the first frame alone is.

    Raises:
        UnusableUploadError: it is no picture, of another format, damaged, or too large.
    """
    file = os.fspath(path)
    try:
        if not Path(file).is_file():
            raise UnusableUploadError(_SENTENCES["missing_file"])
        if Path(file).stat().st_size > MOST_BYTES:
            raise UnusableUploadError(TOO_MANY_BYTES)
        kind, size = open_image(file, lambda image: (image.format, image.size))
        if kind not in FORMATS:
            raise UnusableUploadError(_SENTENCES["not_an_image"])
        if size[0] * size[1] > MOST_PIXELS:
            raise UnusableUploadError(_SENTENCES["too_large"])
        scale = next((scale for scale in (8, 4, 2) if max(size) >= scale * KEPT_SIDE), 1)
        image = decode_scaled(file, scale).image
    except OSError:
        raise UnusableUploadError(_SENTENCES["missing_file"]) from None
    except BrokenImageError as error:
        raise UnusableUploadError(_SENTENCES.get(error.reason, _SENTENCES["broken_image"])) from None
    image.thumbnail((KEPT_SIDE, KEPT_SIDE))
    return image
