"""From the `data` setting of a run to boxes and hierarchies."""

import os

from accelerate import PartialState

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.data.image_reader import drop_broken
from hf_hyperbolic.data.read import read_source
from hf_hyperbolic.data.scenes import write_scenes


def load_split(
    data: str,
    split: str,
    scenes_dir: str = "outputs/scenes",
    scenes: int = 400,
    min_box_size: float = 4.0,
    threshold: float = 0.8,
    num_workers: int = 0,
) -> tuple[BoxTable, Hierarchy]:
    """The boxes of a split and their hierarchy.

    Args:
        data: `"scenes"`, or any source that `read_source` recognises and whose images are files: a folder with
            `instances_{split}.json` in COCO format and the images beside it, a folder in Pascal VOC's layout, ...
        split: `"train"`, `"val"`, ...; the embedded scenes have `"test"` and `"ood"` (out of domain) too.
        scenes_dir: where embedded scenes are rendered to, once.
        scenes: how many of them.
        min_box_size: boxes narrower or lower than this, in pixels, are skipped.
        threshold: see `build_hierarchy`.
        num_workers: processes that render, all processors when 0, and threads that check.

    Raises:
        FileNotFoundError: no such source, or it has no such split.
        ValueError: nothing usable is left of it, or its images are no files.
    """
    if data == "scenes":
        with PartialState().main_process_first():
            annotations = write_scenes(scenes_dir, split, scenes, num_workers=num_workers or os.cpu_count() or 1)
        table = read_coco(annotations, min_size=min_box_size)
    else:
        source = read_source(data, split, min_size=min_box_size)
        source.require_images()
        if source.load is not None:
            raise ValueError(f"{data}: training and evaluation read images from files; format {source.format} has none")
        table = source.table
        if split != "train":
            # every node of it will be embedded; in training a broken image is skipped when it is met
            table = drop_broken(table, max(1, num_workers))
    return table, build_hierarchy(table, threshold=threshold)
