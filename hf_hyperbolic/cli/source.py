"""The arguments by which every command names its source."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def add_threshold_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        help="share of a box inside a larger one that makes it its part (default: %(default)g)",
    )


def read(options: argparse.Namespace) -> "Source":
    from hf_hyperbolic.data.read import read_source

    return read_source(
        options.source,
        options.split,
        format=options.format,
        image_folder=options.image_folder,
        min_size=options.min_size,
    )
