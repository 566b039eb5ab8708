"""Trained and untrained systems, embedded on one split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoImageProcessor, CLIPImageProcessorPil, set_seed

from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import build_model, build_processor
from hf_hyperbolic.training.embed import embed_nodes
from hf_hyperbolic.training.measures import ranking_measures
from hf_hyperbolic.training.sources import Split


@dataclass(frozen=True)
class System:
    """A model, how it looks at images, and by what it ranks.

    Attributes:
        name: as tables show it.
        model: in evaluation mode.
        processor: that of the checkpoint; its channel means are used.
        args: of the run that trained it.
        measures: see `ranking_measures`.
    """

    name: str
    model: HyperbolicCLIPVisionModel
    processor: CLIPImageProcessorPil
    args: TrainArguments
    measures: dict[str, str]

    @property
    def curvature(self) -> float:
        return self.model.curvature.item()

    def embed(self, split: Split, progress: bool = True) -> np.ndarray:
        """(N, D) embeddings of every node."""
        mean, std = self.processor.image_mean, self.processor.image_std
        return embed_nodes(
            self.model, split.images(0), split.hierarchy, np.arange(split.hierarchy.num_nodes), self.args.image_size,
            mean, std,
            self.args.context, self.args.crop_mode, progress=progress,
        )  # fmt: skip


def system_name(args: TrainArguments) -> str:
    """What tables call a model trained with `args`."""
    if args.loss == "cosine":
        return "cosine contrast, own share" if args.similarity_own_weight else "cosine contrast"
    published = {"hcl": "HCL", "meru": "MERU cones", "hycoclip": "HyCoCLIP cones", "single_positive": "ACCEPT"}
    if args.loss in published:
        return published[args.loss]
    angle = f"{'hyperbolic' if args.geometry == 'lorentz' else 'Euclidean'} angle"
    return f"{angle} + similarity" if args.similarity_weight else angle


def trained(run: str | Path, device: torch.device | str = "cpu", which: str = "best") -> System:
    """The model a run kept.

    Raises:
        FileNotFoundError: the folder is no run, or it has not kept a model yet.
    """
    folder = Path(run) / which
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(f"{folder} holds no model: give the --output_dir of a finished training/train.py")
    args = TrainArguments.load(folder)
    model = HyperbolicCLIPVisionModel.from_pretrained(folder).eval()
    model.to(torch.device(device))
    return System(system_name(args), model, AutoImageProcessor.from_pretrained(folder), args, ranking_measures(args))


def untrained(args: TrainArguments, device: torch.device | str = "cpu") -> System:
    """The model a run started from, ranked by cosine."""
    set_seed(args.seed)
    model = build_model(args).eval()
    model.to(torch.device(device))
    by_cosine = dict.fromkeys(("children", "parents", "pairs"), "cosine")
    return System("untrained", model, build_processor(args), args, by_cosine)
