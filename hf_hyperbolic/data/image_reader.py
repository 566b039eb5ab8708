"""The images of a table of boxes: read one by one through a cache, or all checked."""

import math
from collections import OrderedDict
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable, Problem, drop_images
from hf_hyperbolic.data.images import (
    BrokenImageError,
    Decoded,
    decode_scaled,
    open_image,
    shown_size,
    size_mismatch,
)

# Pillow keeps an RGB pixel in four bytes
_BYTES_PER_PIXEL = 4

# an entry of `BoxTable.image_files` -> the content of that image file
Load = Callable[[str], bytes]


class ImageReader:
    """Reads the images of a table, each decoded once while it stays in a least-recently-used cache.

    `reader[i]` is image i as a PIL RGB image as shown, `reader.read(i, scale)` the same decoded at a fraction of its
    size. It is the cached object itself: do not modify it. What was decoded at one scale never serves for another, so
    the pixels do not depend on what the cache holds. A reader may be sent to worker processes (its cache stays behind)
    but not shared between threads.

    Args:
        table: whose images to read.
        cache_bytes: bound on the decoded pixels kept, in bytes (4 a pixel); 0 keeps none.
        load: gives an image file's content by its entry of `image_files`, where the images are not files on disk but
            rows of a data set; sent to worker processes with the reader.

    Raises:
        BrokenImageError: on reading an image that is missing, broken, or of another size than the table says, in which
            case its boxes do not fit.
    """

    def __init__(self, table: BoxTable, cache_bytes: int = 1 << 28, load: Load | None = None) -> None:
        self.table = table
        self.cache_bytes = cache_bytes
        self.load = load
        self._forget()

    def _forget(self) -> None:
        self._cache: OrderedDict[tuple[int, int], Decoded] = OrderedDict()
        self._held = 0
        # a relative table does not tell sizes: those seen so far, 0 where unseen
        self._sizes = np.zeros_like(self.table.image_sizes) if self.table.relative else self.table.image_sizes

    def __getstate__(self) -> dict[str, Any]:
        return {"table": self.table, "cache_bytes": self.cache_bytes, "load": self.load}

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
        found = _decode_sized(self.table, image_index, self.load, scale)
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
            file, content = _file_and_content(self.table, image_index, self.load)
            self._sizes[image_index] = open_image(file, shown_size, content)
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


def find_broken(table: BoxTable, num_workers: int = 1, load: Load | None = None) -> list[Problem]:
    """Decodes every image file of a table fully, with a progress bar, and lists those that cannot be used.

    Args:
        table: whose images to check.
        num_workers: number of threads (decoding releases the interpreter's lock).
        load: as of `ImageReader`; called from all threads.

    Returns:
        One problem for each broken image, in the order of the table; `where` is its entry of `image_files`.
    """
    return [problem for problem in _check_all(table, num_workers, load) if problem]


def drop_broken(table: BoxTable, num_workers: int = 1, load: Load | None = None) -> BoxTable:
    """`find_broken`, then the table without those images, their problems recorded.

    Raises:
        ValueError: every image is broken.
    """
    found = _check_all(table, num_workers, load)
    bad = [index for index, problem in enumerate(found) if problem]
    return drop_images(table, bad, [problem for problem in found if problem])


def _check_all(table: BoxTable, num_workers: int, load: Load | None) -> list[Problem | None]:
    def check(index: int) -> Problem | None:
        try:
            _decode_sized(table, index, load)
        except BrokenImageError as error:
            return error.problem()
        return None

    with ThreadPool(max(1, num_workers)) as pool:
        checks = pool.imap(check, range(table.num_images), chunksize=8)
        return list(tqdm(checks, total=table.num_images, desc="checking images", unit="image"))


def _file_and_content(table: BoxTable, index: int, load: Load | None) -> tuple[str, bytes | None]:
    file = str(table.image_files[index])
    if not file:
        where = f"image {table.image_ids[index]}"
        raise BrokenImageError("missing_file", where, "no file: its annotations were read without images")
    return file, load(file) if load else None


def _decode_sized(table: BoxTable, index: int, load: Load | None, scale: int = 1) -> Decoded:
    file, content = _file_and_content(table, index, load)
    found = decode_scaled(file, scale, content)
    width, height = (int(side) for side in table.image_sizes[index])
    if not table.relative and found.size != (width, height):
        raise size_mismatch(file, found.size, (width, height), "the table of boxes", content)
    return found


def _bytes(image: Image.Image) -> int:
    return image.width * image.height * _BYTES_PER_PIXEL
