"""Open Images box files as a `datasets` builder."""

from collections.abc import Callable

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.builders.base import HierarchyBuilder


class HierOpenImages(HierarchyBuilder):
    """Images of Open Images with the hierarchy of their boxes; `data_files`: split -> box file (CSV).

    The class descriptions go by `reader_options={"class_file": ...}`.
    """

    def _reader(self) -> Callable[..., BoxTable]:
        from hf_hyperbolic.data.open_images import read_open_images

        return read_open_images
