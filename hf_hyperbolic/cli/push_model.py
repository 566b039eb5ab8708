"""`push`: a trained run to the Hub, with its card."""

import argparse
import sys

from hf_hyperbolic.cli.hub_arguments import add_target_arguments, print_where, target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Weights (safetensors), configuration, code, image processor, settings, pictures and a card that is made from "
        "the files of the run. Stopped or killed, the same command goes on where it ended. Log in by `hf auth login`."
    )
    parser.add_argument(
        "source",
        metavar="run_or_model",
        help="--output_dir of training/train.py, or the folder of a model, trained or converted",
    )
    add_target_arguments(parser)
    parser.add_argument("--which", choices=("best", "final"), default="best", help="of a run (default: %(default)s)")
    parser.add_argument(
        "--evaluation",
        action="append",
        default=[],
        metavar="FOLDER",
        help="of training/evaluate.py, for the card; may be repeated (default: the folders evaluation-* of the run)",
    )
    parser.add_argument(
        "--license",
        help="of the weights, such as cc-by-4.0 (default: apache-2.0 if from scratch on embedded scenes, else unknown)",
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="USER/NAME", help="on the Hub, that it was trained on"
    )
    parser.add_argument(
        "--emissions",
        type=float,
        metavar="GRAMS",
        help="of CO2 equivalent, as measured (default: of the run's emissions.csv by codecarbon, else left out)",
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.hub.emissions import Emissions, read_emissions
    from hf_hyperbolic.hub.front_matter import UNKNOWN_LICENSE, CardFacts, default_license
    from hf_hyperbolic.hub.push_model import push_model
    from hf_hyperbolic.hub.run import TrainedModel

    model = TrainedModel.find(options.source, options.which)
    stated = None if options.emissions is None else Emissions(options.emissions, "stated by the author")
    license = options.license or default_license(model.settings, model.words, model.has_text)
    facts = CardFacts(options.repo_id, license, tuple(options.dataset), stated or read_emissions(model.run))
    done = push_model(options.source, target(options), facts, options.which, options.evaluation, options.dry_run)
    for reason in done.left_out:
        print(f"not on the card: {reason}", file=sys.stderr)
    if not done.evaluated and not done.converted:
        print("the card says that the model was not evaluated: run training/evaluate.py first", file=sys.stderr)
    if license == UNKNOWN_LICENSE:
        print("the card says that the license is unknown: state it by --license", file=sys.stderr)
    if done.converted:
        print("others trained these weights: publish them only where their license allows it", file=sys.stderr)
    print_where(options, done.where)
    if done.revision:
        print(f'pin it: revision="{done.revision}", code_revision="{done.revision}"')
    return 0
