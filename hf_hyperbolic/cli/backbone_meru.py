"""`backbone meru`: a published model of MERU as one of this library, its text tower with it."""

import argparse
from functools import partial


def add_arguments(parser: argparse.ArgumentParser, file: str = "meru_vit_l.pth") -> None:
    parser.epilog = (
        "Nothing that the file names is run: it is read by torch's restricted unpickler, "
        "and written as safetensors. An existing folder is never replaced."
    )
    parser.add_argument("checkpoint", help=f"file as published, such as {file}")
    parser.add_argument("output", help="folder to write")
    parser.add_argument(
        "--heads",
        type=int,
        help="attention heads of the image encoder, which weights do not tell (default: as published for widths 384, "
        "768 and 1024)",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="NAME_OR_FOLDER",
        help="CLIP's tokenizer, openai/clip-vit-base-patch16, to save beside the text tower: phrases need one",
    )


def convert(kind: str, options: argparse.Namespace) -> int:
    from hf_hyperbolic.converters.meru import PUBLISHED, convert_meru_file

    converted = convert_meru_file(options.checkpoint, options.output, kind, options.heads, options.tokenizer)
    config, name = converted.model.config, PUBLISHED[kind].name
    if not converted.has_text:
        text = "the checkpoint has no text tower"
    elif options.tokenizer is None:
        text = "with its text tower, which waits for CLIP's tokenizer: see --tokenizer"
    else:
        text = "with its text tower and tokenizer"
    print(
        f"wrote {name}: {config.projection_dim} dimensions, curvature -{converted.model.curvature.item():.4g}, images "
        f"of {converted.image_size} px; {text}"
    )
    print(f"direction: {PUBLISHED[kind].direction}")
    print(f"search with it: hf-hyperbolic index build {options.output} IMAGES INDEX")
    return 0


run = partial(convert, "meru")
