"""`index build`: a model and images -> an index on disk."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read, read_settings

if TYPE_CHECKING:
    from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
    from hf_hyperbolic.data.read import Source

_BROKEN_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "SOURCE is an annotated data set, of which whole images and boxes are indexed, or a folder of images without "
        "annotations. Stopped or killed, the same command goes on after the last finished shard. Images that cannot be "
        "read are left out, stderr names them, and the exit status is 1."
    )
    parser.add_argument("model", help="checkpoint folder, or the name of a model on the Hugging Face Hub")
    add_source_arguments(parser)
    add_threshold_argument(parser)
    parser.add_argument("output", help="folder of the index")
    parser.add_argument("--append", action="store_true", help="add to an index that holds something else already")
    parser.add_argument(
        "--thumbnails", type=int, metavar="PIXELS", help="keep small pictures, at most so many pixels a side"
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), help="of the stored embeddings (default: float32)")
    parser.add_argument("--batch-size", type=int, default=256, help="crops the model sees at once")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that read images, besides this one")
    parser.add_argument("--device", help="for example cpu or cuda:1; default: a GPU where there is one")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns 0, 1 if images were left out, or 130 if the user stopped it."""
    source, settings = _source(options)
    source.require_images()

    from hf_hyperbolic.encoder import ImageEncoder
    from hf_hyperbolic.retrieval.index_build import build_index

    encoder = ImageEncoder.from_pretrained(options.model, options.device)
    print(f"{source.table.num_images:,} images, {source.table.num_boxes:,} boxes; {encoder}")
    try:
        built = build_index(
            options.output,
            encoder,
            source,
            _name(options.source),
            options.split,
            settings=settings,
            dtype=options.dtype,
            thumbnails=options.thumbnails,
            append=options.append,
            batch_size=options.batch_size,
            num_workers=options.num_workers,
        )
    except KeyboardInterrupt:
        print("stopped; finished shards are kept: give the same command again to go on", file=sys.stderr)
        return 130
    for message in built.broken[:_BROKEN_SHOWN]:
        print(message, file=sys.stderr)
    if len(built.broken) > _BROKEN_SHOWN:
        print(f"... and {len(built.broken) - _BROKEN_SHOWN:,} more", file=sys.stderr)
    resumed = f", going on after {built.resumed_at:,} images done before" if built.resumed_at else ""
    print(f"wrote {built.folder}: {built.rows:,} items, {built.added:,} of them now{resumed}")
    left_out = sum(built.skipped.values())
    if left_out:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in sorted(built.skipped.items()))
        print(f"{left_out:,} images cannot be used and were left out: {listed}", file=sys.stderr)
    search = shlex.join(["hf-hyperbolic", "index", "search", str(options.output)])
    print(f"search it: {search} IMAGE --direction parents --sheet found.jpg")
    return 1 if left_out else 0


def _source(options: argparse.Namespace) -> "tuple[Source, HierarchySettings | None]":
    """An annotated source, or a folder of images where nothing in it looks like annotations."""
    try:
        source = read(options)
    except FileNotFoundError:
        plain = not (options.split or options.image_folder or options.option) and options.format == "auto"
        if not (plain and Path(options.source).is_dir()):
            raise
        from hf_hyperbolic.retrieval.index_build import folder_source

        print(f"{options.source} holds no annotations of a known format: its images are taken as they are")
        return folder_source(options.source), None
    return source, read_settings(options, source)


def _name(source: str) -> str:
    return str(Path(source).absolute()) if Path(source).exists() else source
