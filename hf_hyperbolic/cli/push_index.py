"""`index push`: an index to the Hub."""

import argparse

from hf_hyperbolic.cli.hub_arguments import add_target_arguments, print_where, target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "It goes to a repository of data sets, its images named below the folder of their data set. Thumbnails are "
        "pictures of the data: --no-thumbnails where others may not have them."
    )
    parser.add_argument("source", metavar="index", help="folder of an index, as `index build` writes it")
    add_target_arguments(parser)
    parser.add_argument("--model", metavar="USER/NAME", help="where on the Hub the model is that made the index")
    parser.add_argument("--no-thumbnails", action="store_true", help="leave the small pictures out")


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.hub.push_data import push_index

    where = push_index(options.source, target(options), options.model, not options.no_thumbnails, options.dry_run)
    print_where(options, where)
    return 0
