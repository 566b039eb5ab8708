"""By what score a trained system ranks, in each direction."""

from hf_hyperbolic.training.arguments import TrainArguments


def ranking_measures(args: TrainArguments) -> dict[str, str]:
    """`{"children": measure, "parents": measure, "pairs": measure}` for a model trained with `args`.

    Angle models rank by beta, the angle at the parent, in both directions where `args` do not name another measure:
    alpha, the angle at the child, tends to pi for every item near the origin, and these then come back for every child.
    Pairs (does this contain that?) are always judged by beta: whichever else ranks well may know no direction.
    """
    angle = "euclidean_beta" if args.geometry == "euclidean" else "beta"
    # a contrast ranks by what it contrasts; HyCoCLIP's cones open from part to whole, and HCL has none
    default = {"cosine": "cosine", "hcl": "distance", "meru": "distance", "hycoclip": "distance"}.get(args.loss, angle)
    return {
        "children": args.children_measure or default,
        "parents": args.parents_measure or default,
        "pairs": "cosine" if args.loss == "cosine" else angle,
    }
