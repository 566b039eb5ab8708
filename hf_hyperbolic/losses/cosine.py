"""Cosine contrast on the same pairs: the baseline that knows similarity but no direction."""

import torch.nn.functional as F
from torch import Tensor

from hf_hyperbolic.lorentz import promote
from hf_hyperbolic.losses.info_nce import LossOutput, Positives, bidirectional_info_nce
from hf_hyperbolic.losses.similarity_masks import undirected
from hf_hyperbolic.losses.tiled import Masks, PairScores, tiled_info_nce

CITATION = """@inproceedings{khosla2020supervised,
  title = {Supervised Contrastive Learning},
  author = {Khosla, Prannay and Teterwak, Piotr and Wang, Chen and Sarna, Aaron and Tian, Yonglong and Isola, Phillip
            and Maschinot, Aaron and Liu, Ce and Krishnan, Dilip},
  booktitle = {NeurIPS},
  year = {2020},
}"""


def cosine_loss(
    embeds: Tensor,
    masks: Masks,
    temperature: Tensor | float,
    own_weight: float = 0.0,
    where: Positives = "outside",
    tile: int = 0,
    importance: Tensor | None = None,
) -> LossOutput:
    """Bidirectional multi-positive InfoNCE on cosine similarity, with the positives and negatives of `angle_loss`.

    Args:
        embeds: (N, D); only directions count.
        masks: relations among the N nodes.
        temperature: tau, positive.
        own_weight: see `bidirectional_info_nce`.
        where: the sum over positives stands; see `multi_positive_info_nce`.
        tile: rows of pairs at a time, so that no N x N matrix exists; 0 to keep the cosines of all for the backward
            pass, which is faster.
        importance: (N,), see `multi_positive_info_nce`; without a tile.
    """
    unit = F.normalize(promote(embeds)[0], dim=-1)

    if importance is not None:
        logits = unit @ unit.T / temperature
        return bidirectional_info_nce(logits, logits, undirected(masks.block()), own_weight, where, importance)

    def cosine(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> Tensor:
        return some[0] @ others[0].T

    return tiled_info_nce(PairScores((unit,), cosine, 1, "symmetric"), masks, temperature, own_weight, where, tile)
