"""Training that starts from a model of this library: its backbone, and of its head what the run's settings agree with.

A head is three things, each taken or started anew as a whole:

- the projection, its statistics and scale, where `projection_dim`, `projection_norm` and `geometry` are the model's;
- the curvature, where besides `curvature_init` and `learn_curvature` are;
- the temperature, where `temperature_init` is.

A class proxy is a point of the space: it is taken where the projection is, by the name of its class. A text tower is
left out.
"""

from collections.abc import Sequence
from typing import Any

import torch

from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
from hf_hyperbolic.modeling_hyperbolic_clip import HEAD_FIELDS, HyperbolicCLIPVisionModel
from hf_hyperbolic.vision_backbone import model_type

OWN_TYPES = (HyperbolicCLIPVisionConfig.model_type, HyperbolicCLIPConfig.model_type)

_PROJECTION = ("projection_dim", "projection_norm", "geometry")
# part of a head -> settings that must agree, and beginnings of the names of its weights
_PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "projection": (_PROJECTION, ("projection.", "tangent_norm.", "log_alpha")),
    "curvature": ((*_PROJECTION, "curvature_init", "learn_curvature"), ("log_curvature",)),
    "temperature": (("temperature_init",), ("log_temperature",)),
}


def is_own(backbone: str) -> bool:
    """Whether a checkpoint holds a model of this library."""
    return model_type(backbone) in OWN_TYPES


def continued_model(backbone: str, head: dict[str, Any], class_names: Sequence[str]) -> HyperbolicCLIPVisionModel:
    """A model that goes on from one of this library.

    Args:
        backbone: folder or Hub name of its checkpoint.
        head: fields of its configuration, as the run asks for them; others are the checkpoint's.
        class_names: of the run's proxies; none where it has none.

    Returns:
        The model in evaluation mode; what is new of it is drawn at random.
    """
    start = HyperbolicCLIPVisionModel.from_pretrained(backbone)
    settings = {name: getattr(start.config, name) for name in HEAD_FIELDS} | head
    config = HyperbolicCLIPVisionConfig(backbone_config=start.config.backbone_config, **settings)
    model = HyperbolicCLIPVisionModel._from_config(config, dtype=start.dtype)
    model.backbone = start.backbone
    taken, proxies = _agreeing(start.config, config, class_names)
    prefixes = tuple(prefix for part in taken for prefix in _PARTS[part][1])
    weights = {name: value for name, value in start.state_dict().items() if name.startswith(prefixes)}
    model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        for new, old in proxies.items():
            model.class_proxies[new] = start.class_proxies[old]
    return model.eval()


def what_is_taken(backbone: str, config: HyperbolicCLIPVisionConfig) -> str:
    """One line: what `continued_model` has taken of a checkpoint, what starts anew, and which settings are why.

    Args:
        backbone: folder or Hub name of the checkpoint.
        config: of the model that was made.
    """
    of_both = model_type(backbone) == HyperbolicCLIPConfig.model_type
    kind = HyperbolicCLIPConfig if of_both else HyperbolicCLIPVisionConfig
    start = kind.from_pretrained(backbone)
    class_names = _class_names(config)
    taken, proxies = _agreeing(start, config, class_names)
    new = [part for part in _PARTS if part not in taken]
    differing = dict.fromkeys(
        name for part in new for name in _PARTS[part][0] if getattr(start, name) != getattr(config, name)
    )
    if proxies:
        taken.append(f"{len(proxies)} of {len(class_names)} class proxies")
    if left := len(class_names) - len(proxies):
        new.append(f"{left} class proxies")
    why = f" (there: {', '.join(f'--{name} {getattr(start, name)}' for name in differing)})" if differing else ""
    words = "; its text tower is left out" if of_both else ""
    return f"taken from {backbone}: {', '.join(['backbone', *taken])}; new: {', '.join(new) or 'nothing'}{why}{words}"


def _agreeing(
    start: HyperbolicCLIPVisionConfig, config: HyperbolicCLIPVisionConfig, class_names: Sequence[str]
) -> tuple[list[str], dict[int, int]]:
    """Parts of the head that are taken, and proxies: number in the run -> number in the checkpoint."""
    taken = [
        part for part, (names, _) in _PARTS.items() if all(getattr(start, n) == getattr(config, n) for n in names)
    ]  # fmt: skip
    numbers = {name: number for number, name in enumerate(_class_names(start))}
    proxies = {new: numbers[name] for new, name in enumerate(class_names) if name in numbers}
    return taken, proxies if "projection" in taken else {}


def _class_names(config: HyperbolicCLIPVisionConfig) -> list[str]:
    """Of the proxies, in order."""
    named: Any = config.id2label
    return [named.get(number, "") for number in range(config.num_proxies)]
