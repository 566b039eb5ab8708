"""Everything a training run can be told, in one printable dataclass that is saved with the run."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from hf_hyperbolic.data.crops import CropMode
from hf_hyperbolic.data.relations import CrossParents
from hf_hyperbolic.retrieval.measures import HYPERBOLIC_MEASURES, MEASURES

# what a resumed run may be told anew
MAY_CHANGE = {
    "output_dir", "scenes_dir", "learning_rate", "backbone_learning_rate", "max_grad_norm", "max_steps", "num_workers",
    "image_cache_gb", "logging_steps", "eval_steps", "eval_images", "keep_checkpoints", "resume", "cpu",
    "mixed_precision", "children_measure", "parents_measure",
}  # fmt: skip


# what has no part in the result of a run
IMMATERIAL = {
    "output_dir", "scenes_dir", "num_workers", "image_cache_gb", "logging_steps", "keep_checkpoints", "resume",
}  # fmt: skip


LOSSES = ("angle", "cosine", "single_positive", "hcl", "meru", "hycoclip")


@dataclass
class TrainArguments:
    """Settings of one run; the defaults train on the embedded scenes on a CPU."""

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
    stream: bool = field(
        default=False,
        metadata={
            "help": "read the training split as it comes; for exported Parquet, whose pairs are taken as they are"
        },
    )
    min_box_size: float = field(
        default=4.0, metadata={"help": "boxes narrower or lower than this are skipped (pixels)"}
    )

    # model
    backbone: str = field(
        default="resnet-tiny",
        metadata={
            "help": "resnet-tiny (from scratch), or a transformers vision checkpoint: openai/clip-vit-base-patch16"
        },
    )
    image_size: int = field(default=64, metadata={"help": "side of the crops the model sees, in pixels"})
    projection_dim: int = field(default=128, metadata={"help": "dimension of the embedding"})
    projection_norm: str = field(default="none", metadata={"help": "none or batchnorm, on the projection's output"})
    geometry: str = field(default="lorentz", metadata={"help": "lorentz or euclidean"})
    curvature_init: float = field(default=1.0, metadata={"help": "initial c of the hyperboloid of curvature -c"})
    learn_curvature: bool = field(default=True, metadata={"help": "train the curvature"})

    # batches
    scenes_per_batch: int = field(default=40, metadata={"help": "images whose full scene is in a batch"})
    boxes_per_scene: int = field(default=6, metadata={"help": "at most this many boxes of each of them"})
    mated_boxes_per_scene: int = field(default=0, metadata={"help": "of these, how many bring cross-image mates"})
    mates_per_box: int = field(default=1, metadata={"help": "K: cross-image mates for each mated box"})
    cross_parents: CrossParents = field(
        default="scene", metadata={"help": "whose cross-image pairs count: scene, all or none"}
    )
    class_exponent: float = field(
        default=1.0,
        metadata={
            "help": "t in [0, 1]: a class of n examples is drawn in proportion to n^t; 1 as frequent as it is, 0 all "
            "alike, 0.5 as repeat-factor sampling"
        },
    )
    context: float = field(default=0.25, metadata={"help": "share of a box's side shown beyond it on each side"})
    crop_mode: CropMode = field(default="resize", metadata={"help": "resize (squash to a square) or pad"})
    flip: bool = field(default=True, metadata={"help": "mirror images at random"})

    # loss
    loss: str = field(
        default="angle",
        metadata={
            "help": "angle; or of the systems to compare with: cosine, single_positive (ACCEPT), hcl, meru, hycoclip"
        },
    )
    directions: str = field(
        default="both", metadata={"help": "of the angle loss: both, or parent_to_child or child_to_parent alone"}
    )
    own_weight: float = field(
        default=0.0, metadata={"help": "share of the angle loss that looks at own-image pairs alone"}
    )
    upward_angle: str = field(
        default="alpha",
        metadata={
            "help": "what child -> parent maximises: alpha, the angle at the child (paper), or beta, at the parent"
        },
    )
    proxy_weight: float = field(
        default=0.0, metadata={"help": "weight of one learnt point a class, which scenes entail and boxes resemble"}
    )
    proxy_scene_temperature: float = field(default=0.15, metadata={"help": "tau of that angle, fixed, in radians"})
    proxy_box_temperature: float = field(default=0.07, metadata={"help": "tau of that cosine, fixed"})
    positives: str = field(
        default="outside", metadata={"help": "the sum over a row's positives stands outside or inside the logarithm"}
    )
    relatives: str = field(
        default="masked",
        metadata={"help": "what is related by category but no positive is masked, or among the negatives"},
    )
    radial_weight: float = field(
        default=0.0, metadata={"help": "weight of a hinge that asks a child to lie farther out than its parent"}
    )
    uniformity_weight: float = field(default=0.0, metadata={"help": "weight of spreading directions over the sphere"})
    similarity_weight: float = field(
        default=2.0, metadata={"help": "weight of cosine contrast on the same pairs, beside the angle loss"}
    )
    similarity_own_weight: float = field(
        default=0.25,
        metadata={"help": "share of that contrast, and of the cosine loss, that looks at own-image pairs alone"},
    )
    similarity_temperature: float = field(default=0.07, metadata={"help": "tau of that contrast, fixed"})
    temperature_init: float = field(default=0.2, metadata={"help": "initial tau"})
    temperature_min: float = field(default=0.01, metadata={"help": "tau is not learnt below this"})

    # ranking, of validation and evaluation
    children_measure: str | None = field(
        default=None, metadata={"help": "ranks parent -> child; default beta, or cosine for the cosine loss"}
    )
    parents_measure: str | None = field(default=None, metadata={"help": "ranks child -> parent; default as above"})

    # optimisation
    max_steps: int = field(default=1000, metadata={"help": "optimiser steps"})
    learning_rate: float = field(default=2e-3, metadata={"help": "peak learning rate of the head and scalars"})
    backbone_learning_rate: float | None = field(default=None, metadata={"help": "peak for the backbone, if another"})
    weight_decay: float = field(default=0.05, metadata={"help": "on matrices and kernels; never on scalars and norms"})
    adam_beta1: float = field(default=0.9)
    adam_beta2: float = field(default=0.999)
    warmup_steps: int = field(default=50, metadata={"help": "steps of linear warm-up before the cosine decay"})
    max_grad_norm: float = field(default=1.0, metadata={"help": "clip the gradient's norm; 0 for no clipping"})
    mixed_precision: str = field(
        default="auto", metadata={"help": "no, bf16, fp16, or auto: bf16 where the device multiplies it natively"}
    )

    # bookkeeping
    seed: int = field(default=0)
    num_workers: int = field(default=0, metadata={"help": "processes that decode and crop"})
    image_cache_gb: float = field(default=1.0, metadata={"help": "decoded images kept in memory, for each worker"})
    logging_steps: int = field(default=10)
    eval_steps: int = field(default=250, metadata={"help": "validate, keep the best and save a checkpoint this often"})
    eval_images: int = field(default=200, metadata={"help": "validation images looked at while training"})
    keep_checkpoints: int = field(default=2, metadata={"help": "newest checkpoints kept"})
    resume: bool = field(default=False, metadata={"help": "go on from the newest checkpoint in output_dir"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is an accelerator"})

    def __post_init__(self) -> None:
        choices = {
            "geometry": ("lorentz", "euclidean"),
            "loss": LOSSES,
            "positives": ("outside", "inside"),
            "upward_angle": ("alpha", "beta"),
            "relatives": ("masked", "negatives"),
            "directions": ("both", "parent_to_child", "child_to_parent"),
            "cross_parents": ("scene", "all", "none"),
            "crop_mode": ("resize", "pad"),
            "projection_norm": ("none", "batchnorm"),
            "mixed_precision": ("auto", "no", "bf16", "fp16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"--{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("children_measure", "parents_measure"):
            if getattr(self, name) is not None and getattr(self, name) not in MEASURES:
                raise ValueError(f"--{name} must be one of {', '.join(MEASURES)}, got {getattr(self, name)!r}")
        for name in (
            "image_size",
            "projection_dim",
            "max_steps",
            "logging_steps",
            "eval_steps",
            "eval_images",
            "keep_checkpoints",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "warmup_steps",
            "num_workers",
            "max_grad_norm",
            "similarity_weight",
            "radial_weight",
            "uniformity_weight",
            "proxy_weight",
            "context",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} cannot be negative, got {getattr(self, name)}")
        for name in ("children_measure", "parents_measure"):
            if self.geometry == "euclidean" and getattr(self, name) in HYPERBOLIC_MEASURES:
                raise ValueError(f"--{name} {getattr(self, name)} needs --geometry lorentz; there is euclidean_beta")
        for name in ("own_weight", "similarity_own_weight", "class_exponent"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("image_cache_gb", "min_box_size"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"--{name} cannot be negative, got {getattr(self, name)}")
        if self.loss != "angle" and self.own_weight:
            raise ValueError(
                f"--own_weight is of the angle loss; that of --loss {self.loss} is --similarity_own_weight"
            )
        if self.loss != "angle" and self.directions != "both":
            raise ValueError(f"--directions is of the angle loss; --loss {self.loss} has both")
        if self.loss not in ("angle", "cosine") and self.positives != "outside":
            raise ValueError(f"--positives is of the angle and the cosine loss; --loss {self.loss} has its own")
        if self.geometry == "euclidean" and self.loss in ("hcl", "meru", "hycoclip"):
            raise ValueError(f"--loss {self.loss} measures hyperbolic distances: it needs --geometry lorentz")
        if self.mated_boxes_per_scene and not self.mates_per_box:
            raise ValueError("--mated_boxes_per_scene needs --mates_per_box of at least 1")
        if not 0 < self.temperature_min < self.temperature_init:
            raise ValueError(
                f"--temperature_min must lie between 0 and --temperature_init {self.temperature_init}, got "
                f"{self.temperature_min}"
            )
        for name in ("proxy_scene_temperature", "proxy_box_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if self.similarity_temperature <= 0:
            raise ValueError(f"--similarity_temperature must be positive, got {self.similarity_temperature}")
        for pair in self.deny_pairs:
            if not all(pair.partition(">")[::2]) or pair.count(">") != 1:
                raise ValueError(f"--deny_pairs takes 'parent class>child class', got {pair!r}")
        if self.stream and (self.data == "scenes" or self.mated_boxes_per_scene or self.class_exponent != 1):
            raise ValueError(
                "--stream true needs --data with exported Parquet, --mated_boxes_per_scene 0 and --class_exponent 1: a "
                "stream cannot seek out boxes of a class"
            )
        if self.stream and self.deny_pairs:
            raise ValueError(
                "--stream true takes the exported pairs as they are: instead of --deny_pairs give --deny to "
                "`hf-hyperbolic data convert --to parquet`"
            )
        if not 0 < self.threshold <= 1:
            raise ValueError(f"--threshold must lie in (0, 1], got {self.threshold}")

    @classmethod
    def parse(cls, argv: list[str]) -> "TrainArguments":
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
    def load(cls, run: str | Path) -> "TrainArguments":
        """The settings saved with a run."""
        path = Path(run) / "arguments.json"
        saved = json.loads(path.read_text())
        unknown = sorted(set(saved) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"{path} has settings of another version: {', '.join(unknown)}")
        return cls(**saved)

    def changes_since(self, saved: "TrainArguments", leaving_out: Collection[str] = MAY_CHANGE) -> list[str]:
        """Settings that make another run of it; by default those that may change when a run is resumed do not."""
        return [
            f"{f.name} was {getattr(saved, f.name)}, now {getattr(self, f.name)}"
            for f in fields(self)
            if f.name not in leaving_out and getattr(saved, f.name) != getattr(self, f.name)
        ]

    def save(self, run: str | Path) -> None:
        (Path(run) / "arguments.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


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
