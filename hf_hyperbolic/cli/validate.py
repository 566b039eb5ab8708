"""`data validate`: is every image whole and every box usable?"""

import argparse
import os

from hf_hyperbolic.cli.source import add_source_arguments, read

# what a reader leaves out because it was told to, not because it is wrong
BY_CHOICE = frozenset({"crowd", "group_of"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # a small box is not a wrong one
    add_source_arguments(parser, min_size=0.0)
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count() or 1, help="threads that decode (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.image_reader import find_broken

    source = read(options)
    source.require_images()
    broken = find_broken(source.table, options.num_workers, source.load)
    # what an export counted was left out of it: its source had the fault, not itself
    noted = () if source.format == "parquet" else source.table.problems
    problems = [problem for problem in noted if problem.reason not in BY_CHOICE] + broken
    for problem in problems:
        print(problem)
    count = sum(problem.count for problem in problems)
    left_out = "".join(
        f"; {number:,} {reason} left out by choice"
        for reason, number in source.table.skipped().items()
        if reason in BY_CHOICE
    )
    print(
        f"{source.format}: {source.table.num_images:,} images, {source.table.num_boxes:,} boxes, "
        f"{count:,} problem{'s' if count != 1 else ''}{left_out}"
    )
    return 1 if problems else 0
