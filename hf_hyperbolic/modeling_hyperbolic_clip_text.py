"""The hyperbolic image encoder with a text tower in the same space. Travels with a checkpoint, beside its siblings."""

import copy
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import can_return_tuple

from .configuration_hyperbolic_clip import HyperbolicCLIPConfig
from .lorentz import promote
from .modeling_hyperbolic_clip import (
    HyperbolicCLIPVisionModel,
    HyperbolicCLIPVisionOutput,
    make_projection,
    make_tangent_norm,
)
from .vision_backbone import HUB_ARGUMENTS, align_weights, floating_dtype

# names of weights that belong to the text tower: all others are those of the image encoder, and named as its own
TEXT_WEIGHTS = ("text_", "log_text_alpha")


@dataclass
class HyperbolicCLIPOutput(HyperbolicCLIPVisionOutput):
    """What a `HyperbolicCLIPModel` returns: of the images what the image encoder does, None where none were given.

    Args:
        text_embeds: (T, D) points of the same space, of the texts; None where none were given. float32 as `embeds`.
        text_tangent: (T, D) tangent vectors at the origin, of which `text_embeds` is the exponential map.
    """

    text_embeds: Tensor | None = None
    text_tangent: Tensor | None = None


class HyperbolicCLIPModel(HyperbolicCLIPVisionModel):
    """The image encoder and a text tower: `text_embeds = exp_map0(text_alpha * text_projection(features), c)`.

    Both towers share the curvature and what bounds the radius; projection and alpha each has its own, as in MERU (Desai
    et al. 2023). Of images alone it gives what the image encoder gives, whose weights it has under their own names.
    """

    config: HyperbolicCLIPConfig
    config_class = HyperbolicCLIPConfig
    input_modalities = ["image", "text"]  # noqa: RUF012
    _keep_in_fp32_modules_strict = [  # noqa: RUF012
        *HyperbolicCLIPVisionModel._keep_in_fp32_modules_strict,
        "log_text_alpha",
        "text_tangent_norm",
    ]
    _keys_to_ignore_on_load_unexpected = None

    log_text_alpha: Tensor

    def __init__(self, config: HyperbolicCLIPConfig) -> None:
        super().__init__(config)
        self.text_backbone = AutoModel.from_config(config.text_config, dtype=torch.get_default_dtype())
        if getattr(self.text_backbone, "main_input_name", None) != "input_ids":
            raise ValueError(f"text_config is of {type(self.text_backbone).__name__}, which takes no text")
        self.text_projection = make_projection(config.text_feature_dim, config.projection_dim, config.projection_layers)
        self.text_tangent_norm = make_tangent_norm(config)
        self.log_text_alpha = nn.Parameter(torch.zeros((), dtype=torch.float32))
        # the image encoder's constructor has marked the model as initialised, and would leave out what came after
        self._is_hf_initialized = False
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self and hasattr(self, "log_text_alpha"):  # the image encoder's part is made first
            init.constant_(self.log_text_alpha, math.log(self.config.initial_text_alpha))

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> HyperbolicCLIPOutput:
        """Embeds a batch of images, of texts, or one of each; they need not be as many.

        Args:
            pixel_values: (B, 3, H, W), normalised as the image processor does.
            input_ids: (T, L) int64, as the tokenizer makes them.
            attention_mask: (T, L), 1 at tokens and 0 at what fills up.
            **kwargs: passed to the image backbone.

        Returns:
            The output dataclass, or with `return_dict=False` the tuple of its fields that are not None.

        Raises:
            ValueError: there are neither images nor texts.
        """
        if pixel_values is None and input_ids is None:
            raise ValueError("give pixel_values, input_ids or both: there is nothing to embed")
        found: dict[str, Any] = {}
        if pixel_values is not None:
            found |= super().forward(pixel_values, return_dict=True, **kwargs)
        if input_ids is not None:
            found["text_embeds"], found["text_tangent"] = self._embed_text(input_ids, attention_mask)
        return HyperbolicCLIPOutput(**found)

    def get_image_embeds(self, pixel_values: Tensor, **kwargs: Any) -> Tensor:
        """(B, 3, H, W) normalised pixels -> (B, D) points of the space, float32."""
        embeds = self(pixel_values=pixel_values, return_dict=True, **kwargs).embeds
        assert isinstance(embeds, Tensor)
        return embeds

    def get_text_embeds(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(T, L) tokens -> (T, D) points of the space, float32."""
        return self._embed_text(input_ids, attention_mask)[0]

    def _embed_text(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        outputs = self.text_backbone(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        features = pool_text(outputs, attention_mask)
        projected = self.text_projection(features.to(floating_dtype(self.text_projection)))
        return self._lift(projected, self.text_tangent_norm, promote(self.log_text_alpha)[0].exp())

    @property
    def text_alpha(self) -> Tensor:
        """0-d float tensor, the factor on the tangent vectors of texts."""
        return promote(self.log_text_alpha)[0].exp()

    def text_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the text tower by name: what is trained where the image encoder stays as it is."""
        return {name: value for name, value in self.named_parameters() if name.startswith(TEXT_WEIGHTS)}

    @classmethod
    def from_backbone_pretrained(cls, name_or_path: str | os.PathLike, *_: Any, **__: Any) -> "HyperbolicCLIPModel":
        """A model of another kind has no text tower of this space.

        Raises:
            ValueError: always; the message says how a text tower is added.
        """
        raise ValueError(
            f"{name_or_path} holds no {cls.__name__}: load its image encoder by HyperbolicCLIPVisionModel and add a "
            "text tower by HyperbolicCLIPModel.from_image_model, or train one by training/add_text.py"
        )

    @classmethod
    def from_image_model(
        cls,
        image_model: HyperbolicCLIPVisionModel,
        text: PreTrainedModel | PreTrainedConfig,
        text_alpha_init: float | None = None,
    ) -> "HyperbolicCLIPModel":
        """A trained image encoder with a text tower beside it, whose projection is new.

        Args:
            image_model: its weights are copied.
            text: a text encoder, which becomes part of the model, or the configuration of one to start from scratch.
            text_alpha_init: see `HyperbolicCLIPConfig`.

        Returns:
            The model in evaluation mode: of images it gives what `image_model` gives.
        """
        settings = image_model.config.to_dict()
        for name in ("model_type", "architectures", "auto_map", "text_config", "text_alpha_init"):
            settings.pop(name, None)
        text_config = copy.deepcopy(text.config if isinstance(text, PreTrainedModel) else text)
        config = cls.config_class(text_config=text_config, text_alpha_init=text_alpha_init, **settings)
        model = cls._from_config(config, dtype=image_model.dtype)
        nn.Module.to(model, image_model.device)
        missing, unexpected = model.load_state_dict(_image_weights(image_model), strict=False)
        assert not unexpected, unexpected
        assert all(name.startswith(TEXT_WEIGHTS) for name in missing), missing
        if isinstance(text, PreTrainedModel):
            nn.Module.to(text, image_model.device)
            model.text_backbone = text
            model.config.text_config = text.config
        return model.eval()


def _image_weights(model: HyperbolicCLIPVisionModel) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if not name.startswith(TEXT_WEIGHTS)}


def pool_text(outputs: Any, attention_mask: Tensor | None) -> Tensor:
    """One feature vector a text from a text encoder's output.

    Args:
        outputs: with `pooler_output` (T, F), as CLIP gives (the end-of-text token after the last layer norm); without
            it, `last_hidden_state` (T, L, F) is averaged over tokens.
        attention_mask: (T, L), what to average over; None for all tokens.

    Returns:
        (T, F) features.
    """
    pooled = getattr(outputs, "pooler_output", None)
    if pooled is not None:
        return pooled
    hidden = outputs.last_hidden_state
    if attention_mask is None:
        return hidden.mean(1)
    mask = attention_mask.to(hidden.dtype)[..., None]
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def load_text_backbone(name_or_path: str | os.PathLike[str], **kwargs: Any) -> PreTrainedModel:
    """Loads the text encoder, or the text tower of a two-tower model, from a checkpoint.

    Args:
        name_or_path: folder or Hub name.
        **kwargs: passed to `AutoModel.from_pretrained`.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ValueError: most of its weights are not in the checkpoint, or it takes no text.
    """
    hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
    config = AutoConfig.from_pretrained(name_or_path, **hub)
    config = getattr(config, "text_config", config)
    backbone, info = AutoModel.from_pretrained(name_or_path, config=config, output_loading_info=True, **kwargs)
    missing, expected = len(info["missing_keys"]), len(backbone.state_dict())
    if getattr(backbone, "main_input_name", None) != "input_ids" or missing > expected / 2:
        raise ValueError(f"{name_or_path} holds no text encoder: give a checkpoint of CLIP, BERT or the like")
    return align_weights(backbone)
