"""`metric push`: the metric hier_ot as a Space of one's own."""

import argparse

from hf_hyperbolic.cli.hub_arguments import add_target_arguments, print_where, target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = 'evaluate.load("USER/hier_ot") loads it then; the repository must be called hier_ot.'
    add_target_arguments(parser)


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.hub.push_data import push_metric

    print_where(options, push_metric(target(options), options.dry_run))
    return 0
