"""Configuration of the hyperbolic image encoder. Travels with a checkpoint: it imports nothing of this package."""

import math
from collections.abc import Sequence
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, CLIPVisionConfig, PreTrainedConfig

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


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _as_vision_config(config: PreTrainedConfig | dict[str, Any] | None) -> PreTrainedConfig:
    """The configuration of one vision backbone; ValueError if it cannot be told what it is."""
    if config is None:
        return CLIPVisionConfig(patch_size=16)
    if isinstance(config, dict):
        model_type = str(config.get("model_type"))
        if model_type not in CONFIG_MAPPING:
            raise ValueError(
                f"backbone_config has model_type {model_type!r}, which this transformers does not know: give the "
                "dictionary of a vision model's configuration, e.g. CLIPVisionConfig().to_dict()"
            )
        config = CONFIG_MAPPING[model_type](**{key: value for key, value in config.items() if key != "model_type"})
    if not isinstance(config, PreTrainedConfig):
        raise ValueError(f"backbone_config must be a configuration or its dictionary, got {type(config).__name__}")
    return getattr(config, "vision_config", config)
