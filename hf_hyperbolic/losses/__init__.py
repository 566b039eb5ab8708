"""Losses over a batch of embeddings and the relations among them."""

from hf_hyperbolic.losses.angle import angle_loss
from hf_hyperbolic.losses.captions import caption_loss
from hf_hyperbolic.losses.class_balance import inverse_prevalence
from hf_hyperbolic.losses.class_proxies import proxy_loss
from hf_hyperbolic.losses.cosine import cosine_loss
from hf_hyperbolic.losses.distance import distance_loss
from hf_hyperbolic.losses.entailment_cone import cone_loss, half_aperture
from hf_hyperbolic.losses.hcl import hcl_loss
from hf_hyperbolic.losses.info_nce import LossOutput, PairMasks, bidirectional_info_nce, multi_positive_info_nce
from hf_hyperbolic.losses.names import name_loss
from hf_hyperbolic.losses.nt_xent import nt_xent_loss
from hf_hyperbolic.losses.radial_order import radial_order_loss
from hf_hyperbolic.losses.single_positive import single_positive_angle_loss
from hf_hyperbolic.losses.tiled import Masks, TiledMasks
from hf_hyperbolic.losses.uniformity import uniformity_loss
from hf_hyperbolic.losses.vicreg import vicreg_loss

__all__ = [
    "LossOutput",
    "Masks",
    "PairMasks",
    "TiledMasks",
    "angle_loss",
    "bidirectional_info_nce",
    "caption_loss",
    "cone_loss",
    "cosine_loss",
    "distance_loss",
    "half_aperture",
    "hcl_loss",
    "inverse_prevalence",
    "multi_positive_info_nce",
    "name_loss",
    "nt_xent_loss",
    "proxy_loss",
    "radial_order_loss",
    "single_positive_angle_loss",
    "uniformity_loss",
    "vicreg_loss",
]
