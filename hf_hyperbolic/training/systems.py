"""Systems to be compared, embedded on one split: trained runs, their untrained start, and any other checkpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, CLIPImageProcessorPil, PreTrainedTokenizerBase, set_seed

from hf_hyperbolic.data.files import weights_digest
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.encoder import ImageEncoder, load_model
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.modeling_hyperbolic_clip_text import HyperbolicCLIPModel
from hf_hyperbolic.phrases import encode_phrases, load_tokenizer
from hf_hyperbolic.plain_vision import PlainVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import build_model, build_processor, starts_from_scratch
from hf_hyperbolic.training.class_phrases import ClassPhrases
from hf_hyperbolic.training.embed import embed_nodes
from hf_hyperbolic.training.measures import ranking_measures
from hf_hyperbolic.training.sources import Split, same_data
from hf_hyperbolic.training.text_arguments import TextArguments, given_words

# settings that say how a model of unknown training looks at images, and at which pairs
_EVALUATION_SETTINGS = ("image_size", "context", "crop_mode", "threshold", "min_box_size")
UNTRAINED = "untrained"
PRETRAINED = "pretrained backbone, cosine"


@dataclass(frozen=True)
class System:
    """A model, how it looks at images, and by what it ranks.

    Attributes:
        name: as tables show it.
        model: in evaluation mode.
        processor: with the channel means of the checkpoint's.
        args: of the run that trained it; for another checkpoint, only what the checkpoint tells (see `known`).
        measures: see `ranking_measures`.
        source: the run or checkpoint it was loaded from.
        folder: that holds its weights; None where they lie in none here.
        known: whether `args` are those the model was trained with.
        tokenizer: of a model with a text tower.
    """

    name: str
    model: HyperbolicCLIPVisionModel | PlainVisionModel
    processor: CLIPImageProcessorPil
    args: TrainArguments
    measures: dict[str, str]
    source: str = ""
    known: bool = True
    folder: Path | None = None
    tokenizer: PreTrainedTokenizerBase | None = None

    @property
    def curvature(self) -> float:
        """c of the space of curvature -c; 0 for a Euclidean model."""
        return self.model.curvature.item()

    @property
    def text(self) -> tuple[HyperbolicCLIPModel, PreTrainedTokenizerBase] | None:
        """Its model and tokenizer where it has a text tower; None without it, or without its tokenizer."""
        if not isinstance(self.model, HyperbolicCLIPModel) or self.tokenizer is None:
            return None
        return self.model, self.tokenizer

    def embed(self, split: Split, nodes: np.ndarray | None = None, progress: bool = True) -> np.ndarray:
        """(n, D) embeddings of (n,) nodes, of every node when None; processes of one group share the work."""
        mean, std = self.processor.image_mean, self.processor.image_std
        hierarchy: Hierarchy = split.hierarchy
        return embed_nodes(
            self.model, split.images(0), hierarchy, np.arange(hierarchy.num_nodes) if nodes is None else nodes,
            self.args.image_size, mean, std, self.args.context, self.args.crop_mode, progress=progress,
            distributed=True,
        )  # fmt: skip

    def embed_names(self, class_names: Sequence[str]) -> np.ndarray | None:
        """(C, D) embeddings of what classes are called, the name alone; None without a text tower or its tokenizer.

        Rows of classes that are the same in words are equal to the last bit.

        Raises:
            ValueError: the text tower does not know a word of them.
        """
        if self.text is None:
            return None
        phrases = ClassPhrases(class_names, ["{}"])
        return encode_phrases(*self.text, phrases.every())[phrases.called]

    def trained_on(self, data: str) -> bool | None:
        """Whether it was trained on this data set; None where it does not say what it was trained on."""
        if self.source == UNTRAINED:
            return False
        return same_data(data, self.args.data) if self.known else None

    def words_from(self, data: str) -> bool:
        """Whether its text tower is known to have been fitted to this data set, be it another than the images'."""
        told = self._words()
        if not isinstance(self.model, HyperbolicCLIPModel) or not told:
            return False
        fitted = told.get("data")
        return same_data(data, fitted) if fitted else bool(self.trained_on(data))

    @property
    def chosen(self) -> bool:
        """Whether it is known to be the best of its run by the validation figure, or that with words added."""
        if self.folder is None:
            return False
        told = self._words()
        return (given_words(told) if told else self.folder.name) == "best"

    def _words(self) -> dict[str, Any]:
        """What `training/add_text.py` was told; empty where it did not make this model."""
        file = self.folder / TextArguments.FILE if self.folder else None
        return json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else {}

    def weights_digest(self) -> str | None:
        """SHA-256 of its weights, by which its figures are known as its own; None where they are in no folder here."""
        return weights_digest(self.folder) if self.folder else None

    def settings(self) -> dict[str, Any]:
        """What is known of how it came to be, as the report shows it."""
        every = asdict(self.args)
        return every if self.known else {"checkpoint": self.source, **{k: every[k] for k in _EVALUATION_SETTINGS}}


def system_name(args: TrainArguments) -> str:
    """What tables call a model trained with `args`."""
    named = {
        "angle": f"{'hyperbolic' if args.geometry == 'lorentz' else 'Euclidean'} angle",
        "cosine": "cosine contrast",
        "hcl": "HCL",
        "meru": "MERU cones",
        "hycoclip": "HyCoCLIP cones",
        "single_positive": "ACCEPT",
    }
    name = named[args.loss]
    if args.loss == "angle" and args.similarity_weight:
        name += " + similarity"
    if args.proxy_weight:
        name += " + proxies"
    elif args.loss == "cosine" and args.own_weight:
        name += ", own share"
    if args.text_weight:
        name += " + names and captions" if args.captions else " + names"
    if args.directions != "both":
        name += f", {args.directions.replace('_', ' ')} only"
    # the paper's ablation: no pair of a scene with boxes of other images
    return name + (", intra-image" if args.cross_parents == "none" else "")


def trained(run: str | Path, device: torch.device | str = "cpu", which: str = "best") -> System:
    """The model a run kept.

    Raises:
        FileNotFoundError: the folder is no run, or it has not kept a model yet.
    """
    folder = Path(run) / which
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(f"{folder} holds no model: give the --output_dir of a finished training/train.py")
    args = TrainArguments.load(folder)
    model = load_model(str(folder)).eval()
    model.to(torch.device(device))
    processor = AutoImageProcessor.from_pretrained(folder)
    tokenizer = load_tokenizer(folder) if isinstance(model, HyperbolicCLIPModel) else None
    measures = ranking_measures(args)
    return System(system_name(args), model, processor, args, measures, str(run), folder=folder, tokenizer=tokenizer)


def untrained(args: TrainArguments, device: torch.device | str = "cpu") -> System:
    """The model a run started from, ranked by cosine: a head at random, on a backbone at random or pretrained.

    Of a run that went on from a model of this library, that model, as far as the run took it.

    It is named `UNTRAINED` or `PRETRAINED` accordingly.

    Raises:
        FileNotFoundError: the backbone it started from is not there any more.
    """
    set_seed(args.seed)
    model = build_model(args).eval()
    model.to(torch.device(device))
    by_cosine = dict.fromkeys(("children", "parents", "pairs"), "cosine")
    name = UNTRAINED if starts_from_scratch(args.backbone) else PRETRAINED
    return System(name, model, build_processor(args), args, by_cosine, UNTRAINED)


def pretrained(checkpoint: str, device: torch.device | str = "cpu", context: float = 0.0) -> System:
    """The model of a checkpoint, which no run needs to have left.

    It looks at images and ranks as an `ImageEncoder` of it does: one of ours as it was trained, if its
    `arguments.json` lies beside it, or converted from another project, as its `conversion.json` says, else by the angle
    of its geometry; any other by cosine. Crops are resized to a square of the size that the image processor asks for;
    nothing is cut off.

    Args:
        checkpoint: folder or name on the Hub.
        device: where the model goes.
        context: share of a box's side shown beyond it on each side, for a checkpoint that does not say with how much
            it was trained.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it is of no vision model.
    """
    if is_run(checkpoint):
        raise ValueError(
            f"{checkpoint} holds a training run: give it as --run, or one of its models, {checkpoint}/best"
        )
    if Path(checkpoint).is_dir() and not (Path(checkpoint) / "config.json").exists():
        raise FileNotFoundError(f"{checkpoint} is neither a checkpoint, with config.json, nor a run that kept a model")
    try:
        return _pretrained(checkpoint, torch.device(device), context)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not Path(checkpoint).exists():
            raise
        if (Path(checkpoint) / "config.json").exists():
            raise FileNotFoundError(f"{checkpoint} holds no weights that can be loaded: {_first(error)}") from error
        raise FileNotFoundError(
            f"{checkpoint}: no such folder here, and as a model of the Hub it cannot be loaded: {_first(error)}"
        ) from error


def _pretrained(checkpoint: str, device: torch.device, context: float) -> System:
    encoder = ImageEncoder.from_pretrained(checkpoint, device)
    saved = encoder.settings
    looks: dict[str, Any] = {
        "image_size": encoder.image_size,
        "context": encoder.context if "context" in saved else context,
        "crop_mode": encoder.crop_mode,
        "geometry": encoder.geometry or "euclidean",
    }
    processor = make_image_processor(encoder.image_size, encoder.mean, encoder.std)
    last = Path(checkpoint).name
    if encoder.geometry is None:
        args, known = TrainArguments(backbone=checkpoint, **looks), False
        name, measures = f"plain {last}", {**encoder.measures, "pairs": "cosine"}
    else:
        args, known = _arguments(saved, looks)
        kind = "hyperbolic" if encoder.geometry == "lorentz" else "Euclidean"
        name = system_name(args) if known else f"{kind} model {last}"
        measures = {**ranking_measures(args), **encoder.measures, **encoder.conversion.get("measures", {})}
    folder = Path(checkpoint) if Path(checkpoint).is_dir() else None
    return System(name, encoder.model, processor, args, measures, checkpoint, known, folder, encoder.tokenizer)


def _arguments(saved: Mapping[str, Any], looks: dict[str, Any]) -> tuple[TrainArguments, bool]:
    """Settings of a run as far as this version knows them, and whether these are known at all.

    Those that say how the model looks at images are the encoder's. A setting of another version does not stand in the
    way of evaluating its model; one whose value means nothing here leaves only how it looks.
    """
    names = {field.name for field in fields(TrainArguments)}
    try:
        args = TrainArguments(**({key: value for key, value in saved.items() if key in names} | looks))
    except (TypeError, ValueError):
        return TrainArguments(**looks), False
    return args, bool(saved)


def is_run(path: str | Path) -> bool:
    """Whether a folder was written by training/train.py."""
    return any((Path(path) / name / "model.safetensors").exists() for name in ("best", "final"))


def told_apart(systems: list[System]) -> list[System]:
    """Gives systems of one name (another seed, other weights of the loss) what they were loaded from as a second name.

    Raises:
        ValueError: two are of one name and one folder name.
    """
    names = [system.name for system in systems]

    def second(system: System) -> str:
        return system.source if not is_run(system.source) else Path(system.source).resolve().name

    told = [
        replace(system, name=f"{system.name} ({second(system)})") if names.count(system.name) > 1 else system
        for system in systems
    ]
    if len({system.name for system in told}) < len(told):
        raise ValueError(
            f"two of {', '.join(system.source for system in systems)} cannot be told apart: give each once, in a "
            "folder of its own name"
        )
    return told


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
