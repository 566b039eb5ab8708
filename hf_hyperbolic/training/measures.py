"""By what score a trained system ranks, in each direction."""

from dataclasses import asdict

from hf_hyperbolic import encoder
from hf_hyperbolic.training.arguments import TrainArguments


def ranking_measures(args: TrainArguments) -> dict[str, str]:
    """`{"children": measure, "parents": measure, "pairs": measure}` for a model trained with `args`.

    Pairs (does this contain that?) are judged by beta whatever ranks: what else ranks well may know no direction. Of a
    model trained by cosine by cosine; and of HCL and HyCoCLIP by distance, since their hierarchy is the other way
    round, the object the root: the angle at the whole is small there where they have learnt what they were asked.
    """
    angle = "euclidean_beta" if args.geometry == "euclidean" else "beta"
    pairs = {"cosine": "cosine", "hcl": "distance", "hycoclip": "distance"}.get(args.loss, angle)
    return {**encoder.ranking_measures(asdict(args), args.geometry), "pairs": pairs}
