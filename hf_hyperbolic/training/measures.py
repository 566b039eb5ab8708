"""By what score a trained system ranks, in each direction."""

from dataclasses import asdict

from hf_hyperbolic import encoder
from hf_hyperbolic.training.arguments import TrainArguments


def ranking_measures(args: TrainArguments) -> dict[str, str]:
    """`{"children": measure, "parents": measure, "pairs": measure}` for a model trained with `args`.

    Pairs (does this contain that?) are always judged by beta, but of a model trained by cosine: whichever else ranks
    well may know no direction.
    """
    angle = "euclidean_beta" if args.geometry == "euclidean" else "beta"
    pairs = "cosine" if args.loss == "cosine" else angle
    return {**encoder.ranking_measures(asdict(args), args.geometry), "pairs": pairs}
