"""HCL: Euclidean contrast, and a little contrast on hyperbolic distance between scenes and their objects."""

from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.losses.cosine import cosine_loss
from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, multi_positive_info_nce
from hf_hyperbolic.losses.similarity_masks import undirected

CITATION = """@inproceedings{ge2023hyperbolic,
  title = {Hyperbolic Contrastive Learning for Visual Representations beyond Objects},
  author = {Ge, Songwei and Mishra, Shlok and Kornblith, Simon and Li, Chun-Liang and Jacobs, David},
  booktitle = {CVPR},
  year = {2023},
}"""

# as published
HYPERBOLIC_WEIGHT = 0.1
TEMPERATURE = 0.2


def hcl_loss(
    embeds: Tensor,
    masks: PairMasks,
    curvature: Tensor | float,
    temperature: Tensor | float = TEMPERATURE,
    hyperbolic_weight: float = HYPERBOLIC_WEIGHT,
    own_weight: float = 0.0,
) -> LossOutput:
    """Cosine contrast plus `hyperbolic_weight` times InfoNCE on minus the hyperbolic distance.

    The hyperbolic term looks one way only: a region is the row, the objects in it are its positives, and objects it
    does not hold are the negatives, scenes being neither (Ge et al. 2023, equation 3). HCL's hierarchy is the other
    way round than ours, the object the root and the scene its descendant; no term says so, the distance being
    symmetric: an object lies near the origin where it has to be near many scenes. Distances in the Poincare ball are
    those on the hyperboloid.

    HCL's Euclidean contrast is between two views of one object, which the batches here do not hold; it is taken on the
    pairs that every system is given, so that all see the same data. The published temperature is fixed at 0.2;
    training here starts there and learns it, as of every system. Embeddings are not clipped to a ball of fixed radius:
    on the hyperboloid nothing overflows.

    Args:
        embeds: (N, D) space components.
        masks: relations among the N nodes, row the region and column the object in it; the hyperbolic term uses pairs
            of one image.
        curvature: c of the hyperboloid of curvature -c.
        temperature: tau of both terms, positive.
        hyperbolic_weight: weight of the hyperbolic term.
        own_weight: of the cosine contrast; see `bidirectional_info_nce`.

    Returns:
        `loss` holds both terms, `parent_to_child` and `child_to_parent` those of the cosine contrast.
    """
    contrast = cosine_loss(embeds, masks, temperature, own_weight)
    logits = -lorentz.pairwise_distance(embeds, embeds, curvature) / temperature
    # a node that nothing in the batch holds is a full scene
    objects = (masks.own | masks.cross).any(0)
    left_out = undirected(masks).ignored | masks.cross | ~objects
    hyperbolic = multi_positive_info_nce(logits, masks.own, ~left_out)
    return LossOutput(
        loss=contrast.loss + hyperbolic_weight * hyperbolic,
        parent_to_child=contrast.parent_to_child,
        child_to_parent=contrast.child_to_parent,
    )
