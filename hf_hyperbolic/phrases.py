"""Phrases to embeddings, by the text tower of a model and the tokenizer that lies beside it."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPProcessor, PreTrainedTokenizerBase

from hf_hyperbolic.modeling_hyperbolic_clip_text import HyperbolicCLIPModel

_NO_TOWER = (
    "{name} has no text tower, so a phrase means nothing to it: add one by `python training/add_text.py --run RUN`, or "
    "ask by an image"
)


def load_tokenizer(name_or_path: str | os.PathLike[str], **hub: Any) -> PreTrainedTokenizerBase | None:
    """The tokenizer saved beside a checkpoint; None where there is none."""
    try:
        return AutoTokenizer.from_pretrained(name_or_path, **hub)
    except (OSError, ValueError):
        return None


def no_text(name: str) -> ValueError:
    """The error for a phrase that is put to a model without a text tower."""
    return ValueError(_NO_TOWER.format(name=name))


@torch.inference_mode()
def encode_phrases(
    model: HyperbolicCLIPModel, tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str], batch_size: int = 256
) -> np.ndarray:
    """Embeds phrases in evaluation mode.

    Args:
        model: with a text tower.
        tokenizer: that it was trained with.
        phrases: any number of texts, each with at least one word.
        batch_size: phrases the model sees at once.

    Returns:
        (n, D) float32 space components.

    Raises:
        ValueError: one text in place of several; a phrase is empty, longer than the text tower takes, or has a word
            that the tokenizer does not know (one from scratch knows what it was fitted to alone; CLIP's knows all).
    """
    if isinstance(phrases, str):
        raise ValueError(f"phrases is one text, whose letters would be taken for phrases: give [{phrases!r}]")
    found = []
    model.eval()
    for start in range(0, len(phrases), batch_size):
        tokens = tokenize(tokenizer, phrases[start : start + batch_size], longest_text(model))
        ids, mask = (tokens[name].to(model.device) for name in ("input_ids", "attention_mask"))
        found.append(model.get_text_embeds(ids, mask).float().cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, model.config.projection_dim), dtype=np.float32)


def tokenize(
    tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str], longest: int | None = None
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, (n, L) int64, filled up to the longest of the phrases.

    Args:
        tokenizer: of the text tower.
        phrases: at least one.
        longest: most tokens of a phrase; None for no limit.

    Raises:
        ValueError: as `encode_phrases`.
    """
    if empty := [number for number, phrase in enumerate(phrases) if not phrase.strip()]:
        raise ValueError(f"phrase {empty[0]} of {len(phrases)} is empty: give at least one word")
    tokens = tokenizer(list(phrases), padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    unknown = _unknown(tokenizer)
    if unknown is not None and bool((ids == unknown).any()):
        number = int((ids == unknown).any(1).nonzero()[0])
        words = phrases[number].lower().split()
        strange = [word for word in words if unknown in tokenizer(word, add_special_tokens=False)["input_ids"]]
        raise ValueError(
            f"this model does not know {', '.join(map(repr, strange or words))} of the phrase {phrases[number]!r}: its "
            "tokenizer knows the words of the names and captions that it was fitted to alone"
        )
    if longest is not None and ids.shape[1] > longest:
        number = int(mask.sum(1).argmax())
        raise ValueError(
            f"the phrase {phrases[number]!r} has {int(mask[number].sum())} tokens, and the text tower takes {longest}: "
            "make it shorter"
        )
    return {"input_ids": ids, "attention_mask": mask}


def unreadable(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], longest: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which texts `tokenize` would refuse, where many are at hand and some may be left out.

    Args:
        tokenizer: of the text tower.
        texts: none of them empty.
        longest: most tokens of a text; None for no limit.

    Returns:
        (n,) bool, which have a word that the tokenizer does not know, and (n,) bool, which are longer.
    """
    ids = tokenizer(list(texts))["input_ids"] if len(texts) else []
    unknown = _unknown(tokenizer)
    strange = np.array([unknown is not None and unknown in row for row in ids], dtype=bool)
    return strange, np.array([longest is not None and len(row) > longest for row in ids], dtype=bool)


def _unknown(tokenizer: PreTrainedTokenizerBase) -> int | None:
    # CLIP's tokenizer has an unknown token by name, which is its end of text, and never needs it
    return tokenizer.unk_token_id if tokenizer.unk_token_id != tokenizer.eos_token_id else None


def longest_text(model: HyperbolicCLIPModel) -> int | None:
    """Most tokens of a text that the text tower takes; None for no limit."""
    return getattr(model.config.text_config, "max_position_embeddings", None)


def save_processors(
    folder: str | os.PathLike[str], images: CLIPImageProcessorPil, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Saves what makes inputs, so that AutoProcessor, AutoImageProcessor and AutoTokenizer each load it."""
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    images.save_pretrained(folder)  # the processor keeps it in a file of its own, where not every program looks
