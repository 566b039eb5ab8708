"""Reading images at random: from files, and from the Parquet files of `export_parquet`.

python benchmarks/parquet_images.py path/to/instances_val.json
"""

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import processor

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.parquet import read_parquet

COUNT = 200


def milliseconds(function: Callable[[int], object], indices: list[int]) -> float:
    """Best of three, a call, in processor time: the machine may be shared."""
    times = []
    for _ in range(3):
        start = time.process_time()
        for index in indices:
            function(index)
        times.append(time.process_time() - start)
    return 1000 * min(times) / len(indices)


def main(annotations: str) -> None:
    table = read_coco(annotations)
    indices = np.random.default_rng(0).integers(0, table.num_images, COUNT).tolist()
    with tempfile.TemporaryDirectory() as folder:
        export_parquet(table, folder, "split")
        rows, images = read_parquet(folder, "split")
        figures = {
            "content from files": milliseconds(lambda i: Path(table.image_files[i]).read_bytes(), indices),
            "content from Parquet": milliseconds(lambda i: images(str(rows.image_files[i])), indices),
            "decoded from files": milliseconds(ImageReader(table, cache_bytes=0).__getitem__, indices),
            "decoded from Parquet": milliseconds(ImageReader(rows, 0, images).__getitem__, indices),
            "decoded from Parquet, in order": milliseconds(ImageReader(rows, 0, images).__getitem__, sorted(indices)),
        }
    print(f"{processor()}, Python {platform.python_version()}, {table.num_images} images")
    for name, figure in figures.items():
        print(f"{name:32} {figure:6.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1])
