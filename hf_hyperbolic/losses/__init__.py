"""Losses over a batch of embeddings and the relations among them."""

from hf_hyperbolic.losses.angle import angle_loss
from hf_hyperbolic.losses.cosine import cosine_loss
from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, bidirectional_info_nce, multi_positive_info_nce

__all__ = [
    "LossOutput",
    "PairMasks",
    "angle_loss",
    "bidirectional_info_nce",
    "cosine_loss",
    "multi_positive_info_nce",
]
