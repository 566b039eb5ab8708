"""By what score a trained system ranks, in each direction."""


def ranking_measures(loss: str, geometry: str) -> dict[str, str]:
    """Direction -> measure for a model trained with `loss` in `geometry`."""
    if loss == "cosine":
        return {"children": "cosine", "parents": "cosine"}
    prefix = "euclidean_" if geometry == "euclidean" else ""
    return {"children": f"{prefix}beta", "parents": f"{prefix}alpha"}
