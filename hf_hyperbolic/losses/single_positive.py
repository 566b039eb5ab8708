"""The angle loss with one positive a row, as between an image and its caption."""

import torch
from torch import Tensor

from hf_hyperbolic.losses.angle import angle_loss
from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks

CITATION = """@inproceedings{ramasinghe2024accept,
  title = {Accept the Modality Gap: An Exploration in the Hyperbolic Space},
  author = {Ramasinghe, Sameera and Shevchenko, Violetta and Avraham, Gil and Thalaiyasingam, Ajanthan},
  booktitle = {CVPR},
  year = {2024},
}"""


def one_a_row(positives: Tensor) -> Tensor:
    """Keeps one positive of each row: the r-th of n in row r, counted round.

    Which one that is depends on where a node happens to stand in its batch, so over many batches all are taken alike.

    Args:
        positives: (N, M) bool.

    Returns:
        (N, M) bool with at most one True a row.
    """
    count = positives.sum(1)
    rows = torch.arange(len(positives), device=positives.device)
    wanted = rows % count.clamp(min=1)
    return positives & (positives.cumsum(1) - 1 == wanted[:, None])


def single_positive_angle_loss(
    embeds: Tensor,
    masks: PairMasks,
    curvature: Tensor | float,
    temperature: Tensor | float,
    geometry: str = "lorentz",
) -> LossOutput:
    """InfoNCE on exterior angles in both directions, each row with a single positive of its own image.

    The loss of ACCEPT (Ramasinghe et al. 2024), whose pairs are captions and images: parent rows look at minus the
    exterior angle at the parent, child rows at the exterior angle at the child. It knows of no other relatives. Those
    of the row's own image are left out of its softmax (its batches would not hold them); those of other images are
    negatives, as they are there. Its centroid term is not part of it: its weight is not published.

    Args:
        embeds: (N, D) space components.
        masks: relations among the N nodes, row the parent.
        curvature: c of the hyperboloid of curvature -c; not used when `geometry` is `"euclidean"`.
        temperature: tau, positive.
        geometry: `"lorentz"`, or `"euclidean"` for the limit c -> 0.
    """
    down, up = one_a_row(masks.own), one_a_row(masks.own.T)
    # a pair is kept for both of its rows or for one: each direction has masks of its own
    none = torch.zeros_like(masks.cross)
    ignored = masks.ignored | masks.own
    loss_down = angle_loss(embeds, PairMasks(down, none, ignored & ~down), curvature, temperature, geometry)
    loss_up = angle_loss(embeds, PairMasks(up.T, none, ignored & ~up.T), curvature, temperature, geometry)
    return LossOutput(
        loss=loss_down.parent_to_child + loss_up.child_to_parent,
        parent_to_child=loss_down.parent_to_child,
        child_to_parent=loss_up.child_to_parent,
    )
