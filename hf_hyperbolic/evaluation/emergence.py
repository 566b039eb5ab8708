"""The section `tree` of a result: does the tree emerge in the space?

What it holds is documented where it is returned, in `evaluate.evaluate_per_query`.
"""

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.class_tree import class_entailment
from hf_hyperbolic.evaluation.containment_angle import fitted_angles
from hf_hyperbolic.evaluation.depth import depth_correlation
from hf_hyperbolic.evaluation.entailment import PairScorer
from hf_hyperbolic.evaluation.gromov import delta_beside_random
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer, is_hyperbolic
from hf_hyperbolic.evaluation.sections import Evaluation
from hf_hyperbolic.evaluation.tree_recovery import drawn_images, edge_f1, edge_f1_bounds, nearest_container

MAX_IMAGES = 200
# The figure to quote. Of the scores compared it recovers most of the tree (the table of the report holds them all).
MAIN_SCORE = "nearest_container"


def tree_scorers(
    embeds: torch.Tensor, hierarchy: Hierarchy, curvature: float | None, seed: int = 0
) -> dict[str, PairScorer]:
    """What ranks candidate edges: `nearest_container` first, then the same with a right angle for all, then measures.

    Args:
        embeds: (N, D) embeddings, one row a node.
        hierarchy: the split, on whose drawn images the angle that holds is fitted, for each half on the other.
        curvature: c of the hyperboloid; None or 0 for a Euclidean model, whose angles are Euclidean.
        seed: of the draw and of the halves.
    """
    names = ["beta", "alpha", "distance", "cosine"]
    if not is_hyperbolic(curvature):
        names = ["euclidean_beta", "euclidean_alpha", "cosine"]
    pairs: dict[str, PairScorer] = {name: EmbeddingScorer(embeds, name, curvature).pairs for name in names}
    beta, cosine = pairs[names[0]], pairs["cosine"]
    fitted = fitted_angles(beta, hierarchy, drawn_images(hierarchy, MAX_IMAGES, seed), seed)
    return {
        MAIN_SCORE: nearest_container(beta, cosine, fitted),
        "obtuse_container": nearest_container(beta, cosine),
    } | pairs


def add_emergence(run: Evaluation, embeds: torch.Tensor, curvature: float | None) -> None:
    """`tree`."""
    hierarchy, seed, resamples = run.hierarchy, run.seed, run.settings.resamples
    chance, best = edge_f1_bounds(hierarchy, MAX_IMAGES, seed)
    values = {
        name: {"edge_f1": edge_f1(hierarchy, scorer, MAX_IMAGES, seed)}
        for name, scorer in tree_scorers(embeds, hierarchy, curvature, seed).items()
    }
    values["star"] = {"edge_f1": edge_f1(hierarchy, None, MAX_IMAGES, seed)}
    drawn = ~np.isnan(best)
    bounds = [{"edge_f1": float(level[drawn].mean())} if drawn.any() else {} for level in (chance, best)]
    figures = run.mean_figures(values, bounds[0], bounds[1])
    norms = embeds.norm(dim=1).double().cpu().numpy()
    active = torch.from_numpy(np.flatnonzero(hierarchy.active())).to(embeds.device)
    classes = class_entailment(embeds, hierarchy, curvature, seed)
    if classes is None:
        run.results["notes"].append("tree: no box lies in a box of another class, so there is no tree of classes")
    if not drawn.any():
        run.results["notes"].append("tree: no image has two boxes, so there is no tree of an image to recover")
    run.results["tree"] = {
        "score": MAIN_SCORE,
        "images": int(drawn.sum()),
        "edge_f1": {name: entries["edge_f1"] for name, entries in figures.items()},
        "depth": {
            name: depth_correlation(norms, hierarchy, name == "boxes", resamples=min(500, resamples), seed=seed)
            for name in ("all", "boxes")
        },
        "classes": classes,
        "gromov": delta_beside_random(embeds[active].double().cpu().numpy(), curvature, seed=seed),
    }
    run.keep("tree", values)
