"""What `training/add_text.py` can be told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hf_hyperbolic.training.class_phrases import TEMPLATES


@dataclass
class TextArguments:
    """Settings of a text tower that is fitted to a finished image encoder."""

    FILE: ClassVar[str] = "text_arguments.json"  # saved with the model

    run: str = field(metadata={"help": "the --output_dir of a finished training/train.py, or a checkpoint folder"})
    which: str = field(default="best", metadata={"help": "of a run: best (by the validation figure) or final"})
    output_dir: str | None = field(default=None, metadata={"help": "where the model goes; default: text inside --run"})
    data: str | None = field(
        default=None, metadata={"help": "boxes with class names; default: what the run learnt from"}
    )
    scenes_dir: str | None = field(default=None, metadata={"help": "where the embedded scenes are, if moved"})
    captions: str | None = field(
        default=None,
        metadata={
            "help": "captions of the images, to be learnt too: auto for those that lie with the boxes (of the embedded "
            "scenes they are made), or a folder with COCO's captions_train2017.json and captions_val2017.json"
        },
    )
    names: bool = field(default=True, metadata={"help": "learn the names of the classes; false for captions alone"})
    images: int = field(default=1500, metadata={"help": "at most so many training images are looked at, the first"})
    eval_images: int = field(default=200, metadata={"help": "validation images for the figures at the end"})
    text: str = field(
        default="text-tiny",
        metadata={
            "help": "text-tiny (from scratch; knows the words that it was fitted to alone), or a checkpoint with a "
            "text encoder and its tokenizer: openai/clip-vit-base-patch16"
        },
    )
    templates: list[str] = field(
        default_factory=lambda: list(TEMPLATES),
        metadata={"help": "what a name is put into; evaluation asks by the name alone"},
    )
    aliases: str | None = field(
        default=None, metadata={"help": 'JSON of classes and other names for them: {"sofa": ["couch"]}'}
    )
    max_steps: int = field(default=600, metadata={"help": "optimiser steps"})
    boxes_per_batch: int = field(default=512, metadata={"help": "boxes of a batch, drawn from all classes alike"})
    scenes_per_batch: int = field(default=128, metadata={"help": "full scenes of a batch, and images with a caption"})
    learning_rate: float = field(default=1e-3, metadata={"help": "peak, of what starts from scratch"})
    backbone_learning_rate: float = field(default=1e-5, metadata={"help": "peak, of a text encoder with weights"})
    weight_decay: float = field(default=0.05, metadata={"help": "on matrices"})
    warmup_steps: int = field(default=30, metadata={"help": "steps of linear warm-up"})
    temperature: float = field(default=0.2, metadata={"help": "tau of the angles, fixed"})
    similarity_weight: float = field(default=2.0, metadata={"help": "weight of the cosines beside the angles"})
    similarity_temperature: float = field(default=0.07, metadata={"help": "tau of the cosines, fixed"})
    seed: int = field(default=0)
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is an accelerator"})

    def __post_init__(self) -> None:
        if self.which not in ("best", "final"):
            raise ValueError(f"--which must be best or final, got {self.which!r}")
        if not self.names and not self.captions:
            raise ValueError("--names false leaves nothing to learn: give --captions")
        if not self.names and self.aliases:
            raise ValueError("--aliases are other names of classes, which --names false does not learn")
        if self.captions and Path(self.captions).is_file():
            raise ValueError(
                f"--captions {self.captions} is one file, and training and validation need each its own: give the "
                "folder that has captions_train*.json and captions_val*.json"
            )
        for name in ("images", "eval_images", "max_steps", "boxes_per_batch", "scenes_per_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in ("temperature", "similarity_temperature", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        for name in ("similarity_weight", "weight_decay", "warmup_steps", "backbone_learning_rate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"--{name} cannot be negative, got {getattr(self, name)}")

    @property
    def folder(self) -> Path:
        """Where the model goes."""
        return Path(self.output_dir) if self.output_dir else Path(self.run) / "text"

    def as_dict(self) -> dict[str, Any]:
        """In plain values, for JSON."""
        return asdict(self)


def given_words(settings: Mapping[str, Any]) -> str | None:
    """Which model of its run was given words, "best" or "final", by its `TextArguments`; None where these are not."""
    name = Path(settings.get("run") or "").name
    # the folder of one of the two may have been named in place of the run
    return name if name in ("best", "final") else settings.get("which")
