"""COCO instances files as a `datasets` builder."""

from collections.abc import Callable

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.builders.base import HierarchyBuilder


class HierCoco(HierarchyBuilder):
    """Images of COCO instances files with the hierarchy of their boxes; `data_files`: split -> instances file."""

    def _reader(self) -> Callable[..., BoxTable]:
        from hf_hyperbolic.data.coco import read_coco

        return read_coco
