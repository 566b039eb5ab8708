"""Entailment cones: a hinge that is satisfied once the child lies in its parent's cone, beside contrast on distance."""

import torch
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.losses.distance import distance_loss
from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks

MERU_CITATION = """@inproceedings{desai2023hyperbolic,
  title = {Hyperbolic Image-Text Representations},
  author = {Desai, Karan and Nickel, Maximilian and Rajpurohit, Tanmay and Johnson, Justin and Vedantam, Ramakrishna},
  booktitle = {ICML},
  year = {2023},
}"""
HYCOCLIP_CITATION = """@inproceedings{palpelai2025compositional,
  title = {Compositional Entailment Learning for Hyperbolic Vision-Language Models},
  author = {Pal, Avik and van Spengler, Max and D'Amely di Melendugno, Guido Maria and Flaborea, Alessandro and
            Galasso, Fabio and Mettes, Pascal},
  booktitle = {ICLR},
  year = {2025},
}"""

MIN_RADIUS = 0.1  # K: within |x| < 2 K / sqrt(c) a cone is a half space
ENTAILMENT_WEIGHT = 0.2  # MERU
HYCOCLIP_APERTURE_SCALE = 1.2  # of pairs of one modality
HYCOCLIP_ENTAILMENT_WEIGHT = 0.1  # of pairs of images: half of 0.2


def half_aperture(x: Tensor, curvature: Tensor | float, min_radius: float = MIN_RADIUS) -> Tensor:
    """Half the opening of the entailment cone at a point: wide near the origin, narrow far out.

    `asin(2 K / (sqrt(c) |x|))` (Ganea et al. 2018; Desai et al. 2023, equation 5), pi / 2 where the ratio exceeds 1.

    Args:
        x: (..., D) space components.
        curvature: c > 0 of the space of curvature -c.
        min_radius: K.

    Returns:
        (...) radians in (0, pi / 2]; the gradient is zero where it is pi / 2.
    """
    (x,) = lorentz.promote(x)
    root_c = torch.as_tensor(curvature, dtype=x.dtype, device=x.device).sqrt()
    ratio = 2 * min_radius / (root_c * lorentz.norm(x).squeeze(-1)).clamp(min=lorentz.MIN_NORM)
    # asin has an infinite slope at 1
    within = ratio < 1 - 1e-6
    return torch.where(within, ratio.where(within, ratio.new_zeros(())).asin(), torch.pi / 2)


def cone_loss(
    embeds: Tensor,
    masks: PairMasks,
    curvature: Tensor | float,
    temperature: Tensor | float,
    entailment_weight: float = ENTAILMENT_WEIGHT,
    aperture_scale: float = 1.0,
    part_is_parent: bool = False,
    own_weight: float = 0.0,
) -> LossOutput:
    """Contrast on distance plus `entailment_weight` times `max(0, ext(x, y) - aperture_scale * half_aperture(x))`.

    The hinge is averaged over all entailment pairs (x the more general, y the more particular). MERU's pairs are text
    and image; here they are those of the hierarchy, the scene being the more general. HyCoCLIP takes a box to be more
    general than the image it was cut from, the other way round: that is `part_is_parent=True` with
    `HYCOCLIP_APERTURE_SCALE` and `HYCOCLIP_ENTAILMENT_WEIGHT`.

    Args:
        embeds: (N, D) space components.
        masks: relations among the N nodes, row the whole.
        curvature: c of the hyperboloid of curvature -c.
        temperature: tau of the contrast, positive.
        entailment_weight: weight of the hinge.
        aperture_scale: factor on the half aperture; a larger one asks for less.
        part_is_parent: cones open from the part to the whole.
        own_weight: of the contrast; see `bidirectional_info_nce`.

    Returns:
        `loss` holds both terms, `parent_to_child` and `child_to_parent` those of the contrast.
    """
    contrast = distance_loss(embeds, masks, curvature, temperature, own_weight)
    whole, part = (masks.own | masks.cross).nonzero(as_tuple=True)
    apex, other = (part, whole) if part_is_parent else (whole, part)
    outside = lorentz.exterior_angle(embeds[apex], embeds[other], curvature)
    outside = outside - aperture_scale * half_aperture(embeds, curvature)[apex]
    hinge = outside.clamp(min=0).sum() / max(1, len(apex))
    return LossOutput(
        loss=contrast.loss + entailment_weight * hinge,
        parent_to_child=contrast.parent_to_child,
        child_to_parent=contrast.child_to_parent,
    )
