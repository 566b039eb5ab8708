"""`data convert`: any source as COCO JSON or as Parquet."""

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read

if TYPE_CHECKING:
    from hf_hyperbolic.data.boxes import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Images that cannot be used are left out of a Parquet set: stderr names them, at most 20 of each fault, and the "
        "exit status is 1."
    )
    add_source_arguments(parser)
    add_threshold_argument(parser)
    parser.add_argument("output", help="JSON file (coco) or folder (parquet) to write")
    parser.add_argument("--to", choices=("coco", "parquet"), required=True, help="what to write")
    parser.add_argument(
        "--license", default="unknown", help="of images and annotations, for the card of a Parquet set (cc-by-4.0, ...)"
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.boxes import count_problems
    from hf_hyperbolic.data.rows import REENCODED

    source = read(options)
    table = source.table
    source.require_images()
    if options.to == "coco":
        from hf_hyperbolic.data.coco_writer import write_coco

        if source.load is not None:
            raise ValueError(f"{options.source}: its images are no files, which COCO needs; --to parquet keeps them")
        print(f"wrote {_counted(table.num_images, table.num_boxes)}: {write_coco(table, options.output)}")
        problems: tuple[Problem, ...] = ()
        left_out = 0
    else:
        if not options.split:
            raise ValueError("--to parquet writes one split of a data set: name it by --split")
        export = import_module("hf_hyperbolic.data.export").export_parquet
        built_from = f"{options.source} (format {source.format})"
        written = export(
            table,
            options.output,
            options.split,
            license=options.license,
            built_from=built_from,
            threshold=options.threshold,
            load=source.load,
        )
        print(f"wrote {_counted(written.num_images, written.num_boxes)}: {', '.join(map(str, written.files))}")
        problems = written.problems
        left_out = table.num_images - written.num_images
    counts = table.skipped() + count_problems(problems)
    if counts:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        print(f"not as in the source: {listed}; `data inspect` and `data validate` show where")
    for problem in problems:
        if problem.reason != REENCODED:
            print(problem, file=sys.stderr)
    if left_out:
        print(f"{left_out:,} of {table.num_images:,} images cannot be used and were left out", file=sys.stderr)
    return 1 if left_out else 0


def _counted(images: int, boxes: int) -> str:
    return f"{images:,} images with {boxes:,} boxes"
