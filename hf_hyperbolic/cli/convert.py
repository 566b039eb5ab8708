"""`data convert`: any source as COCO JSON or as Parquet."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hyperbolic.cli.guards import add_deny_argument
from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read, read_settings

if TYPE_CHECKING:
    from collections import Counter

    from hf_hyperbolic.data.read import Source

_NOT_IN_COCO = "masks, crowd flags, licences, and the ids of annotations and categories"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        f"COCO: an existing file is never replaced; {_NOT_IN_COCO} are not carried over. Parquet: images that cannot "
        "be used are left out, stderr names them (at most 20 of each fault), and the exit status is 1."
    )
    add_source_arguments(parser)
    add_threshold_argument(parser)
    add_deny_argument(parser)
    parser.add_argument("output", help="JSON file (coco) or folder (parquet) to write")
    parser.add_argument("--to", choices=("coco", "parquet"), required=True, help="what to write")
    parser.add_argument(
        "--license", default="unknown", help="of images and annotations, for the card of a Parquet set (cc-by-4.0, ...)"
    )


def run(options: argparse.Namespace) -> int:
    source = read(options)
    source.require_images()
    return _to_coco(source, options) if options.to == "coco" else _to_parquet(source, options)


def _to_coco(source: "Source", options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.coco_writer import write_coco

    table = source.table
    if source.load is not None:
        raise ValueError(f"{options.source}: its images are no files, which COCO needs; --to parquet keeps them")
    if options.deny:
        raise ValueError("--deny has no meaning for --to coco, which holds boxes and no pairs")
    file = write_coco(table, options.output)
    print(f"wrote {table.num_images:,} images with {table.num_boxes:,} boxes: {file}; without {_NOT_IN_COCO}")
    folder = os.path.commonpath([os.path.dirname(name) for name in table.image_files.tolist()])
    if not Path(folder).is_relative_to(file.parent):
        print(f"its images lie elsewhere: read it with --image-folder {shlex.quote(folder)}")
    _print_counts(table.skipped())
    return 0


def _to_parquet(source: "Source", options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.boxes import count_problems
    from hf_hyperbolic.data.export import export_parquet
    from hf_hyperbolic.data.rows import REENCODED

    if not options.split:
        raise ValueError("--to parquet writes one split of a data set: name it by --split")
    table, settings = source.table, read_settings(options, source)
    written = export_parquet(
        table,
        options.output,
        options.split,
        license=options.license,
        built_from=f"{public_name(options.source, source.format)} (format {source.format})",
        threshold=settings.threshold,
        duplicate_iou=settings.duplicate_iou,
        deny=[*settings.deny, *options.deny],
        load=source.load,
    )
    files = ", ".join(map(str, written.files))
    print(f"wrote {written.num_images:,} images with {written.num_boxes:,} boxes: {files}")
    _print_counts(table.skipped() + count_problems(written.problems))
    for problem in written.problems:
        if problem.reason != REENCODED:
            print(problem, file=sys.stderr)
    left_out = table.num_images - written.num_images
    if left_out:
        print(f"{left_out:,} of {table.num_images:,} images cannot be used and were left out", file=sys.stderr)
    return 1 if left_out else 0


def public_name(source: str, format: str) -> str:
    """What a published card may tell of a source: its name on the Hub, or a path's last part."""
    if format == "hub" and not Path(source).exists():
        return source
    return Path(source).resolve().name


def _print_counts(counts: "Counter[str]") -> None:
    if counts:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        print(f"not as in the source: {listed}; `data inspect` and `data validate` show where")
