"""LVIS files as a `datasets` builder."""

from collections.abc import Callable

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.builders.base import HierarchyBuilder


class HierLvis(HierarchyBuilder):
    """Images of LVIS files with the hierarchy of their boxes; `data_files`: split -> annotation file."""

    def _reader(self) -> Callable[..., BoxTable]:
        from hf_hyperbolic.data.lvis import read_lvis

        return read_lvis
