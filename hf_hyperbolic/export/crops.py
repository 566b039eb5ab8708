"""What an export is tried on: noise, and crops of real images."""

import os
import warnings
from pathlib import Path

import numpy as np

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.read import read_source
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.retrieval.index_build import folder_source
from hf_hyperbolic.retrieval.index_work import nodes_by_image

_BROKEN_SHOWN = 3


def random_crops(count: int, size: int, seed: int = 0) -> np.ndarray:
    """(count, size, size, 3) uint8: coloured noise from a few pixels wide to the whole crop, as images have it."""
    rng = np.random.default_rng(seed)
    crops = np.zeros((count, size, size, 3))
    places = np.arange(size)
    for cells in (1, 4, 16, size):
        index = places * cells // size
        crops += rng.normal(size=(count, cells, cells, 3))[:, index[:, None], index[None, :]]
    return (128 + 40 * crops).clip(0, 255).astype(np.uint8)


def source_crops(
    encoder: ImageEncoder, source: str | os.PathLike[str], split: str | None = None, limit: int = 1000
) -> np.ndarray:
    """Crops of a data set as an index of it embeds them: whole images and boxes, of images spread over it evenly.

    Args:
        encoder: says how crops are cut.
        source: anything that `read_source` reads, or a folder of images.
        split: of the source.
        limit: about so many crops at most; the last image's are all taken.

    Returns:
        (n, size, size, 3) uint8.

    Raises:
        FileNotFoundError: no such source.
        ValueError: it has no images, or none that can be read.
    """
    try:
        found = read_source(source, split=split)
    except FileNotFoundError:
        if split or not Path(source).is_dir():
            raise
        found = folder_source(source)
    found.require_images()
    hierarchy = (found.exported or HierarchySettings()).build(found.table)
    nodes, start = nodes_by_image(hierarchy)
    counts = np.diff(start)
    step = max(1, int(np.ceil(len(nodes) / limit)))
    images = np.arange(0, len(counts), step)
    images = images[np.cumsum(counts[images]) - counts[images] < limit]
    wanted = np.concatenate([nodes[start[image] : start[image + 1]] for image in images])
    look = encoder.preprocessing
    crops, broken, kept = node_crops(
        found.images(), hierarchy, wanted, look["image_size"], look["context"], look["crop_mode"]
    )
    if not len(kept):
        raise ValueError(f"{source} has no image that can be read: {broken[0] if broken else 'it is empty'}")
    if broken:
        listed = "; ".join(broken[:_BROKEN_SHOWN])
        warnings.warn(f"{len(broken)} images of {source} cannot be read and were left out: {listed}", stacklevel=2)
    return crops
