"""The hyperbolic image encoder. Travels with a checkpoint: it imports flat siblings only, and relatively."""

import copy
import inspect
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
from .euclidean import exp_map0 as euclidean_exp_map0
from .euclidean import radius as euclidean_radius
from .lorentz import exp_map0 as lorentz_exp_map0
from .lorentz import norm, promote
from .lorentz import radius as lorentz_radius
from .vision_backbone import HUB_ARGUMENTS, align_weights, floating_dtype, load_backbone, model_type, pool

HEAD_FIELDS = tuple(
    name
    for name in inspect.signature(HyperbolicCLIPVisionConfig.__init__).parameters
    if name not in ("self", "backbone_config", "kwargs")
)


@dataclass
class HyperbolicCLIPVisionOutput(ModelOutput):
    """What a `HyperbolicCLIPVisionModel` returns.

    Args:
        embeds: (B, D) space components of points on the hyperboloid of curvature -c, or points of Euclidean space.
            float32 whatever the backbone's precision (float64 if the model is float64).
        tangent: (B, D) tangent vectors at the origin, of which `embeds` is the exponential map; same dtype.
        pooler_output: (B, F) the backbone's pooled feature.
        last_hidden_state: (B, T, F) or (B, F, h, w), the backbone's.
        hidden_states: one tensor a layer, with `output_hidden_states=True`.
        attentions: (B, heads, T, T) a layer, with `output_attentions=True`, where the backbone has them.
    """

    embeds: Tensor | None = None
    tangent: Tensor | None = None
    pooler_output: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class HyperbolicCLIPVisionModel(PreTrainedModel):
    """A vision backbone, a projection, and a lift onto the hyperboloid by the exponential map at the origin.

    `embeds = exp_map0(alpha * projection(features), c)` as in MERU (Desai et al. 2023). The scalars are parameters in
    log space, float32 in every precision, bounded where they are used: the parameter itself is left alone. Beyond its
    bound it still receives its gradient, so that it can come back; `clamp_scalars_` after an optimiser's step keeps it
    from drifting further out. The temperature belongs to the loss and is kept here to be saved with the model.

    With `num_proxies` it holds as many points beside, one a class: `proxy_embeds` gives them, the names are in the
    configuration's `id2label`. A class can then be asked for as an image can.

    With `learn_curvature=False` or `geometry="euclidean"`, `log_curvature` is a buffer of the same name.
    """

    config: HyperbolicCLIPVisionConfig
    config_class: type[HyperbolicCLIPVisionConfig] = HyperbolicCLIPVisionConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ["image"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = ["log_curvature", "log_alpha", "log_temperature", "tangent_norm", "class_proxies"]  # noqa: RUF012

    # of a checkpoint with a text tower, where the image encoder alone is asked for
    _keys_to_ignore_on_load_unexpected: list[str] | None = [r"^text_", r"^log_text_alpha$"]  # noqa: RUF012

    log_curvature: Tensor
    log_alpha: Tensor
    log_temperature: Tensor
    class_proxies: Tensor

    def __init__(self, config: HyperbolicCLIPVisionConfig) -> None:
        config.validate_head()
        super().__init__(config)
        # the head's dtype is the default one: a dtype left in a saved backbone_config must not make the two differ
        self.backbone = AutoModel.from_config(config.backbone_config, dtype=torch.get_default_dtype())
        if getattr(self.backbone, "main_input_name", None) != "pixel_values":
            raise ValueError(f"backbone_config is of {type(self.backbone).__name__}, which takes no images")
        self.projection = make_projection(config.feature_dim, config.projection_dim, config.projection_layers)
        self.tangent_norm = make_tangent_norm(config)
        # their values come from _init_weights: this may run on the meta device
        log_curvature = torch.zeros((), dtype=torch.float32)
        if self.learns_curvature:
            self.log_curvature = nn.Parameter(log_curvature)
        else:
            self.register_buffer("log_curvature", log_curvature)
        self.log_alpha = nn.Parameter(torch.zeros((), dtype=torch.float32))
        self.log_temperature = nn.Parameter(torch.zeros((), dtype=torch.float32))
        if config.num_proxies:
            shape = (config.num_proxies, config.projection_dim)
            self.class_proxies = nn.Parameter(torch.zeros(shape, dtype=torch.float32))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.constant_(self.log_curvature, math.log(self.config.curvature_init))
            init.constant_(self.log_alpha, math.log(self.config.initial_alpha))
            init.constant_(self.log_temperature, math.log(self.config.temperature_init))
            if self.config.num_proxies:
                init.normal_(self.class_proxies, std=self.config.projection_dim**-0.5)  # radius about 1
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(self, pixel_values: Tensor, **kwargs: Any) -> HyperbolicCLIPVisionOutput:
        """Embeds a batch of images.

        Args:
            pixel_values: (B, 3, H, W), normalised as the image processor does.
            **kwargs: passed to the backbone, e.g. `output_hidden_states`, `interpolate_pos_encoding`.

        Returns:
            The output dataclass, or with `return_dict=False` the tuple of its fields that are not None.
        """
        outputs = self.backbone(pixel_values.to(self.dtype), return_dict=True, **kwargs)
        features = pool(outputs)
        if features.shape[-1] != self.config.feature_dim:
            raise ValueError(
                f"{type(self.backbone).__name__} pools to {features.shape[-1]} dimensions, but its configuration tells "
                f"{self.config.feature_dim}: this backbone cannot be used"
            )
        embeds, tangent = self.lift(self.projection(features.to(floating_dtype(self.projection))))
        return HyperbolicCLIPVisionOutput(
            embeds=embeds,
            tangent=tangent,
            pooler_output=features,
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=getattr(outputs, "hidden_states", None),
            attentions=getattr(outputs, "attentions", None),
        )

    def lift(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Normalises and scales projected features and maps them into the space, at full precision.

        Args:
            projected: (B, D) the projection's output, in any dtype.

        Returns:
            (B, D) embeddings and (B, D) tangent vectors, float32 or float64.
        """
        return self._lift(projected, self.tangent_norm, self.alpha)

    def _lift(self, projected: Tensor, tangent_norm: nn.Module, alpha: Tensor) -> tuple[Tensor, Tensor]:
        # on a CPU autocast(dtype=float32) would be ignored: it has to be off, and for the device at hand
        with torch.autocast(projected.device.type, enabled=False):
            (tangent,) = promote(projected)
            if isinstance(tangent_norm, nn.BatchNorm1d):
                # float32 unless the whole model was cast, by .half() or .double()
                statistics = tangent_norm.get_buffer("running_mean")
                tangent = tangent_norm(tangent.to(statistics.dtype)).to(tangent.dtype)
            return self._into_space(alpha.to(tangent.dtype) * tangent)

    def proxy_embeds(self) -> Tensor:
        """(C, D) float32 embeddings of the class proxies, row by row those of `config.id2label`.

        They are learnt by cosine, and compared by it: how far out a proxy lies means nothing.

        Raises:
            ValueError: the model was trained without.
        """
        if not self.config.num_proxies:
            raise ValueError(
                "this model has no class proxies: train with --proxy_weight, or describe a class by examples of it"
            )
        with torch.autocast(self.class_proxies.device.type, enabled=False):
            return self._into_space(promote(self.class_proxies)[0])[0]

    def _into_space(self, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) tangent vectors at the origin -> points, and the tangent vectors as they were shortened."""
        if self.config.geometry == "euclidean":
            return euclidean_exp_map0(tangent), tangent
        curvature = self.curvature
        with torch.no_grad():  # a constant factor: a point at the rim still learns to come back
            radius = curvature.to(tangent.dtype).sqrt() * norm(tangent)
            shortening = self.config.max_radius / radius.clamp(min=self.config.max_radius)
            # a length that overflows would be shortened to nothing: left alone it ends as NaN, which is seen
            shortening = torch.where(radius.isfinite(), shortening, 1.0)
        tangent = tangent * shortening
        return lorentz_exp_map0(tangent, curvature), tangent

    @property
    def learns_curvature(self) -> bool:
        """Whether the curvature is trained: it is not if the configuration says so, or in Euclidean space."""
        return self.config.learn_curvature and self.config.geometry == "lorentz"

    @property
    def curvature(self) -> Tensor:
        """0-d float tensor c > 0 of the hyperboloid of curvature -c, within its bounds; 0 in Euclidean space."""
        if self.config.geometry == "euclidean":
            return torch.zeros_like(promote(self.log_curvature)[0])
        return _bounded_exp(self.log_curvature, *self.config.curvature_bounds)

    @property
    def alpha(self) -> Tensor:
        """0-d float tensor, the factor on tangent vectors."""
        return promote(self.log_alpha)[0].exp()

    @property
    def temperature(self) -> Tensor:
        """0-d float tensor tau of the loss, within its bounds."""
        return _bounded_exp(self.log_temperature, *self.config.temperature_bounds)

    @property
    def dtype(self) -> torch.dtype:
        """The backbone's: that of the first parameter would be a scalar's, which is float32 always."""
        return floating_dtype(self.backbone)

    def radii(self, embeds: Tensor) -> Tensor:
        """(..., D) embeddings -> (...) distance to the origin in the model's space."""
        if self.config.geometry == "euclidean":
            return euclidean_radius(embeds)
        return lorentz_radius(embeds, self.curvature)

    def bounds_hit(self) -> dict[str, str]:
        """Learnt scalars that rest on a bound: `{"curvature": "lower"}`; empty if none does."""
        scalars = {"temperature": self.log_temperature}
        if self.learns_curvature:
            scalars["curvature"] = self.log_curvature
        hit = {}
        for name, log_value in scalars.items():
            low, high = (math.log(bound) for bound in getattr(self.config, f"{name}_bounds"))
            value = log_value.item()
            if not low + 1e-6 < value < high - 1e-6:
                hit[name] = "lower" if value < high - 1e-6 else "upper"
        return hit

    @torch.no_grad()
    def clamp_scalars_(self) -> None:
        """Puts scalars that an optimiser's step has carried beyond their bounds back onto them, in place."""
        for name in ("curvature", "temperature"):
            low, high = getattr(self.config, f"{name}_bounds")
            getattr(self, f"log_{name}").clamp_(math.log(low), math.log(high))

    def get_input_embeddings(self) -> nn.Module:
        """The backbone's patch embedding."""
        return self.backbone.get_input_embeddings()

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Saves weights, configuration and, if the class is registered for it, the code. See `PreTrainedModel`."""
        # undoing the renaming of an old CLIP checkpoint would rename the head's weights too
        kwargs.setdefault("save_original_format", False)
        super().save_pretrained(save_directory, *args, **kwargs)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike | None,
        *model_args: Any,
        config: HyperbolicCLIPVisionConfig | str | os.PathLike | None = None,
        **kwargs: Any,
    ) -> "HyperbolicCLIPVisionModel":
        """Loads a checkpoint of this model; a checkpoint of another one goes to `from_backbone_pretrained`.

        Of a `HyperbolicCLIPModel`, which has a text tower too, the image encoder is taken.
        """
        if pretrained_model_name_or_path is not None and kwargs.get("state_dict") is None:
            hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
            found = model_type(pretrained_model_name_or_path, **hub)
            if found == HyperbolicCLIPConfig.model_type and found != cls.config_class.model_type and config is None:
                config = HyperbolicCLIPConfig.from_pretrained(pretrained_model_name_or_path, **hub).image_config()
            elif found not in (None, cls.config_class.model_type) and not isinstance(config, str | os.PathLike):
                return cls.from_backbone_pretrained(pretrained_model_name_or_path, config=config, **kwargs)
        loaded = super().from_pretrained(pretrained_model_name_or_path, *model_args, config=config, **kwargs)
        align_weights(loaded[0] if isinstance(loaded, tuple) else loaded)  # a tuple with output_loading_info
        return loaded

    @classmethod
    def from_backbone_pretrained(
        cls,
        name_or_path: str | os.PathLike,
        config: HyperbolicCLIPVisionConfig | None = None,
        **kwargs: Any,
    ) -> "HyperbolicCLIPVisionModel":
        """Starts from a pretrained vision model, with a new head.

        Args:
            name_or_path: folder or Hub name of a CLIP model (its vision tower is taken), ResNet or other vision model.
            config: settings of the head; its `backbone_config` is replaced by the checkpoint's. None for the defaults.
            **kwargs: fields of `HyperbolicCLIPVisionConfig`, over those of `config`; the rest goes to the backbone's
                `from_pretrained`, e.g. `dtype`, `attn_implementation`, `revision`.

        Returns:
            The model in evaluation mode, its curvature, alpha and temperature at the configuration's initial values.

        Raises:
            ValueError: the checkpoint is of this class already, or holds no weights of a vision backbone.
        """
        head = {name: kwargs.pop(name) for name in HEAD_FIELDS if name in kwargs}
        backbone = load_backbone(name_or_path, **kwargs)
        if backbone.config.model_type in (HyperbolicCLIPVisionConfig.model_type, HyperbolicCLIPConfig.model_type):
            raise ValueError(f"{name_or_path} holds a {type(backbone).__name__} already: load it with from_pretrained")
        settings = {name: getattr(config, name) for name in HEAD_FIELDS} if config is not None else {}
        config = cls.config_class(backbone_config=copy.deepcopy(backbone.config), **{**settings, **head})
        model = cls._from_config(config, dtype=backbone.dtype).to(backbone.device)
        model.backbone = backbone
        model.config.backbone_config = backbone.config
        return model.eval()


def make_tangent_norm(config: HyperbolicCLIPVisionConfig) -> nn.Module:
    """What `projection_norm` says, with statistics of its own."""
    if config.projection_norm == "batchnorm":
        return nn.BatchNorm1d(config.projection_dim, affine=False, dtype=torch.float32)
    return nn.Identity()


def make_projection(feature_dim: int, dim: int, layers: int) -> nn.Sequential:
    """From (B, feature_dim) to (B, dim), of one linear map or two."""
    if layers == 1:
        return nn.Sequential(nn.Linear(feature_dim, dim, bias=False))
    return nn.Sequential(nn.Linear(feature_dim, feature_dim), nn.GELU(), nn.Linear(feature_dim, dim, bias=False))


def _bounded_exp(log_value: Tensor, low: float, high: float) -> Tensor:
    """`exp(log_value)` within [low, high], exactly; beyond, the gradient is as at the bound rather than zero."""
    (log_value,) = promote(log_value)
    bounded = log_value.clamp(math.log(low), math.log(high)).detach() + (log_value - log_value.detach())
    value = bounded.exp()
    return value.clamp(low, high).detach() + (value - value.detach())
