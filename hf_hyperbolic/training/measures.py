"""By what score a trained system ranks, in each direction."""


def ranking_measures(loss: str, geometry: str) -> dict[str, str]:
    """Direction -> measure for a model trained with `loss` in `geometry`.

    Angle models rank by beta, the angle at the parent, in both directions: alpha, the angle at the child, tends to pi
    for every item near the origin, and these then come back for every child.
    """
    if loss == "cosine":
        return {"children": "cosine", "parents": "cosine"}
    beta = "euclidean_beta" if geometry == "euclidean" else "beta"
    return {"children": beta, "parents": beta}
