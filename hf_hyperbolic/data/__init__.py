"""Images with boxes: readers of annotations, hierarchies, decoded images and crops."""

from hf_hyperbolic.data.boxes import BoxTable, Federation, Problem, drop_images
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader, drop_broken, find_broken
from hf_hyperbolic.data.images import BrokenImageError, decode, probe

__all__ = [
    "BoxTable",
    "BrokenImageError",
    "Federation",
    "Hierarchy",
    "ImageReader",
    "Problem",
    "build_hierarchy",
    "crop",
    "decode",
    "drop_broken",
    "drop_images",
    "find_broken",
    "probe",
    "read_coco",
]
