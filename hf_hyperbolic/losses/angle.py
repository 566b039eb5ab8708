"""The bidirectional angle loss: a parent's cone holds its children, a child looks away from the origin."""

from typing import Literal

from torch import Tensor

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.losses.info_nce import LossOutput, Positives, bidirectional_info_nce
from hf_hyperbolic.losses.tiled import Masks, PairScores, tiled_info_nce
from hf_hyperbolic.pairwise_angle import AngleFactors, angle_of_factors

# the angle that child -> parent maximises, at the child or at the parent
UpwardAngle = Literal["alpha", "beta"]

CITATION = """@inproceedings{wang2025learning,
  title = {Learning Visual Hierarchies in Hyperbolic Space for Image Retrieval},
  author = {Wang, Ziwei and Ramasinghe, Sameera and Xu, Chenchen and Monteil, Julien and Bazzani, Loris and
            Ajanthan, Thalaiyasingam},
  booktitle = {ICCV},
  year = {2025},
}"""


def angle_loss(
    embeds: Tensor,
    masks: Masks,
    curvature: Tensor | float,
    temperature: Tensor | float,
    geometry: str = "lorentz",
    own_weight: float = 0.0,
    where: Positives = "outside",
    upward: UpwardAngle = "alpha",
    tile: int = 0,
    importance: Tensor | None = None,
) -> LossOutput:
    """Bidirectional multi-positive InfoNCE on exterior angles.

    For a parent x and a child y, parent -> child maximises `beta(x, y) = pi - ext(x, y)`, the angle at the parent, and
    child -> parent maximises `alpha(y, x) = ext(y, x)`, the exterior angle at the child. Both stand in one matrix.

    The paper (arXiv 2411.17490) does not publish its exact multi-positive form or its negatives; means over positives
    outside the logarithm, and every known relative either a positive or masked, are our reading.

    Args:
        embeds: (N, D) space components.
        masks: relations among the N nodes.
        curvature: c of the hyperboloid of curvature -c; not used when `geometry` is `"euclidean"`.
        temperature: tau, positive.
        geometry: `"lorentz"`, or `"euclidean"` for the limit c -> 0.
        own_weight: see `bidirectional_info_nce`.
        where: the sum over positives stands; see `multi_positive_info_nce`.
        upward: the angle that child -> parent maximises. The paper's `alpha`, at the child, grows with whatever lies
            nearer the origin; `beta`, at the parent, is the one that ranks well in both directions (docs/recipe.md).
        tile: rows of pairs at a time, so that no N x N matrix exists; 0 to keep the angles of all for the backward
            pass, which is faster.
        importance: (N,), see `multi_positive_info_nce`; without a tile.
    """
    if geometry not in ("lorentz", "euclidean"):
        raise ValueError(f"geometry must be 'lorentz' or 'euclidean', got {geometry!r}")
    space = lorentz if geometry == "lorentz" else euclidean

    factors = space.angle_factors(embeds, curvature)
    if importance is not None:
        # `pi - ext` and `- ext` have one softmax
        down = -angle_of_factors(factors, factors) / temperature
        up = -down if upward == "alpha" else down.T
        return bidirectional_info_nce(down, up, masks.block(), own_weight, where, importance)

    def exterior(apexes: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> Tensor:
        return angle_of_factors(AngleFactors(*apexes), AngleFactors(*others))

    scores = PairScores(tuple(factors), exterior, -1, "reverse" if upward == "alpha" else "same")
    return tiled_info_nce(scores, masks, temperature, own_weight, where, tile)
