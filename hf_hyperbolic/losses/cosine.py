"""Cosine contrast on the same pairs: the baseline that knows similarity but no direction."""

import torch.nn.functional as F
from torch import Tensor

from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, Positives, bidirectional_info_nce
from hf_hyperbolic.losses.similarity_masks import undirected

CITATION = """@inproceedings{khosla2020supervised,
  title = {Supervised Contrastive Learning},
  author = {Khosla, Prannay and Teterwak, Piotr and Wang, Chen and Sarna, Aaron and Tian, Yonglong and Isola, Phillip
            and Maschinot, Aaron and Liu, Ce and Krishnan, Dilip},
  booktitle = {NeurIPS},
  year = {2020},
}"""


def cosine_loss(
    embeds: Tensor,
    masks: PairMasks,
    temperature: Tensor | float,
    own_weight: float = 0.0,
    where: Positives = "outside",
) -> LossOutput:
    """Bidirectional multi-positive InfoNCE on cosine similarity, with the positives and negatives of `angle_loss`.

    Args:
        embeds: (N, D); only directions count.
        masks: relations among the N nodes.
        temperature: tau, positive.
        own_weight: see `bidirectional_info_nce`.
        where: the sum over positives stands; see `multi_positive_info_nce`.
    """
    unit = F.normalize(embeds.float(), dim=-1)
    logits = unit @ unit.T / temperature
    return bidirectional_info_nce(logits, logits, undirected(masks), own_weight, where)
