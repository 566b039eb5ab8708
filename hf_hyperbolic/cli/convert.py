"""`data convert`: any source as COCO JSON or as Parquet."""

import argparse
from importlib import import_module

from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add_threshold_argument(parser)
    parser.add_argument("output", help="JSON file (coco) or folder (parquet) to write")
    parser.add_argument("--to", choices=("coco", "parquet"), required=True, help="what to write")
    parser.add_argument(
        "--license", default="unknown", help="of images and annotations, for the card of a Parquet set (cc-by-4.0, ...)"
    )


def run(options: argparse.Namespace) -> int:
    source = read(options)
    table = source.table
    source.require_images()
    if options.to == "coco":
        from hf_hyperbolic.data.coco_writer import write_coco

        if source.load is not None:
            raise ValueError(f"{options.source}: its images are no files, which COCO needs; --to parquet keeps them")
        written = [write_coco(table, options.output)]
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
    print(f"wrote {table.num_images:,} images with {table.num_boxes:,} boxes: {', '.join(map(str, written))}")
    if table.problems:
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in table.skipped().most_common())
        print(f"not as in the source: {skipped}; `data inspect` shows where")
    return 0
