"""Text towers to train: a small one from scratch, or that of a published CLIP, beside an image encoder."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPTextConfig, PreTrainedTokenizerBase

from hf_hyperbolic.encoder import CONVERSION_FILE
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.modeling_hyperbolic_clip_text import HyperbolicCLIPModel, load_text_backbone
from hf_hyperbolic.phrases import load_tokenizer, save_processors, tokenize
from hf_hyperbolic.training.backbones import check_path
from hf_hyperbolic.training.class_phrases import ClassPhrases, word_tokenizer

# 80,000 parameters beside its words
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "text-tiny": {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "hidden_act": "gelu",
    },
}


def add_text_tower(
    image_model: HyperbolicCLIPVisionModel, text: str, phrases: Sequence[str]
) -> tuple[HyperbolicCLIPModel, PreTrainedTokenizerBase]:
    """A model with an untrained text tower beside a trained image encoder, and its tokenizer.

    Args:
        image_model: copied.
        text: one of `FROM_SCRATCH`, whose tokenizer knows the words of `phrases` alone; or a folder or Hub name of a
            checkpoint with a text encoder, whose tokenizer is taken with it.
        phrases: that will be trained with.

    Raises:
        FileNotFoundError, OSError: there is no such checkpoint.
        ValueError: it has no text encoder, or no tokenizer.
    """
    if text in FROM_SCRATCH:
        settings = FROM_SCRATCH[text]
        tokenizer = word_tokenizer(phrases, settings["max_position_embeddings"])
        config = CLIPTextConfig(
            vocab_size=len(tokenizer), bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, **settings,
        )  # fmt: skip
        return HyperbolicCLIPModel.from_image_model(image_model, config), tokenizer
    check_path(text, "--text", FROM_SCRATCH)
    found = load_tokenizer(text)
    if found is None:
        raise ValueError(f"--text {text} has no tokenizer: give a checkpoint that has one beside its weights")
    return HyperbolicCLIPModel.from_image_model(image_model, load_text_backbone(text, use_safetensors=True)), found


class ClassNames:
    """What the classes of a run are called, as tokens: a function of (seed, step), the same in every process."""

    def __init__(self, phrases: ClassPhrases, tokenizer: PreTrainedTokenizerBase, model: HyperbolicCLIPModel) -> None:
        self.phrases, self.tokenizer = phrases, tokenizer
        self._longest = getattr(model.config.text_config, "max_position_embeddings", None)

    def tokens(self, seed: int, step: int, device: torch.device, captions: Sequence[str] = ()) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` of a phrase for each of the called, name and template drawn at random, and
        after them of `captions`."""
        drawn = self.phrases.draw(np.arange(len(self.phrases.names)), np.random.default_rng([seed, step]))
        texts = tokenize(self.tokenizer, [*drawn, *captions], self._longest)
        return {name: part.to(device) for name, part in texts.items()}


def save_with_text(
    model: HyperbolicCLIPModel,
    images: CLIPImageProcessorPil,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    image_folder: Path | None = None,
    settings_file: str = "arguments.json",
) -> None:
    """Writes weights, code, image processor and tokenizer into a folder that is there.

    Args:
        model: to save.
        images: its image processor.
        tokenizer: its tokenizer.
        folder: to write into.
        image_folder: of the image encoder, whose settings, which say how it looks at images and ranks, go along.
        settings_file: how these are called.
    """
    model.save_pretrained(folder)
    save_processors(folder, images, tokenizer)
    for name in (settings_file, CONVERSION_FILE):
        if image_folder is not None and (image_folder / name).is_file():
            shutil.copyfile(image_folder / name, folder / name)
