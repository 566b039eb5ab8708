"""Configurations of the hyperbolic image encoder, and of the same with a text tower.

Travels with a checkpoint: it imports nothing of this package.
"""

import math
from collections.abc import Sequence
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, CLIPTextConfig, CLIPVisionConfig, PreTrainedConfig

CHOICES = {"geometry": ("lorentz", "euclidean"), "projection_norm": ("none", "batchnorm"), "projection_layers": (1, 2)}


class HyperbolicCLIPVisionConfig(PreTrainedConfig):
    """Configuration of a `HyperbolicCLIPVisionModel`: a vision backbone and a head that lifts it onto a hyperboloid.

    Args:
        backbone_config: any vision model's configuration, or its dictionary with `model_type`; of a two-tower one
            (`CLIPConfig`) the `vision_config` is taken. Left out: CLIP ViT-B/16.
        projection_dim: D, dimension of the embedding.
        projection_layers: 1 for one bias-free linear map (as CLIP's `visual_projection`), 2 for linear, GELU, linear.
        projection_norm: `"batchnorm"` standardises each dimension of the projection's output over the batch (no affine
            part; running statistics in evaluation), which removes the cone into which embeddings collapse; or `"none"`.
        geometry: `"lorentz"`, or `"euclidean"` for the limit of zero curvature: the embedding is the tangent vector.
        curvature_init: initial c of the hyperboloid of curvature -c.
        learn_curvature: whether c is trained.
        curvature_bounds: lowest and highest c.
        alpha_init: initial factor on tangent vectors; None for `projection_dim ** -0.5` (MERU, Desai et al. 2023).
        temperature_init: initial temperature tau of the loss.
        temperature_bounds: lowest and highest tau.
        num_proxies: learnt points of the space, one a class (names in `id2label`), that were trained beside the
            images; 0 for none.
        max_radius: largest `sqrt(c) |v|` of a tangent vector v; longer ones are shortened to it before `sinh` overflows
            (float32 holds up to about 40, angles are accurate up to about 15). Not used in Euclidean space.
        **kwargs: see `PreTrainedConfig`.

    Raises:
        ValueError: a value is out of its range or choices.

    Example:
        >>> from transformers import ResNetConfig
        >>> config = HyperbolicCLIPVisionConfig(backbone_config=ResNetConfig(), projection_dim=64)
        >>> config.initial_alpha
        0.125
    """

    model_type = "hyperbolic_clip_vision"
    sub_configs = {"backbone_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        backbone_config: PreTrainedConfig | dict[str, Any] | None = None,
        projection_dim: int = 128,
        projection_layers: int = 1,
        projection_norm: str = "none",
        geometry: str = "lorentz",
        curvature_init: float = 1.0,
        learn_curvature: bool = True,
        curvature_bounds: Sequence[float] = (0.1, 10.0),
        alpha_init: float | None = None,
        temperature_init: float = 0.07,
        temperature_bounds: Sequence[float] = (0.01, 1.0),
        num_proxies: int = 0,
        max_radius: float = 15.0,
        **kwargs: Any,
    ) -> None:
        self.backbone_config = _as_vision_config(backbone_config)
        self.projection_dim = projection_dim
        self.projection_layers = projection_layers
        self.projection_norm = projection_norm
        self.geometry = geometry
        self.curvature_init = curvature_init
        self.learn_curvature = learn_curvature
        self.curvature_bounds = list(curvature_bounds)
        self.alpha_init = alpha_init
        self.temperature_init = temperature_init
        self.temperature_bounds = list(temperature_bounds)
        self.num_proxies = num_proxies
        self.max_radius = max_radius
        self.validate_head()
        super().__init__(**kwargs)

    def validate_head(self) -> None:
        """Raises ValueError if a field of the head is out of its range or choices."""
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {getattr(self, name)!r}")
        if not isinstance(self.projection_dim, int) or self.projection_dim < 2:
            raise ValueError(f"projection_dim must be an integer of at least 2, got {self.projection_dim!r}")
        if not isinstance(self.num_proxies, int) or self.num_proxies < 0:
            raise ValueError(f"num_proxies must be an integer of at least 0, got {self.num_proxies!r}")
        if self.alpha_init is not None and not _is_positive(self.alpha_init):
            raise ValueError(f"alpha_init must be positive, or None for projection_dim**-0.5, got {self.alpha_init!r}")
        if not _is_positive(self.max_radius) or self.max_radius > 40:
            raise ValueError(f"max_radius must lie in (0, 40], beyond which float32 overflows, got {self.max_radius!r}")
        for name in ("curvature", "temperature"):
            value, bounds = getattr(self, f"{name}_init"), getattr(self, f"{name}_bounds")
            if len(bounds) != 2 or not all(map(_is_positive, bounds)) or not bounds[0] < bounds[1]:
                raise ValueError(f"{name}_bounds must be two positive values, the lower one first, got {bounds!r}")
            if not _is_positive(value) or not bounds[0] <= value <= bounds[1]:
                hint = " (c of the space of curvature -c is positive)" if name == "curvature" else ""
                raise ValueError(f"{name}_init must lie within {name}_bounds {bounds}, got {value!r}{hint}")

    @property
    def initial_alpha(self) -> float:
        """`alpha_init`, or `projection_dim ** -0.5` where that is None."""
        return self.projection_dim**-0.5 if self.alpha_init is None else self.alpha_init

    @property
    def feature_dim(self) -> int:
        """Length of the backbone's pooled feature.

        Raises:
            ValueError: the backbone's configuration does not tell it.
        """
        sizes = getattr(self.backbone_config, "hidden_sizes", None)
        # hidden_sizes first: where both exist, hidden_size is that of the stem
        size = sizes[-1] if sizes else getattr(self.backbone_config, "hidden_size", None)
        if not isinstance(size, int):
            raise ValueError(
                f"backbone_config of type {self.backbone_config.model_type!r} has neither hidden_sizes nor "
                "hidden_size: is it a vision backbone? Those of CLIP, ViT, DINOv2, Swin, ResNet or ConvNeXt can be used"
            )
        return size


class HyperbolicCLIPConfig(HyperbolicCLIPVisionConfig):
    """Configuration of a `HyperbolicCLIPModel`: the image encoder as it is, and a text tower in its space.

    Args:
        text_config: any text encoder's configuration, or its dictionary with `model_type`; of a two-tower one
            (`CLIPConfig`) the `text_config` is taken. Left out: CLIP's text tower.
        text_alpha_init: initial factor on the text's tangent vectors; None for `projection_dim ** -0.5` (MERU).
        **kwargs: see `HyperbolicCLIPVisionConfig`. `projection_dim`, `projection_layers`, `projection_norm`, the
            curvature and `max_radius` are those of both towers.

    Raises:
        ValueError: a value is out of its range or choices.

    Example:
        >>> config = HyperbolicCLIPConfig(projection_dim=64)
        >>> config.text_config.hidden_size, config.initial_text_alpha
        (512, 0.125)
    """

    model_type = "hyperbolic_clip"
    sub_configs = {"backbone_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_alpha_init: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.text_config = _as_text_config(text_config)
        self.text_alpha_init = text_alpha_init
        super().__init__(**kwargs)

    def validate_head(self) -> None:
        """Raises ValueError if a field of a head is out of its range or choices."""
        super().validate_head()
        if self.text_alpha_init is not None and not _is_positive(self.text_alpha_init):
            raise ValueError(
                f"text_alpha_init must be positive, or None for projection_dim**-0.5, got {self.text_alpha_init!r}"
            )

    @property
    def initial_text_alpha(self) -> float:
        """`text_alpha_init`, or `projection_dim ** -0.5` where that is None."""
        return self.projection_dim**-0.5 if self.text_alpha_init is None else self.text_alpha_init

    @property
    def text_feature_dim(self) -> int:
        """Length of the text encoder's pooled feature.

        Raises:
            ValueError: its configuration does not tell it.
        """
        size = getattr(self.text_config, "hidden_size", None)
        if not isinstance(size, int):
            raise ValueError(
                f"text_config of type {self.text_config.model_type!r} has no hidden_size: is it a text encoder? That "
                "of CLIP, BERT or the like can be used"
            )
        return size

    def image_config(self) -> HyperbolicCLIPVisionConfig:
        """The configuration of the image encoder alone."""
        saved = self.to_dict()
        for name in ("text_config", "text_alpha_init", "model_type", "architectures", "auto_map"):
            saved.pop(name, None)
        return HyperbolicCLIPVisionConfig(**saved)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _as_vision_config(config: PreTrainedConfig | dict[str, Any] | None) -> PreTrainedConfig:
    """The configuration of one vision backbone; ValueError if it cannot be told what it is."""
    if config is None:
        return CLIPVisionConfig(patch_size=16)
    config = _as_config(config, "backbone_config", "vision", "CLIPVisionConfig")
    return getattr(config, "vision_config", config)


def _as_text_config(config: PreTrainedConfig | dict[str, Any] | None) -> PreTrainedConfig:
    """The configuration of one text encoder; ValueError if it cannot be told what it is."""
    if config is None:
        return CLIPTextConfig()
    config = _as_config(config, "text_config", "text", "CLIPTextConfig")
    return getattr(config, "text_config", config)


def _as_config(config: PreTrainedConfig | dict[str, Any], field: str, kind: str, example: str) -> PreTrainedConfig:
    if isinstance(config, dict):
        model_type = str(config.get("model_type"))
        if model_type not in CONFIG_MAPPING:
            raise ValueError(
                f"{field} has model_type {model_type!r}, which this transformers does not know: give the "
                f"dictionary of a {kind} model's configuration, e.g. {example}().to_dict()"
            )
        config = CONFIG_MAPPING[model_type](**{key: value for key, value in config.items() if key != "model_type"})
    if not isinstance(config, PreTrainedConfig):
        raise ValueError(f"{field} must be a configuration or its dictionary, got {type(config).__name__}")
    return config
