"""By which settings boxes become a hierarchy, as an exported data set keeps them."""

from dataclasses import dataclass

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.guards import Guards, build_guarded_hierarchy
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.data.overlap import DUPLICATE_IOU


@dataclass(frozen=True)
class HierarchySettings:
    """
    Attributes:
        threshold: see `build_hierarchy`.
        duplicate_iou: see `build_hierarchy`.
        deny: class pairs (parent, child) that are never a containment, see `Guards`.
    """

    threshold: float = 0.8
    duplicate_iou: float = DUPLICATE_IOU
    deny: tuple[tuple[str, str], ...] = ()

    def build(self, table: BoxTable) -> Hierarchy:
        """
        Raises:
            ValueError: a figure lies outside (0, 1], or the table lacks a denied class.
        """
        if not self.deny:
            return build_hierarchy(table, self.threshold, self.duplicate_iou)
        return build_guarded_hierarchy(table, Guards(deny=self.deny), self.threshold, self.duplicate_iou)[0]
