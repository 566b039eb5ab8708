"""`data draw`: a sheet of images with their boxes."""

import argparse
from pathlib import Path

from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add_threshold_argument(parser)
    parser.add_argument("output", help="picture to write, .png or .jpg")
    parser.add_argument("--rows", type=int, default=3, help="of images (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=4, help="of images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which images are drawn (default: %(default)s)")
    parser.add_argument("--cell", type=int, default=320, help="side of an image in pixels (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.draw import contact_sheet

    output = Path(options.output)
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"{output}: the picture must end in .png or .jpg")
    source = read(options)
    images = source.images()
    hierarchy = read_settings(options, source).build(source.table)
    sheet = contact_sheet(hierarchy, images, options.rows, options.columns, options.seed, options.cell)
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output, quality=92)
    print(f"wrote {output}")
    return 0
