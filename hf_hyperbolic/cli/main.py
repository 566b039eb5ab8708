"""`hf-hyperbolic data inspect PATH` and its sisters."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

# group -> command -> module with `add_arguments(parser)` and `run(options) -> exit status`, and what it does. Modules
# import what is slow inside `run`, so that help comes at once.
COMMANDS = {
    "data": {
        "inspect": ("hf_hyperbolic.cli.inspect", "what is in a source: images, boxes, classes, levels, problems"),
        "validate": ("hf_hyperbolic.cli.validate", "decode every image, list every problem; exit status 1 if any"),
        "convert": ("hf_hyperbolic.cli.convert", "write a source as COCO JSON or Parquet"),
        "draw": ("hf_hyperbolic.cli.draw", "a sheet of images with their boxes, coloured by level"),
        "threshold": ("hf_hyperbolic.cli.threshold", "what the threshold of containment decides"),
        "detect": ("hf_hyperbolic.cli.detect", "find boxes in images that have none, by a detector from the Hub"),
        "pairs": ("hf_hyperbolic.cli.pairs", "which classes lie in which, beside chance"),
        "push": ("hf_hyperbolic.cli.push_data", "publish a data set written as Parquet on the Hugging Face Hub"),
    },
    "index": {
        "build": ("hf_hyperbolic.cli.index_build", "embed a data set or a folder of images into an index on disk"),
        "search": ("hf_hyperbolic.cli.index_search", "what is inside an image, or what it is a part of, by an index"),
        "qdrant": ("hf_hyperbolic.cli.index_qdrant", "copy an index into a Qdrant collection, embedded or on a server"),
        "push": ("hf_hyperbolic.cli.push_index", "publish an index on the Hugging Face Hub"),
    },
    "backbone": {
        "moco": ("hf_hyperbolic.cli.backbone_moco", "convert a published MoCo v2 checkpoint (ResNet-50, .pth.tar)"),
        "meru": ("hf_hyperbolic.cli.backbone_meru", "convert the image encoder of a published MERU checkpoint (.pth)"),
        "hycoclip": (
            "hf_hyperbolic.cli.backbone_hycoclip",
            "convert the image encoder of a published HyCoCLIP checkpoint (.pth)",
        ),
    },
    "export": {
        "onnx": ("hf_hyperbolic.cli.export_onnx", "write a model as ONNX, in the layout of transformers.js"),
        "sentence-transformers": (
            "hf_hyperbolic.cli.export_sentence_transformers",
            "write a model as a folder that SentenceTransformer loads",
        ),
    },
    "metric": {
        "push": ("hf_hyperbolic.cli.push_metric", "publish the metric hier_ot as a Space on the Hugging Face Hub"),
    },
    "space": {
        "push": ("hf_hyperbolic.cli.push_space", "publish the web demo as a Space on the Hugging Face Hub"),
    },
}
# commands of no group
SINGLE = {"push": ("hf_hyperbolic.cli.push_model", "publish a trained run on the Hugging Face Hub, with its card")}
GROUPS = {
    "data": "look at, check and convert annotated images",
    "index": "build an index of images and boxes, and search it",
    "backbone": "make a model of a checkpoint that others published",
    "export": "write a trained model for other programs",
    "metric": "the metric of label transport",
    "space": "the web demo",
}
_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hf-hyperbolic", description="Hierarchical image retrieval in hyperbolic space."
    )
    groups = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group, commands in COMMANDS.items():
        group_parser = groups.add_parser(group, help=GROUPS[group], description=GROUPS[group])
        subparsers = group_parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for name, (path, summary) in commands.items():
            _add_command(subparsers, name, path, summary)
    for name, (path, summary) in SINGLE.items():
        _add_command(groups, name, path, summary)
    return parser


def _add_command(parsers: Any, name: str, path: str, summary: str) -> None:
    module = import_module(path)
    parser = parsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        0, or 1 where a command found something wrong, 2 where it could not do its work (one line on stderr says why),
        130 where it was interrupted.
    """
    options = build_parser().parse_args(argv)
    try:
        status: int = options.run(options)
        # a pipe that was closed shows here, not when the interpreter ends
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # whoever read the output has read enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (OSError, ValueError, ImportError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    return status
