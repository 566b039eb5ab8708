"""Hierarchical image retrieval in hyperbolic space: what is this a part of, and what is inside this?"""

from transformers import AutoConfig, AutoModel

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPVisionConfig
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel, HyperbolicCLIPVisionOutput

__version__ = "0.1.0"

__all__ = [
    "HyperbolicCLIPVisionConfig",
    "HyperbolicCLIPVisionModel",
    "HyperbolicCLIPVisionOutput",
    "euclidean",
    "lorentz",
    "make_image_processor",
]

AutoConfig.register(HyperbolicCLIPVisionConfig.model_type, HyperbolicCLIPVisionConfig)
AutoModel.register(HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel)
# save_pretrained then copies the code beside the weights, for `AutoModel.from_pretrained(..., trust_remote_code=True)`
HyperbolicCLIPVisionConfig.register_for_auto_class()
HyperbolicCLIPVisionModel.register_for_auto_class("AutoModel")
