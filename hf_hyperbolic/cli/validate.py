"""`data validate`: is every image whole, every box usable, and every caption of an image that is there?"""

import argparse
import os

from hf_hyperbolic.cli.source import add_source_arguments, read

# what a reader leaves out because it was told to, not because it is wrong
BY_CHOICE = frozenset({"crowd", "group_of", "depiction", "part", "difficult"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # a small box is not a wrong one
    add_source_arguments(parser, min_size=0.0)
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count() or 1, help="threads that decode (default: %(default)s)"
    )
    parser.add_argument(
        "--captions",
        help="captions of the images, to be looked at too: a file in COCO's layout, or the folder it is in",
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.image_reader import find_broken

    source = read(options)
    source.require_images()
    captions = None
    if options.captions:  # before images are decoded, which may take long
        from hf_hyperbolic.data.captions import captions_file, read_captions

        captions = read_captions(captions_file(options.captions, options.split or "*"), source.table)
    broken = find_broken(source.table, options.num_workers, source.load)
    by_choice = BY_CHOICE | _chosen(options)
    # what an export counted was left out of it: its source had the fault, not itself
    noted = () if source.format == "parquet" else source.table.problems
    problems = [problem for problem in noted if problem.reason not in by_choice] + broken
    for problem in problems:
        print(problem)
    if captions:
        for problem in captions.problems:
            print(problem)
        problems += captions.problems
    count = sum(problem.count for problem in problems)
    left_out = "".join(
        f"; {number:,} {reason} left out by choice"
        for reason, number in source.table.skipped().items()
        if reason in by_choice
    )
    print(
        f"{source.format}: {source.table.num_images:,} images, {source.table.num_boxes:,} boxes, "
        f"{count:,} problem{'s' if count != 1 else ''}{left_out}"
    )
    if captions:
        print(captions.summary())
    return 1 if problems else 0


def _chosen(options: argparse.Namespace) -> set[str]:
    """Reasons that are a choice only because of the arguments given."""
    given = dict(options.option)
    chosen = set()
    # without a bound what is too small has no area in float32
    if options.min_size > 0 or given.get("min_size") or given.get("min_share"):
        chosen.add("too_small")
    if "class_names" in given:
        chosen.add("unknown_class")
    return chosen
