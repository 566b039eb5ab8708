"""Image files -> RGB pixels as shown, with one error for every way a file can be broken."""

import os
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from hf_hyperbolic.data.boxes import Problem

# what Pillow decodes itself: for PostScript, say, it would call another program on a file that claims to be a picture
_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
# EXIF orientations that exchange width and height
_TURNED = frozenset({5, 6, 7, 8})
# last bytes of a complete file; a few writers append some bytes of their own, hence the window
_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_END_WINDOW = 64

_Result = TypeVar("_Result")


class BrokenImageError(ValueError):
    """An image file that cannot be used.

    Attributes:
        reason: `"missing_file"`, `"not_an_image"`, `"truncated"`, `"too_large"`, `"size_mismatch"` or `"broken_image"`.
        file: its path.
        detail: what is wrong and what would mend it.
    """

    def __init__(self, reason: str, file: str, detail: str) -> None:
        # all three in args, so that the error survives the way back from a worker process
        super().__init__(reason, file, detail)
        self.reason, self.file, self.detail = reason, file, detail

    def __str__(self) -> str:
        return f"{self.file}: {self.detail} ({self.reason})"

    def problem(self) -> Problem:
        return Problem(self.reason, self.file, self.detail)


class Decoded(NamedTuple):
    """An image as shown, perhaps decoded at a fraction of its size.

    Attributes:
        image: PIL RGB image.
        size: width and height of the whole image as shown, in pixels.
        scale: 1, 2, 4 or 8: pixel i of `image` covers the pixels from `scale * i` to `scale * (i + 1)`. The last may be
            covered in part, so `image.size` is `size / scale` rounded up, and boxes are divided by `scale`.
    """

    image: Image.Image
    size: tuple[int, int]
    scale: int


def decode(file: str, content: bytes | None = None) -> Image.Image:
    """Decodes an image file to RGB as shown: rotated by its EXIF orientation.

    16-bit grey is scaled to 8 bits, transparent pixels are laid on white, of an animation the first frame counts.

    Args:
        file: its path.
        content: the file itself where it is not on disk (a row of a data set); `file` then only names it in errors.

    Raises:
        BrokenImageError: missing, not an image, truncated, or more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    return decode_scaled(file, content=content).image


def decode_scaled(file: str, scale: int = 1, content: bytes | None = None) -> Decoded:
    """As `decode`, and a JPEG at 1/`scale` of its size, which leaves out most of the inverse cosine transform.

    Args:
        file: path, or only a name for errors if `content` is given.
        scale: 1, 2, 4 or 8. Other formats than JPEG are decoded in full, and so is a JPEG that EXIF turns and whose
            sides `scale` does not divide: its rounded-up edge would come to lie at the left or at the top.
        content: bytes of the file, if they are at hand.

    Raises:
        BrokenImageError: as `decode`.
    """

    def read(image: Image.Image) -> Decoded:
        size, used = shown_size(image), _draft(image, scale)
        image.load()
        return Decoded(to_rgb(ImageOps.exif_transpose(image)), size, used)

    return open_image(file, read, content)


def probe(file: str, content: bytes | None = None) -> tuple[int, int]:
    """Width and height in pixels as shown, from the header; a file without its end is decoded to be sure.

    Args:
        file: its path.
        content: as of `decode`.

    Raises:
        BrokenImageError: as `decode`, but damage in the middle of a file goes unseen.
    """

    def read(image: Image.Image) -> tuple[int, int]:
        marker = _END_MARKERS.get(image.format or "")
        if marker and marker not in (_tail(file) if content is None else content[-_END_WINDOW:]):
            image.load()
        return shown_size(image)

    return open_image(file, read, content)


def size_mismatch(
    file: str, shown: tuple[int, int], stated: tuple[int, int], source: str, content: bytes | None = None
) -> BrokenImageError:
    """The error for a file that shows another size than `source` states: its boxes do not fit."""
    detail = f"shows {shown[0]} x {shown[1]} pixels but stands as {stated[0]} x {stated[1]} in {source}, "
    if shown == stated[::-1] and open_image(file, _is_turned, content):
        detail += "so it was annotated before rotation by its EXIF tag: remove the tag or rotate the boxes"
    else:
        detail += "so its boxes do not fit: restore the original file, or leave the image out"
    return BrokenImageError("size_mismatch", file, detail)


def open_image(file: str, read: Callable[[Image.Image], _Result], content: bytes | None = None) -> _Result:
    """Opens an image file, or its bytes, and reads from it, every failure turned into one BrokenImageError."""
    try:
        with Image.open(file if content is None else BytesIO(content), formats=_formats()) as image:
            return read(image)
    except FileNotFoundError as error:
        raise BrokenImageError("missing_file", file, "no such file") from error
    except UnidentifiedImageError as error:
        empty = (os.path.getsize(file) if content is None else len(content)) == 0
        detail = "the file is empty" if empty else f"not an image of a known format ({', '.join(_FORMATS)})"
        raise BrokenImageError("not_an_image", file, detail) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # the warning, where made an error
        detail = f"{error}; raise PIL.Image.MAX_IMAGE_PIXELS if the file is trusted"
        raise BrokenImageError("too_large", file, detail) from error
    except MemoryError:
        raise
    except Exception as error:  # on malformed bytes Pillow's format plugins raise whatever comes
        reason = "truncated" if "truncated" in str(error).lower() else "broken_image"
        raise BrokenImageError(reason, file, f"cannot be decoded: {error or type(error).__name__}") from error


@cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as shown of an image of which only the header was read."""
    return (image.height, image.width) if _is_turned(image) else (image.width, image.height)


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF exchanges the stated width and height; Pillow states those of a TIFF exchanged already."""
    return image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in _TURNED


def _draft(image: Image.Image, scale: int) -> int:
    """Has an opened JPEG decoded at 1/`scale`; the scale that it will be decoded at."""
    if scale == 1 or image.format not in ("JPEG", "MPO"):
        return 1
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1 and (image.width % scale or image.height % scale):
        return 1
    asked = (image.width // scale, image.height // scale)
    if 0 in asked or image.draft(None, asked) is None:
        return 1
    return scale


def _tail(file: str) -> bytes:
    with open(file, "rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _END_WINDOW))
        return stream.read()


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode: 16-bit grey scaled to 8 bits, transparent pixels laid on white."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255; mode "I" is what it makes of 16-bit grey in some formats
        grey = np.clip(np.asarray(image).astype(np.float64), 0, 65535) / 257
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")
