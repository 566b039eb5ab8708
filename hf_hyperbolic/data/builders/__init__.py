"""Annotated images as `datasets` builders: rows of `hierarchy_features`, made once and kept in the `datasets` cache.

`HierCoco(data_files={"train": "instances_train.json"})` is a builder like any other (`download_and_prepare`,
`as_dataset`, `as_streaming_dataset`). Importing this module makes the names known to `load_dataset("hier_coco",
data_files=...)`; `import hf_hyperbolic` does not, as `datasets` takes seconds to import. `datasets` names a builder,
and its folder in the cache, after the module it stands in: hence one file each.
"""

from hf_hyperbolic.data.builder_names import register_names
from hf_hyperbolic.data.builders.base import HierarchyBuilder, HierarchyConfig
from hf_hyperbolic.data.builders.hier_coco import HierCoco
from hf_hyperbolic.data.builders.hier_lvis import HierLvis
from hf_hyperbolic.data.builders.hier_open_images import HierOpenImages
from hf_hyperbolic.data.builders.hier_voc import HierVoc

__all__ = ["HierCoco", "HierLvis", "HierOpenImages", "HierVoc", "HierarchyBuilder", "HierarchyConfig"]

register_names()
