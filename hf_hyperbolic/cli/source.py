"""The arguments by which every command names its source."""

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
    from hf_hyperbolic.data.read import Source

FORMAT_NAMES = ("auto", "coco", "lvis", "voc", "open_images", "parquet", "hub")


def add_source_arguments(parser: argparse.ArgumentParser, min_size: float = 4.0) -> None:
    parser.add_argument("source", help="annotation file or folder, or the name of a data set on the Hugging Face Hub")
    parser.add_argument("--split", help="train, val, ...; may be left out where there is only one")
    parser.add_argument("--format", choices=FORMAT_NAMES, default="auto", help="how to read it (default: recognised)")
    parser.add_argument("--image-folder", help="where the images lie, if not with the annotations")
    parser.add_argument(
        "--min-size",
        type=float,
        default=min_size,
        help="boxes with a side shorter than this many pixels are skipped (default: %(default)g)",
    )
    parser.add_argument(
        "--option",
        type=_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further argument of the format's reader, include_crowd=true for instance; may be repeated",
    )


def add_threshold_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=float,
        help="share of a box inside a larger one that makes it its part (default: 0.8; of an exported set its own)",
    )


def read(options: argparse.Namespace) -> "Source":
    from hf_hyperbolic.data.read import read_source

    arguments = {
        "split": options.split,
        "format": options.format,
        "image_folder": options.image_folder,
        "min_size": options.min_size,
    }
    further = dict(options.option)
    for name in sorted({*arguments, "source"} & set(further)):
        raise ValueError(f"--option {name}: give it as --{name.replace('_', '-')}, or the source by its place")
    return read_source(options.source, **arguments, **further)


def read_settings(options: argparse.Namespace, source: "Source") -> "HierarchySettings":
    """By which settings the pairs of a source are found: an exported set has its own, others go by `--threshold`.

    Raises:
        ValueError: `--threshold` is not that of the exported set.
    """
    from hf_hyperbolic.data.hierarchy_settings import HierarchySettings

    asked, exported = options.threshold, source.exported
    if exported is None:
        return HierarchySettings() if asked is None else HierarchySettings(asked)
    if asked is not None and asked != exported.threshold:
        raise ValueError(
            f"{options.source} was exported with threshold {exported.threshold:g}, not {asked:g}: leave --threshold "
            "out, or name the annotations it was exported from"
        )
    return exported


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
