"""Captions for a text tower: where a data set's are, those that the tower can read, batches of them, and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.captions import Captions, captions_file, read_captions
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.scenes.captions import write_captions
from hf_hyperbolic.evaluation.captions import evaluate_captions
from hf_hyperbolic.evaluation.figures import Figure
from hf_hyperbolic.phrases import encode_phrases, longest_text, unreadable
from hf_hyperbolic.training.gather import gather_embeddings, gather_nodes
from hf_hyperbolic.training.run_arguments import RunArguments
from hf_hyperbolic.training.systems import System

BESIDE = "auto"


class SceneCaptions:
    """Captions beside the scenes of a training run: which is drawn is a function of (seed, step, image).

    Args:
        captions: that the text tower can read, of the training split.
        seed: of the draws.
    """

    def __init__(self, captions: Captions, seed: int) -> None:
        self.texts, self._seed = captions.texts, seed
        self._image = captions.image
        number_of = {text: number for number, text in enumerate(dict.fromkeys(captions.texts))}
        self._wording = np.array([number_of[text] for text in captions.texts])
        rows = np.arange(captions.num_images)
        self._first = np.searchsorted(captions.image, rows)
        self._count = np.searchsorted(captions.image, rows, side="right") - self._first

    def draw(self, nodes: np.ndarray, step: int) -> np.ndarray:
        """(m,) int64 rows of captions, one for each scene among (n,) nodes whose image has any."""
        images = nodes[nodes < len(self._count)]
        return np.array(
            [
                self._first[image] + np.random.default_rng([self._seed, step, image]).integers(self._count[image])
                for image in images[self._count[images] > 0].tolist()
            ],
            dtype=np.int64,
        )

    def matched(
        self, spoken: Tensor, drawn: np.ndarray, embeds: Tensor, nodes: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """What `caption_loss` compares: of the captions of all processes each wording once. Every process calls it.

        Args:
            spoken: (m, D) embeddings of this process's captions.
            drawn: (m,) rows of them, as `draw` gave them.
            embeds: (N, D) embeddings of all processes' nodes.
            nodes: (N,) these nodes.

        Returns:
            (T, D) captions, (n, D) scenes that have one, and (T, n) bool, which is of which; None where no scene has.
        """
        rows, counts = gather_nodes(drawn, embeds.device)
        spoken, images = gather_embeddings(spoken, counts), nodes
        if not len(rows):
            return None
        wordings, first = np.unique(self._wording[rows], return_index=True)
        wording_of = dict(zip(self._image[rows].tolist(), self._wording[rows].tolist(), strict=True))
        having = np.flatnonzero(np.isin(images, self._image[rows]))
        said = np.array([wording_of[image] for image in images[having].tolist()])
        positives = torch.from_numpy(wordings[:, None] == said).to(embeds.device)
        return spoken[torch.from_numpy(first)], embeds[torch.from_numpy(having)], positives


@dataclass(frozen=True)
class CaptionBatch:
    """Captions of a batch of images, one of each.

    Attributes:
        nodes: (n,) int64, the full scenes.
        phrases: (T,) the captions, each wording once.
        positives: (T, n) bool, which is of which.
    """

    nodes: np.ndarray
    phrases: list[str]
    positives: torch.Tensor


def load_captions(captions: str, args: RunArguments, split: str, data: str, table: BoxTable) -> Captions:
    """The captions of a split's images.

    Args:
        captions: `"auto"` for those that lie with the boxes, or their file or folder. Of the embedded scenes they are
            made.
        args: of a run; it says where the embedded scenes are.
        split: `"train"`, `"val"`, ...
        data: where the boxes are from.
        table: the boxes, whose images are asked for.

    Raises:
        FileNotFoundError, ValueError: see `captions_file` and `read_captions`.
    """
    if captions != BESIDE:
        return read_captions(captions_file(captions, split), table)
    if data == "scenes":
        with PartialState().main_process_first():
            return read_captions(write_captions(Path(args.scenes_dir) / f"instances_{split}.json"), table)
    place = Path(data)
    return read_captions(captions_file(place.parent if place.is_file() else place, split), table)


def readable(captions: Captions, tokenizer: PreTrainedTokenizerBase, longest: int | None) -> tuple[Captions, str]:
    """The captions that a text tower can read, and one line on those that it cannot; empty where there are none.

    Raises:
        ValueError: it can read none.
    """
    strange, long = unreadable(tokenizer, captions.texts, longest)
    said = []
    if strange.any():
        said.append(f"{strange.sum()} with words that the text tower does not know")
    if (long & ~strange).any():
        said.append(f"{(long & ~strange).sum()} of more than {longest} tokens")
    line = f"left out of {len(captions.texts)} captions: {', '.join(said)}" if said else ""
    kept = ~(strange | long)
    if not kept.any():
        raise ValueError(f"no caption can be read; {line}")
    return captions.only(kept), line


def caption_batch(captions: Captions, images: int, seed: int, step: int) -> CaptionBatch:
    """A batch that is a function of (seed, step): a caption at random of each of so many images at random."""
    drawn = captions.draw(images, np.random.default_rng([seed, step, 1]))  # apart from the names' draws
    phrases, wording = np.unique([captions.texts[row] for row in drawn], return_inverse=True)
    positives = torch.from_numpy(wording == np.arange(len(phrases))[:, None])
    return CaptionBatch(captions.image[drawn], phrases.tolist(), positives)


def readable_by(captions: Captions, systems: Sequence[System]) -> tuple[Captions, list[str], list[str]]:
    """The captions that every text tower among the systems can read, so that all are asked the same.

    Returns:
        The captions; the names of the systems that are asked, which are those with a text tower but for baselines (all
        but the first) that can read none of the captions that those before them can; and a line for each system on what
        it alone cannot read.

    Raises:
        ValueError: the first can read none.
    """
    lines: list[str] = []
    readers: list[str] = []
    for system in systems:
        if system.text is None:
            continue
        model, tokenizer = system.text
        try:
            captions, line = readable(captions, tokenizer, longest_text(model))
        except ValueError as error:
            if system is systems[0]:
                raise ValueError(f"{system.name}: {error}") from error
            lines.append(f"captions: {system.name} is not asked: {error}")
            continue
        readers.append(system.name)
        if line:
            lines.append(f"captions: {line} ({system.name})")
    return captions, readers, lines


def caption_figures(
    system: System,
    embeds: np.ndarray,
    hierarchy: Hierarchy,
    captions: Captions,
    measures: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[dict[str, dict[str, Figure]], dict[str, np.ndarray]]:
    """What `evaluate_captions` gives of a system with a text tower, by captions of `readable_by`."""
    assert system.text is not None
    row_of = {text: row for row, text in enumerate(dict.fromkeys(captions.texts))}
    embedded = encode_phrases(*system.text, list(row_of))[[row_of[text] for text in captions.texts]]
    return evaluate_captions(
        embeds, hierarchy, captions.texts, embedded, captions.image, system.curvature, measures, seed=seed
    )
