"""`space push`: the web demo as a Space of one's own."""

import argparse

from hf_hyperbolic.cli.hub_arguments import add_target_arguments, print_where, target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The app, the package, a model, an index and its pictures, and others see them all. Stopped or killed, the "
        "same command goes on where it ended. Log in by `hf auth login`."
    )
    parser.add_argument("source", metavar="folder", help="that `python space/assemble.py` laid out")
    add_target_arguments(parser)
    parser.add_argument(
        "--model", action="append", default=[], metavar="USER/NAME", help="on the Hub, that the demo shows: a link"
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="USER/NAME", help="on the Hub, that its index is of: a link"
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.hub.push_space import push_space

    print_where(options, push_space(options.source, target(options), options.model, options.dataset, options.dry_run))
    return 0
