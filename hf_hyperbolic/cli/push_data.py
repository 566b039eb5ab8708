"""`data push`: an exported data set to the Hub."""

import argparse

from hf_hyperbolic.cli.hub_arguments import add_target_arguments, print_where, target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Stopped or killed, the same command goes on where it ended. Log in by `hf auth login`."
    parser.add_argument("source", metavar="folder", help="that `data convert --to parquet` wrote")
    add_target_arguments(parser)


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.hub.push_data import push_data

    print_where(options, push_data(options.source, target(options), options.dry_run))
    return 0
