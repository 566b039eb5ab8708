"""The arguments that guard against pairs which the containment rule finds but that are no part of anything."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_hyperbolic.data.guards import Guards


def add_deny_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deny",
        type=_class_pair,
        action="append",
        default=[],
        metavar="'PARENT>CHILD'",
        help="a pair of classes that is never a containment, in quotes; * is any class; may be repeated",
    )


def add_guard_arguments(parser: argparse.ArgumentParser) -> None:
    add_deny_argument(parser)
    parser.add_argument(
        "--min-lift", type=float, default=0.0, help="drop pairs of classes nested less often than this times chance"
    )
    parser.add_argument(
        "--min-share",
        type=float,
        default=0.0,
        help="drop pairs of classes nested in less than this share of the images that hold both",
    )


def read_guards(options: argparse.Namespace) -> "Guards | None":
    """The guards asked for, None if none was.

    Raises:
        ValueError: a figure out of its range.
    """
    if not (options.deny or options.min_lift or options.min_share):
        return None
    from hf_hyperbolic.data.guards import Guards

    return Guards(deny=options.deny, min_lift=options.min_lift, min_share=options.min_share)


def _class_pair(text: str) -> tuple[str, str]:
    parent, sign, child = (part.strip() for part in text.partition(">"))
    if not (parent and sign and child):
        raise argparse.ArgumentTypeError(f"expected 'PARENT>CHILD' in quotes, got {text!r}")
    return parent, child
