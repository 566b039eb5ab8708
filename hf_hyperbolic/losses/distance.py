"""Contrast on hyperbolic distance: what MERU and HyCoCLIP put beside their entailment cones."""

from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, bidirectional_info_nce
from hf_hyperbolic.losses.similarity_masks import undirected


def distance_loss(
    embeds: Tensor, masks: PairMasks, curvature: Tensor | float, temperature: Tensor | float, own_weight: float = 0.0
) -> LossOutput:
    """Bidirectional multi-positive InfoNCE on minus the hyperbolic distance, with the pairs of `angle_loss`.

    Args:
        embeds: (N, D) space components.
        masks: relations among the N nodes.
        curvature: c of the hyperboloid of curvature -c.
        temperature: tau, positive.
        own_weight: see `bidirectional_info_nce`.
    """
    logits = -lorentz.pairwise_distance(embeds, embeds, curvature) / temperature
    return bidirectional_info_nce(logits, logits, undirected(masks), own_weight)
