"""`data threshold`: what the threshold of containment decides, as table, JSON, figure and pictures."""

import argparse
import json
from pathlib import Path

from hf_hyperbolic.cli.source import add_source_arguments, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    parser.add_argument("output", help="folder to write to")
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="T", help="increasing, in (0, 1]")
    parser.add_argument(
        "--between", type=float, nargs=2, metavar=("LOW", "HIGH"), default=(0.7, 0.9),
        help="show pairs that a threshold of LOW makes direct and HIGH does not, and the reverse (default: 0.7 0.9)",
    )  # fmt: skip
    parser.add_argument("--examples", type=int, default=12, help="pairs shown of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which pairs are shown (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.data.draw import pair_sheet
    from hf_hyperbolic.data.files import write_text
    from hf_hyperbolic.data.thresholds import DEFAULT_THRESHOLDS, changed_pairs, check_thresholds, study_thresholds

    low, high = options.between
    check_thresholds(options.between)
    source = read(options)
    study = study_thresholds(source.table, options.thresholds or DEFAULT_THRESHOLDS)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    text = study.to_text()
    write_text(folder / "thresholds.txt", text + "\n")
    write_text(folder / "thresholds.json", json.dumps(study.to_dict(), indent=2) + "\n")
    print(text)
    try:
        from hf_hyperbolic.report.style import to_png
        from hf_hyperbolic.report.thresholds import threshold_figure
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        print(f'\nno figure: it needs {missing}: pip install "hf-hyperbolic[demo]"')
    else:
        (folder / "thresholds.png").write_bytes(to_png(threshold_figure(study)))
    print()
    for change, (count, examples) in changed_pairs(source.table, low, high, options.examples, options.seed).items():
        print(f"{low:g} to {high:g}: {count:,} direct pairs {change}")
        if examples and source.has_images:
            pair_sheet(examples, source.images()).save(folder / f"{change}.png")
    if not source.has_images:
        print("no pictures: the images of the source are not at hand")
    print(f"wrote {folder}")
    return 0
