"""`data pairs`: which classes lie in which, beside chance; what to look at before turning on a guard."""

import argparse

from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add_threshold_argument(parser)
    parser.add_argument(
        "--top", type=int, default=40, help="class pairs shown, most frequent first (default: %(default)s)"
    )
    parser.add_argument(
        "--sort", choices=("nested", "share", "lift"), default="nested", help="nested: most first; else least first"
    )


def run(options: argparse.Namespace) -> int:
    import numpy as np

    from hf_hyperbolic.data.class_pairs import class_pairs
    from hf_hyperbolic.data.containment import containment_pairs

    source = read(options)
    table, settings = source.table, read_settings(options, source)
    contained = containment_pairs(table, settings.threshold, settings.duplicate_iou)
    found = class_pairs(table, contained, settings.threshold)
    order = np.argsort(-found.nested if options.sort == "nested" else getattr(found, options.sort), kind="stable")
    print("  nested  of together  images      of  share  chance   lift  parent > child")
    for row in order[: options.top].tolist():
        counts = f"{found.nested[row]:>8,} {found.together[row]:>12,} "
        images = f"{found.images_nested[row]:>7,} {found.images_together[row]:>7,} "
        rates = f"{found.share[row]:>6.2f} {found.chance[row]:>7.3f} {found.lift[row]:>6.2f}  "
        print(counts + images + rates + " > ".join(table.class_names[c] for c in (found.parent[row], found.child[row])))
    return 0
