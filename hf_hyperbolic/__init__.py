"""Hierarchical image retrieval in hyperbolic space: what is this a part of, and what is inside this?"""

import sys
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from hf_hyperbolic.metric_names import register_metric

if TYPE_CHECKING:
    from hf_hyperbolic import euclidean, lorentz
    from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
    from hf_hyperbolic.encoder import ImageEncoder
    from hf_hyperbolic.image_processing import make_image_processor
    from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel, HyperbolicCLIPVisionOutput
    from hf_hyperbolic.modeling_hyperbolic_clip_text import HyperbolicCLIPModel, HyperbolicCLIPOutput

__version__ = "0.1.0"

__all__ = [
    "HyperbolicCLIPConfig",
    "HyperbolicCLIPModel",
    "HyperbolicCLIPOutput",
    "HyperbolicCLIPVisionConfig",
    "HyperbolicCLIPVisionModel",
    "HyperbolicCLIPVisionOutput",
    "ImageEncoder",
    "euclidean",
    "lorentz",
    "make_image_processor",
]


def _load() -> None:
    """Imports all that is exported, and makes the model known to AutoConfig and AutoModel."""
    from transformers import AutoConfig, AutoModel

    from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
    from hf_hyperbolic.encoder import ImageEncoder
    from hf_hyperbolic.image_processing import make_image_processor
    from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel, HyperbolicCLIPVisionOutput
    from hf_hyperbolic.modeling_hyperbolic_clip_text import HyperbolicCLIPModel, HyperbolicCLIPOutput

    globals().update(
        HyperbolicCLIPConfig=HyperbolicCLIPConfig,
        HyperbolicCLIPModel=HyperbolicCLIPModel,
        HyperbolicCLIPOutput=HyperbolicCLIPOutput,
        HyperbolicCLIPVisionConfig=HyperbolicCLIPVisionConfig,
        HyperbolicCLIPVisionModel=HyperbolicCLIPVisionModel,
        HyperbolicCLIPVisionOutput=HyperbolicCLIPVisionOutput,
        ImageEncoder=ImageEncoder,
        make_image_processor=make_image_processor,
        euclidean=import_module("hf_hyperbolic.euclidean"),
        lorentz=import_module("hf_hyperbolic.lorentz"),
    )
    for config, model in (
        (HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel),
        (HyperbolicCLIPConfig, HyperbolicCLIPModel),
    ):
        AutoConfig.register(config.model_type, config)
        AutoModel.register(config, model)
        # save_pretrained then copies the code beside the weights: AutoModel.from_pretrained(trust_remote_code=True)
        config.register_for_auto_class()
        model.register_for_auto_class("AutoModel")


def _is_command_line() -> bool:
    """Whether this process is `hf-hyperbolic` or `python -m hf_hyperbolic`, whose commands mostly need no model."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # what it is called until the module has been found
        return sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] == ["hf_hyperbolic"]
    return PurePath(program).stem == "hf-hyperbolic"


def __getattr__(name: str) -> Any:
    if name in __all__:
        _load()
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_metric()
# AutoModel must know the model as soon as this package is imported, and to tell it takes importing transformers and
# torch, many times as long as anything else here: the command line waits until a command asks for the model
if not _is_command_line():
    _load()
