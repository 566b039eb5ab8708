"""How many images make a Parquet file of a given size."""

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.image_reader import Load
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.rows import embed_image

# images whose size is looked up
_SAMPLE = 64
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def images_per_shard(table: BoxTable, load: Load | None, max_shard_size: str) -> int:
    """Images that make about `max_shard_size` (`"500MB"`), by the mean of 64 of them; at least 1.

    Raises:
        ValueError: the size is no number of KB, MB or GB.
    """
    shard_bytes = _bytes(max_shard_size)
    sizes = []
    for index in np.unique(np.linspace(0, table.num_images - 1, _SAMPLE).astype(int)):
        try:
            sizes.append(len(embed_image(str(table.image_files[index]), load)[0]))
        except BrokenImageError:
            continue
    return max(1, int(shard_bytes / np.mean(sizes))) if sizes else table.num_images


def _bytes(size: str) -> int:
    number, unit = size[:-2].strip(), size[-2:].upper()
    if not number.replace(".", "", 1).isdigit() or unit not in _UNITS or not float(number):
        raise ValueError(f'max_shard_size {size!r}: expected a number of KB, MB or GB, such as "500MB"')
    return int(float(number) * _UNITS[unit])
