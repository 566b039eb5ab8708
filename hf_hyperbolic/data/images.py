"""Image files -> RGB pixels as shown -> crops of boxes, with one error for every way a file can be broken."""

import math
import os
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from multiprocessing.pool import ThreadPool
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable, Problem, drop_images

# EXIF orientations that exchange width and height
_TURNED = frozenset({5, 6, 7, 8})
# last bytes of a complete file; a few writers append some bytes of their own, hence the window
_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_END_WINDOW = 64
# Pillow keeps an RGB pixel in four bytes
_BYTES_PER_PIXEL = 4
# large crops are first shrunk by an integer factor: twice as fast, on photographs 0.25 grey levels from the filter in
# the mean, 13 at most
_REDUCING_GAP = 3.0

_Result = TypeVar("_Result")


CropMode = Literal["resize", "pad"]


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


def decode(file: str) -> Image.Image:
    """Decodes an image file to RGB as shown: rotated by its EXIF orientation.

    16-bit grey is scaled to 8 bits, transparent pixels are laid on white, of an animation the first frame counts.

    Raises:
        BrokenImageError: missing, not an image, truncated, or more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    return decode_scaled(file).image


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
        size, used = _shown_size(image), _draft(image, scale)
        image.load()
        return Decoded(_to_rgb(ImageOps.exif_transpose(image)), size, used)

    return _open(file, read, content)


def probe(file: str) -> tuple[int, int]:
    """Width and height in pixels as shown, from the header; a file without its end is decoded to be sure.

    Raises:
        BrokenImageError: as `decode`, but damage in the middle of a file goes unseen.
    """

    def read(image: Image.Image) -> tuple[int, int]:
        marker = _END_MARKERS.get(image.format or "")
        if marker and marker not in _tail(file):
            image.load()
        return _shown_size(image)

    return _open(file, read)


class ImageReader:
    """Reads the images of a table, each decoded once while it stays in a least-recently-used cache.

    `reader[i]` is image i as a PIL RGB image as shown, `reader.read(i, scale)` the same decoded at a fraction of its
    size. It is the cached object itself: do not modify it. What was decoded at one scale never serves for another, so
    the pixels do not depend on what the cache holds. A reader may be sent to worker processes (its cache stays behind)
    but not shared between threads.

    Args:
        table: whose images to read.
        cache_bytes: bound on the decoded pixels kept, in bytes (4 a pixel); 0 keeps none.

    Raises:
        BrokenImageError: on reading an image that is missing, broken, or of another size than the table says, in which
            case its boxes do not fit.
    """

    def __init__(self, table: BoxTable, cache_bytes: int = 1 << 28) -> None:
        self.table = table
        self.cache_bytes = cache_bytes
        self._forget()

    def _forget(self) -> None:
        self._cache: OrderedDict[tuple[int, int], Decoded] = OrderedDict()
        self._held = 0
        # a relative table does not tell sizes: those seen so far, 0 where unseen
        self._sizes = np.zeros_like(self.table.image_sizes) if self.table.relative else self.table.image_sizes

    def __getstate__(self) -> dict[str, Any]:
        return {"table": self.table, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __len__(self) -> int:
        return self.table.num_images

    def __getitem__(self, image_index: int) -> Image.Image:
        return self.read(image_index).image

    def read(self, image_index: int, scale: int = 1) -> Decoded:
        """Image `image_index`, a JPEG at 1/`scale` of its size (1, 2, 4 or 8; see `decode_scaled`)."""
        key = (int(image_index), scale)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        self._check(image_index)
        found = _decode_sized(self.table, image_index, scale)
        if _bytes(found.image) <= self.cache_bytes:
            self._cache[key] = found
            self._held += _bytes(found.image)
            while self._held > self.cache_bytes:
                self._held -= _bytes(self._cache.popitem(last=False)[1].image)
        return found

    def size(self, image_index: int) -> tuple[int, int]:
        """Width and height of an image in pixels as shown; the header is read where the table does not tell."""
        self._check(image_index)
        if not self._sizes[image_index].all():
            self._sizes[image_index] = _open(str(self.table.image_files[image_index]), _shown_size)
        width, height = self._sizes[image_index].tolist()
        return width, height

    def pixel_scale(self, image_index: int) -> np.ndarray:
        """(4,) factors from the table's boxes to pixels of the whole image."""
        return np.tile(np.array(self.size(image_index)) / self.table.image_sizes[image_index], 2)

    def _check(self, image_index: int) -> None:
        if not 0 <= image_index < len(self):
            raise IndexError(f"image_index must lie in [0, {len(self)}), got {image_index}")

    def cut(self, image_index: int, box: np.ndarray) -> np.ndarray:
        """A box of the table, with the whole pixels at its border, as (h, w, 3) uint8."""
        image = self[image_index]
        x0, y0, x1, y1 = box * self.pixel_scale(image_index)
        return np.asarray(image.crop((math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))))


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


def find_broken(table: BoxTable, num_workers: int = 1) -> list[Problem]:
    """Decodes every image file of a table fully, with a progress bar, and lists those that cannot be used.

    Args:
        table: whose images to check.
        num_workers: number of threads (decoding releases the interpreter's lock).

    Returns:
        One problem for each broken image, in the order of the table; `where` is its entry of `image_files`.
    """
    return [problem for problem in _check_all(table, num_workers) if problem]


def drop_broken(table: BoxTable, num_workers: int = 1) -> BoxTable:
    """`find_broken`, then the table without those images, their problems recorded.

    Raises:
        ValueError: every image is broken.
    """
    found = _check_all(table, num_workers)
    bad = [index for index, problem in enumerate(found) if problem]
    return drop_images(table, bad, [problem for problem in found if problem])


def _check_all(table: BoxTable, num_workers: int) -> list[Problem | None]:
    def check(index: int) -> Problem | None:
        try:
            _decode_sized(table, index)
        except BrokenImageError as error:
            return error.problem()
        return None

    with ThreadPool(max(1, num_workers)) as pool:
        checks = pool.imap(check, range(table.num_images), chunksize=8)
        return list(tqdm(checks, total=table.num_images, desc="checking images", unit="image"))


def _decode_sized(table: BoxTable, index: int, scale: int = 1) -> Decoded:
    found = decode_scaled(str(table.image_files[index]), scale)
    width, height = (int(side) for side in table.image_sizes[index])
    if not table.relative and found.size != (width, height):
        raise BrokenImageError(
            "size_mismatch",
            str(table.image_files[index]),
            f"shows {found.size[0]} x {found.size[1]} pixels but its annotations are for {width} x {height}, so its "
            "boxes do not fit: restore the original file, or leave the image out",
        )
    return found


def _open(file: str, read: Callable[[Image.Image], _Result], content: bytes | None = None) -> _Result:
    """Opens an image file, or its bytes, and reads from it, every failure turned into one BrokenImageError."""
    try:
        with Image.open(file if content is None else BytesIO(content)) as image:
            return read(image)
    except FileNotFoundError as error:
        raise BrokenImageError("missing_file", file, "no such file") from error
    except UnidentifiedImageError as error:
        empty = (os.path.getsize(file) if content is None else len(content)) == 0
        detail = "the file is empty" if empty else "not an image, or of a format Pillow does not know"
        raise BrokenImageError("not_an_image", file, detail) from error
    except Image.DecompressionBombError as error:
        detail = f"{error}; raise PIL.Image.MAX_IMAGE_PIXELS if the file is trusted"
        raise BrokenImageError("too_large", file, detail) from error
    except MemoryError:
        raise
    except Exception as error:  # on malformed bytes Pillow's format plugins raise whatever comes
        reason = "truncated" if "truncated" in str(error).lower() else "broken_image"
        raise BrokenImageError(reason, file, f"cannot be decoded: {error or type(error).__name__}") from error


def _shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as shown of an image of which only the header was read."""
    # Pillow states those of a TIFF exchanged already
    turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in _TURNED
    return (image.height, image.width) if turned else (image.width, image.height)


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


def _to_rgb(image: Image.Image) -> Image.Image:
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


def _bytes(image: Image.Image) -> int:
    return image.width * image.height * _BYTES_PER_PIXEL
