"""From the `data` setting of a run to boxes, hierarchies and images."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from accelerate import PartialState

from hf_hyperbolic.data.boxes import BoxTable, drop_images
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.guards import ANY
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.image_reader import ImageReader, Load, drop_broken
from hf_hyperbolic.data.read import Source, read_source
from hf_hyperbolic.data.scenes import write_scenes
from hf_hyperbolic.training.run_arguments import RunArguments


@dataclass(frozen=True)
class Split:
    """A split of a data set.

    Attributes:
        table: its boxes.
        hierarchy: what they contain.
        load: image file -> content, where the images are no files of their own.
        exported: by which settings an exported set found its pairs.
    """

    table: BoxTable
    hierarchy: Hierarchy
    load: Load | None = None
    exported: HierarchySettings | None = None

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


def check_two_splits(data: str) -> None:
    """
    Raises:
        SystemExit: `data` is one file, which would be training and validation split alike.
    """
    if Path(data).is_file():
        raise SystemExit(
            f"--data {data} is one file, so training and validation would see the same images: give a folder, or the "
            "name of a data set, that has both splits"
        )


def load_split(
    args: RunArguments,
    split: str,
    data: str | None = None,
    first: int | None = None,
    check: bool = True,
    format: str = "auto",
    image_folder: str | None = None,
) -> Split:
    """The boxes of a split, their hierarchy and their images.

    Args:
        args: of a run; its data settings are used.
        split: `"train"`, `"val"`, ...; the embedded scenes have `"test"` and `"ood"` (out of domain) too.
        data: another data set than the run's.
        first: only so many images, the first ones.
        check: of other splits than the training split's, decode every image and drop those that are broken: all
            nodes of them will be embedded. In training a broken image is skipped when it is met.
        format: of the data, where it can be read in several ways; see `read_source`.
        image_folder: where the images lie, if not with the annotations.

    Raises:
        FileNotFoundError: no such source, or it has no such split.
        ValueError: nothing usable is left of it, its images are not at hand, or it was exported with another threshold
            than the run's.
    """
    data = data or args.data
    if data == "scenes":
        source = _scenes(args, split)
    else:
        source = read_source(data, split, format=format, image_folder=image_folder, min_size=args.min_box_size)
        check_threshold(source.exported, data, args)
        source.require_images()
    table = source.table
    if first is not None and first < table.num_images:
        table = drop_images(table, np.arange(first, table.num_images), [])
    if check and data != "scenes" and split != "train":
        table = drop_broken(table, max(1, args.num_workers), source.load)
    hierarchy = hierarchy_for(table, args, source.exported, strict=split == "train")
    return Split(table, hierarchy, source.load, source.exported)


def _scenes(args: RunArguments, split: str) -> Source:
    count = args.train_scenes if split == "train" else args.val_scenes
    with PartialState().main_process_first():
        annotations = write_scenes(args.scenes_dir, split, count, num_workers=args.num_workers or os.cpu_count() or 1)
    return Source(read_coco(annotations, min_size=args.min_box_size), None, "coco")


def train_hierarchy_of(args: RunArguments, data: str | None = None, format: str = "auto") -> Hierarchy | None:
    """The training split's hierarchy, which oracles and class frequencies come from; None where there is none.

    Its images need not be at hand: only classes and boxes are counted.
    """
    data = data or args.data
    if data == "scenes":
        return hierarchy_for(_scenes(args, "train").table, args, strict=True)
    if Path(data).is_file():
        return None
    try:
        found = read_source(data, "train", format=format, min_size=args.min_box_size)
    except FileNotFoundError:
        return None
    except ValueError as error:
        try:
            found = read_source(data, "train", format=format, min_size=args.min_box_size, require_images=False)
        except ValueError:  # it was not for want of images
            raise error from None
    check_threshold(found.exported, data, args)
    return hierarchy_for(found.table, args, found.exported, strict=data == args.data)


def class_frequencies_for(
    args: RunArguments, evaluated: Hierarchy, data: str, format: str = "auto", trained_on: str | None = None
) -> tuple[Hierarchy | None, str]:
    """The training split that oracles count classes in, and what there is to say about it.

    It is the evaluated set's own, else that of the set the model was trained on, if they share a class by name.

    Args:
        args: data settings.
        evaluated: the evaluated split.
        data: where it is from.
        format: of `data`.
        trained_on: data the model was trained on; None where that is unknown.
    """
    sources = [(data, format)]
    if trained_on is not None and trained_on != data:
        sources.append((trained_on, "auto"))
    for source, how in sources:
        found = train_hierarchy_of(args, source, how)
        shared = len({*found.class_names} & {*evaluated.class_names}) if found is not None else 0
        if shared and source == data:
            return found, ""
        if shared:
            return found, (
                f"{data} has no training split: oracles count classes in that of {source}, which knows {shared} of "
                f"its {evaluated.num_classes} classes"
            )
    return None, (
        f"no training split shares a class with {data}: no figure of the oracles that know how frequent its classes are"
    )


def check_threshold(exported: HierarchySettings | None, data: str, args: RunArguments) -> None:
    """
    Raises:
        ValueError: an exported set has another threshold than the run; or the run streams pairs of which nobody knows
            the threshold, and asks for one.
    """
    if exported is None:
        if getattr(args, "stream", False) and data == args.data and args.threshold != RunArguments.threshold:
            raise ValueError(
                f"{data} does not say with which threshold its pairs were exported, and --stream true takes them as "
                "they are: leave --threshold out"
            )
    elif exported.threshold != args.threshold:
        raise ValueError(
            f"{data} was exported with threshold {exported.threshold:g}, and the run has {args.threshold:g}: pass "
            f"--threshold {exported.threshold:g} to training, or export it with --threshold {args.threshold:g}"
        )


def hierarchy_for(
    table: BoxTable, args: RunArguments, exported: HierarchySettings | None = None, strict: bool = False
) -> Hierarchy:
    """What the boxes contain by the run's threshold, less the pairs denied by it or by the export.

    Raises:
        ValueError: `strict`, and a pair that the run denies names a class that the table does not have.
    """
    settings = exported or HierarchySettings(args.threshold)
    denied = [(parent, child) for parent, _, child in (pair.partition(">") for pair in args.deny_pairs)]
    if not strict:  # another split, or another data set, may lack a class
        denied = [pair for pair in denied if set(pair) <= {*table.class_names, ANY}]
    return replace(settings, deny=(*settings.deny, *denied)).build(table)


def same_data(one: str, other: str) -> bool:
    """Whether two names are of one data set, as far as names and folders tell."""
    return one == other or (os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other))
