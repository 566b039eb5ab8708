"""Embedded scenes: an endless supply of drawn pictures whose boxes and hierarchy are known exactly.

No assets: everything is drawn with Pillow from (seed, split, index), in parallel or not, at any size. A scene holds
objects, their parts, the parts' parts (street -> house -> window -> pane), neighbours that overlap, and clutter.
"""

from hf_hyperbolic.data.scenes.classes import CLASS_NAMES, OBJECT_CLASSES, PART_CLASSES
from hf_hyperbolic.data.scenes.compose import SPLITS, Scene, render_scene
from hf_hyperbolic.data.scenes.kinds import KINDS
from hf_hyperbolic.data.scenes.write import write_scenes

SCENE_KINDS: tuple[str, ...] = tuple(KINDS)

__all__ = [
    "CLASS_NAMES",
    "OBJECT_CLASSES",
    "PART_CLASSES",
    "SCENE_KINDS",
    "SPLITS",
    "Scene",
    "render_scene",
    "write_scenes",
]
