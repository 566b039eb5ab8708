"""Images with boxes: readers of annotations, hierarchies, decoded images and crops."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_hyperbolic.data.boxes import BoxTable, Federation, Problem, drop_images
    from hf_hyperbolic.data.builders import HierCoco, HierLvis, HierOpenImages, HierVoc
    from hf_hyperbolic.data.captions import Captions, read_captions
    from hf_hyperbolic.data.class_hierarchy import ClassHierarchy, read_class_hierarchy
    from hf_hyperbolic.data.coco import read_coco
    from hf_hyperbolic.data.coco_writer import write_coco
    from hf_hyperbolic.data.crops import crop
    from hf_hyperbolic.data.detect import detect_boxes
    from hf_hyperbolic.data.export import export_parquet
    from hf_hyperbolic.data.features import hierarchy_features
    from hf_hyperbolic.data.guards import Guards, build_guarded_hierarchy
    from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
    from hf_hyperbolic.data.hub_detection import read_hub_detection
    from hf_hyperbolic.data.image_reader import ImageReader, drop_broken, find_broken
    from hf_hyperbolic.data.images import BrokenImageError, decode, probe
    from hf_hyperbolic.data.lvis import read_lvis
    from hf_hyperbolic.data.open_images import read_open_images
    from hf_hyperbolic.data.parquet import read_parquet
    from hf_hyperbolic.data.read import Source, read_boxes, read_source
    from hf_hyperbolic.data.streaming import StreamedBatches
    from hf_hyperbolic.data.voc import read_voc

# a module and what is exported of it, imported on first use: datasets, pyarrow and torch take seconds
_EXPORTS = {
    "boxes": ("BoxTable", "Federation", "Problem", "drop_images"),
    "builders": ("HierCoco", "HierLvis", "HierOpenImages", "HierVoc"),
    "captions": ("Captions", "read_captions"),
    "class_hierarchy": ("ClassHierarchy", "read_class_hierarchy"),
    "coco": ("read_coco",),
    "coco_writer": ("write_coco",),
    "crops": ("crop",),
    "detect": ("detect_boxes",),
    "export": ("export_parquet",),
    "features": ("hierarchy_features",),
    "guards": ("Guards", "build_guarded_hierarchy"),
    "hierarchy": ("Hierarchy", "build_hierarchy"),
    "hub_detection": ("read_hub_detection",),
    "image_reader": ("ImageReader", "drop_broken", "find_broken"),
    "images": ("BrokenImageError", "decode", "probe"),
    "lvis": ("read_lvis",),
    "open_images": ("read_open_images",),
    "parquet": ("read_parquet",),
    "read": ("Source", "read_boxes", "read_source"),
    "streaming": ("StreamedBatches",),
    "voc": ("read_voc",),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "BoxTable",
    "BrokenImageError",
    "Captions",
    "ClassHierarchy",
    "Federation",
    "Guards",
    "HierCoco",
    "HierLvis",
    "HierOpenImages",
    "HierVoc",
    "Hierarchy",
    "ImageReader",
    "Problem",
    "Source",
    "StreamedBatches",
    "build_guarded_hierarchy",
    "build_hierarchy",
    "crop",
    "decode",
    "detect_boxes",
    "drop_broken",
    "drop_images",
    "export_parquet",
    "find_broken",
    "hierarchy_features",
    "probe",
    "read_boxes",
    "read_captions",
    "read_class_hierarchy",
    "read_coco",
    "read_hub_detection",
    "read_lvis",
    "read_open_images",
    "read_parquet",
    "read_source",
    "read_voc",
    "write_coco",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # kept, so that the next look-up finds it without coming here
    globals()[name] = value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
