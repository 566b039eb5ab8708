"""What every run is told: data, batches, optimiser and bookkeeping; how settings are read, saved and compared."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from transformers import HfArgumentParser

from hf_hyperbolic.data.crops import CropMode
from hf_hyperbolic.data.files import write_text

# what a resumed run may be told anew
MAY_CHANGE = {
    "output_dir", "scenes_dir", "learning_rate", "backbone_learning_rate", "max_grad_norm", "max_steps", "num_workers",
    "image_cache_gb", "logging_steps", "eval_steps", "eval_images", "keep_checkpoints", "resume", "cpu",
    "mixed_precision", "children_measure", "parents_measure", "loss_tile", "micro_batch_size", "features_dir",
    "report_to", "worker_timeout", "process_timeout", "max_skipped_steps", "torch_compile", "gradient_checkpointing",
}  # fmt: skip

# what has no part in the result of a run
IMMATERIAL = {
    "output_dir", "scenes_dir", "num_workers", "image_cache_gb", "logging_steps", "keep_checkpoints", "resume",
    "features_dir", "report_to", "worker_timeout", "process_timeout", "torch_compile", "gradient_checkpointing",
}  # fmt: skip


@dataclass
class RunArguments:
    """Settings that all scripts which train have in common."""

    FILE: ClassVar[str] = "arguments.json"  # saved with the run

    output_dir: str = field(default="outputs/train", metadata={"help": "where checkpoints, logs and the model go"})

    # data
    data: str = field(
        default="scenes",
        metadata={
            "help": "'scenes' for the embedded scenes; a folder with instances_{train,val}.json (COCO) "
            "and the images; or whatever else read_source knows: LVIS, Pascal VOC, Open Images, exported Parquet, a "
            "detection data set of the Hub"
        },
    )
    scenes_dir: str = field(default="outputs/scenes", metadata={"help": "where the embedded scenes are rendered to"})
    train_scenes: int = field(default=6000, metadata={"help": "embedded scenes to train on"})
    val_scenes: int = field(default=400, metadata={"help": "embedded scenes to validate on"})
    threshold: float = field(
        default=0.8,
        metadata={"help": "share of a box inside another that makes it its child; that of the export for Parquet"},
    )
    deny_pairs: list[str] = field(
        default_factory=list,
        metadata={
            "help": "class pairs that are no whole and part whatever their boxes: 'vegetation>window' 'person>car'"
        },
    )
    min_box_size: float = field(
        default=4.0, metadata={"help": "boxes narrower or lower than this are skipped (pixels)"}
    )

    # model
    backbone: str = field(
        default="resnet-tiny",
        metadata={
            "help": "resnet-tiny (from scratch); a transformers vision checkpoint: openai/clip-vit-base-patch16; what "
            "training/pretrain.py wrote; a model of this library, whose head is taken where settings agree; or a "
            "folder with a config.json alone, from scratch"
        },
    )
    image_size: int = field(default=64, metadata={"help": "side of the crops the model sees, in pixels"})

    # batches
    scenes_per_batch: int = field(default=40, metadata={"help": "images whose full scene is in a batch"})
    boxes_per_scene: int = field(default=6, metadata={"help": "at most this many boxes of each of them"})
    context: float = field(default=0.25, metadata={"help": "share of a box's side shown beyond it on each side"})
    crop_mode: CropMode = field(default="resize", metadata={"help": "resize (squash to a square) or pad"})
    flip: bool = field(default=True, metadata={"help": "mirror images at random"})

    # optimisation
    max_steps: int = field(default=1000, metadata={"help": "optimiser steps"})
    learning_rate: float = field(default=2e-3, metadata={"help": "peak learning rate of the head and scalars"})
    weight_decay: float = field(default=0.05, metadata={"help": "on matrices and kernels; never on scalars and norms"})
    warmup_steps: int = field(default=50, metadata={"help": "steps of linear warm-up before the cosine decay"})
    max_grad_norm: float = field(default=1.0, metadata={"help": "clip the gradient's norm; 0 for no clipping"})
    mixed_precision: str = field(
        default="auto", metadata={"help": "no, bf16, fp16, or auto: bf16 where the device multiplies it natively"}
    )

    torch_compile: bool = field(
        default=False, metadata={"help": "compile the backbone: slow first steps, faster ones after, most on a GPU"}
    )
    gradient_checkpointing: bool = field(
        default=False,
        metadata={"help": "keep no activations within the backbone's blocks: less memory, about a third more time"},
    )

    # bookkeeping
    seed: int = field(default=0)
    num_workers: int = field(default=0, metadata={"help": "processes that decode and crop"})
    worker_timeout: int = field(
        default=600, metadata={"help": "seconds that a batch of these may take before the run ends with an error"}
    )
    process_timeout: int = field(
        default=1800,
        metadata={
            "help": "seconds that one of several training processes waits for another before it ends with an error; "
            "they wait while one of them validates and saves"
        },
    )
    image_cache_gb: float = field(default=1.0, metadata={"help": "decoded images kept in memory, for each worker"})
    logging_steps: int = field(default=10)
    eval_steps: int = field(default=250, metadata={"help": "validate, keep the best and save a checkpoint this often"})
    eval_images: int = field(default=200, metadata={"help": "validation images looked at while training"})
    keep_checkpoints: int = field(default=2, metadata={"help": "newest checkpoints kept"})
    max_skipped_steps: int = field(
        default=5,
        metadata={
            "help": "steps in a row that may be skipped because their loss or gradient is not finite; the run ends at "
            "one more"
        },
    )
    resume: bool = field(default=False, metadata={"help": "go on from the newest whole checkpoint in output_dir"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is an accelerator"})

    def __post_init__(self) -> None:
        self._check_choices({"crop_mode": ("resize", "pad"), "mixed_precision": ("auto", "no", "bf16", "fp16")})
        self._check_at_least(
            1, "image_size", "max_steps", "logging_steps", "eval_steps", "eval_images", "keep_checkpoints",
            "worker_timeout", "process_timeout",
        )  # fmt: skip
        self._check_at_least(
            0, "warmup_steps", "num_workers", "max_grad_norm", "context", "image_cache_gb", "min_box_size",
            "max_skipped_steps",
        )  # fmt: skip
        for pair in self.deny_pairs:
            if not all(pair.partition(">")[::2]) or pair.count(">") != 1:
                raise ValueError(f"--deny_pairs takes 'parent class>child class', got {pair!r}")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"--threshold must lie in (0, 1], got {self.threshold}")

    def _check_choices(self, choices: Mapping[str, Sequence[str]]) -> None:
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"--{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    def _check_at_least(self, least: int, *names: str) -> None:
        for name in names:
            if not getattr(self, name) >= least:  # so that NaN is refused
                bound = f"must be at least {least}" if least else "cannot be negative"
                raise ValueError(f"--{name} {bound}, got {getattr(self, name)}")

    def _check_shares(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name} must lie in [0, 1], got {getattr(self, name)}")

    @classmethod
    def parse(cls, argv: list[str]) -> Self:
        """From a command line, whose first word may be a YAML file; options after it override it.

        Raises:
            ValueError: a key of the file is unknown; the message lists the known ones.
        """
        defaults: dict[str, Any] = {}
        if argv and argv[0].endswith((".yaml", ".yml")):
            defaults = read_yaml(argv[0], {f.name for f in fields(cls)})
            argv = argv[1:]
        parser = HfArgumentParser(cls)  # type: ignore[arg-type]
        parser.set_defaults(**defaults)
        return parser.parse_args_into_dataclasses(argv)[0]

    @classmethod
    def load(cls, run: str | Path) -> Self:
        """The settings saved with a run."""
        path = Path(run) / cls.FILE
        saved = json.loads(path.read_text())
        unknown = sorted(set(saved) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(
                f"{path} has settings of another version: {', '.join(unknown)}. Evaluate the model alone by "
                f"training/evaluate.py --checkpoint {Path(run)}, or train again"
            )
        return cls(**saved)

    def changes_since(self, saved: Self, leaving_out: Collection[str] = MAY_CHANGE) -> list[str]:
        """Settings that make another run of it; by default those that may change when a run is resumed do not."""
        return [
            f"{f.name} was {getattr(saved, f.name)}, now {getattr(self, f.name)}"
            for f in fields(self)
            if f.name not in leaving_out and getattr(saved, f.name) != getattr(self, f.name)
        ]

    def save(self, run: str | Path) -> None:
        write_text(Path(run) / self.FILE, json.dumps(asdict(self), indent=2) + "\n")


def read_yaml(path: str, known: set[str]) -> dict[str, Any]:
    """A flat YAML mapping whose keys are all in `known`."""
    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such configuration file; see training/configs/") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold one mapping of settings to values")
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f"{path}: unknown settings {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return content
