"""`backbone meru`: a published image encoder of MERU as a model of this library."""

import argparse
from functools import partial


def add_arguments(parser: argparse.ArgumentParser, file: str = "meru_vit_l.pth") -> None:
    parser.epilog = (
        "The text tower is left out. Nothing that the file names is run: it is read by torch's restricted unpickler, "
        "and written as safetensors. An existing folder is never replaced."
    )
    parser.add_argument("checkpoint", help=f"file as published, such as {file}")
    parser.add_argument("output", help="folder to write")
    parser.add_argument(
        "--heads",
        type=int,
        help="attention heads, which weights do not tell (default: as published for widths 384, 768 and 1024)",
    )


def convert(kind: str, options: argparse.Namespace) -> int:
    from hf_hyperbolic.converters.meru import PUBLISHED, convert_meru_file

    converted = convert_meru_file(options.checkpoint, options.output, kind, options.heads)
    config, name = converted.model.config, PUBLISHED[kind].name
    print(
        f"wrote the image encoder of {name}: {config.projection_dim} dimensions, curvature "
        f"-{converted.model.curvature.item():.4g}, images of {converted.image_size} px; without its text tower"
    )
    print(f"direction: {PUBLISHED[kind].direction}")
    print(f"search with it: hf-hyperbolic index build {options.output} IMAGES INDEX")
    return 0


run = partial(convert, "meru")
