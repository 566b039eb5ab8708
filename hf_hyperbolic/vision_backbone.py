"""Vision backbones of the transformers library: loading one, and pooling what it gives. Travels with a checkpoint."""

import os
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


def load_backbone(name_or_path: str | os.PathLike, **kwargs: Any) -> PreTrainedModel:
    """Loads the vision model, or the vision tower of a two-tower model, from a checkpoint.

    Args:
        name_or_path: folder or Hub name.
        **kwargs: passed to `AutoModel.from_pretrained`.

    Returns:
        The backbone, in evaluation mode.

    Raises:
        ValueError: most of its weights are not in the checkpoint.
    """
    hub = {name: kwargs[name] for name in (*HUB_ARGUMENTS, "trust_remote_code") if name in kwargs}
    config = AutoConfig.from_pretrained(name_or_path, **hub)
    config = getattr(config, "vision_config", config)
    backbone, info = AutoModel.from_pretrained(name_or_path, config=config, output_loading_info=True, **kwargs)
    missing, expected = len(info["missing_keys"]), len(backbone.state_dict())
    # a few may lack, as the pooler of a ViT that was trained without one
    if missing > expected / 2:
        raise ValueError(
            f"{name_or_path} lacks {missing} of the {expected} weights of a {type(backbone).__name__}: give a "
            "checkpoint with a vision tower"
        )
    return align_weights(backbone)


def pool(outputs: Any) -> Tensor:
    """One feature vector an image from a backbone's output.

    Args:
        outputs: with `pooler_output` (B, F) or (B, F, 1, 1), as CLIP (the class token after the last layer norm),
            ResNet or ConvNeXt give; without it, `last_hidden_state` is averaged over places, (B, F, h, w), or over
            tokens, (B, T, F).

    Returns:
        (B, F) features.
    """
    pooled = getattr(outputs, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    hidden = outputs.last_hidden_state
    return hidden.mean((-2, -1)) if hidden.ndim == 4 else hidden.mean(1)


def align_weights(model: PreTrainedModel) -> PreTrainedModel:
    """Copies weights that lie at odd addresses, as they do in a mapped file, to where torch puts its own.

    A matrix product takes another path on a CPU where its operand is not aligned, which moves the last bit: without
    this a checkpoint would not give what the model gave that was saved.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if type(tensor.data) is Tensor and tensor.device.type == "cpu" and tensor.data_ptr() % 64:
            tensor.data = tensor.data.clone()
    return model


def model_type(name_or_path: str | os.PathLike, **hub: Any) -> str | None:
    """The `model_type` in a checkpoint's config.json; None where there is none to read."""
    try:
        return PreTrainedConfig.get_config_dict(name_or_path, **hub)[0].get("model_type")
    except OSError:
        return None


def floating_dtype(module: nn.Module) -> torch.dtype:
    """Of a module's first floating-point parameter."""
    return next(parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
