"""From the `data` setting of a run to boxes, hierarchies and images."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import PartialState

from hf_hyperbolic.data.boxes import BoxTable, drop_images
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.guards import ANY, Guards, build_guarded_hierarchy
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader, Load, drop_broken
from hf_hyperbolic.data.read import Source, read_source
from hf_hyperbolic.data.scenes import write_scenes
from hf_hyperbolic.training.arguments import TrainArguments


@dataclass(frozen=True)
class Split:
    """A split of a data set.

    Attributes:
        table: its boxes.
        hierarchy: what they contain.
        load: image file -> content, where the images are no files of their own.
    """

    table: BoxTable
    hierarchy: Hierarchy
    load: Load | None = None

    def images(self, cache_bytes: int) -> ImageReader:
        return ImageReader(self.table, cache_bytes, self.load)

    def summary(self) -> str:
        """One line: images, boxes, pairs, levels, classes, and what was skipped."""
        skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(self.table.skipped().items())) or "nothing"
        return (
            f"{self.table.num_images} images, {self.table.num_boxes} boxes, {len(self.hierarchy.ancestry)} entailment "
            f"pairs, {self.hierarchy.level.max() + 1} levels, {len(self.hierarchy.class_names)} classes; "
            f"skipped {skipped}"
        )


def load_split(
    args: TrainArguments, split: str, data: str | None = None, first: int | None = None, check: bool = True
) -> Split:
    """The boxes of a split, their hierarchy and their images.

    Args:
        args: of a run; its data settings are used.
        split: `"train"`, `"val"`, ...; the embedded scenes have `"test"` and `"ood"` (out of domain) too.
        data: another data set than the run's.
        first: only so many images, the first ones.
        check: of other splits than the training split's, decode every image and drop those that are broken: all
            nodes of them will be embedded. In training a broken image is skipped when it is met.

    Raises:
        FileNotFoundError: no such source, or it has no such split.
        ValueError: nothing usable is left of it, or its images are not at hand.
    """
    data = data or args.data
    if data == "scenes":
        count = args.train_scenes if split == "train" else args.val_scenes
        with PartialState().main_process_first():
            annotations = write_scenes(
                args.scenes_dir, split, count, num_workers=args.num_workers or os.cpu_count() or 1
            )
        source = Source(read_coco(annotations, min_size=args.min_box_size), None, "coco")
    else:
        source = read_source(data, split, min_size=args.min_box_size)
        source.require_images()
    table = source.table
    if first is not None and first < table.num_images:
        table = drop_images(table, np.arange(first, table.num_images), [])
    if check and data != "scenes" and split != "train":
        table = drop_broken(table, max(1, args.num_workers), source.load)
    return Split(table, hierarchy_for(table, args, strict=split == "train"), source.load)


def train_hierarchy_of(args: TrainArguments, data: str | None = None) -> Hierarchy | None:
    """The training split's hierarchy, which oracles and class frequencies come from; None where there is none."""
    if Path(data or args.data).is_file():
        return None
    try:
        return load_split(args, "train", data).hierarchy
    except FileNotFoundError:
        return None


def hierarchy_for(table: BoxTable, args: TrainArguments, strict: bool = False) -> Hierarchy:
    """What the boxes contain by the run's threshold, less the pairs it denies.

    Raises:
        ValueError: `strict`, and a denied pair names a class that the table does not have.
    """
    if not args.deny_pairs:
        return build_hierarchy(table, args.threshold)
    deny = [(parent, child) for parent, _, child in (pair.partition(">") for pair in args.deny_pairs)]
    if not strict:  # another split, or another data set, may lack a class
        deny = [pair for pair in deny if set(pair) <= {*table.class_names, ANY}]
    return build_guarded_hierarchy(table, Guards(deny=deny), args.threshold)[0]
