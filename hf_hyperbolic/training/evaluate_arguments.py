"""What `training/evaluate.py` can be told."""

from dataclasses import dataclass, field
from pathlib import Path

from hf_hyperbolic.training.output_names import file_name, free_folder


@dataclass
class EvaluateArguments:
    """What to evaluate, on what."""

    run: str | None = field(default=None, metadata={"help": "the --output_dir of training/train.py"})
    checkpoint: str | None = field(
        default=None,
        metadata={"help": "in place of --run: a checkpoint folder or Hub name, ours, CLIP or another vision model"},
    )
    baselines: list[str] = field(default_factory=list, metadata={"help": "other runs or checkpoints beside it"})
    which: str = field(default="best", metadata={"help": "of a run: best (by the validation figure) or final"})
    data: str | None = field(
        default=None, metadata={"help": "another data set than the run's; whatever training/train.py reads"}
    )
    split: str = field(default="val", metadata={"help": "val; the embedded scenes have test and ood too"})
    format: str = field(default="auto", metadata={"help": "of --data, where it can be read in several ways"})
    image_folder: str | None = field(default=None, metadata={"help": "where its images lie, if not with it"})
    threshold: float | None = field(
        default=None,
        metadata={"help": "share of a box inside another that makes it its child; default: the run's"},
    )
    context: float = field(
        default=0.0,
        metadata={"help": "share of a box's side shown beyond it, to checkpoints that do not say theirs"},
    )
    ground: str = field(default="index", metadata={"help": "of OT@k: index (the paper's), or tree"})
    class_hierarchy: str | None = field(
        default=None, metadata={"help": "file of --ground tree: JSON of Open Images, or a map of classes to parents"}
    )
    zero_shot: bool = field(
        default=False,
        metadata={
            "help": "tell boxes by class prototypes of --support_split too, and where the model has a text tower by "
            "the names of the classes, and find boxes and scenes by these"
        },
    )
    captions: str | None = field(
        default=None,
        metadata={
            "help": "find images by captions and captions by images too, where the model has a text tower: auto for "
            "those that lie with the boxes (of the embedded scenes they are made), or a file or folder of COCO's"
        },
    )
    support_split: str = field(default="train", metadata={"help": "split that prototypes are made from"})
    shots: int = field(default=50, metadata={"help": "most boxes of a class behind a prototype"})
    support_draws: int = field(default=3, metadata={"help": "how often these boxes are drawn; figures are their mean"})
    output_dir: str | None = field(
        default=None,
        metadata={"help": "default: evaluation-SPLIT inside the run, or a folder of outputs/evaluation"},
    )
    seed: int = field(default=0, metadata={"help": "of pair sampling, bootstrap and the choice of gallery queries"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU"})

    def __post_init__(self) -> None:
        if (self.run is None) == (self.checkpoint is None):
            raise ValueError("give either --run, a folder of training/train.py, or --checkpoint, any other model")
        if self.which not in ("best", "final"):
            raise ValueError(f"--which must be best or final, got {self.which!r}")
        if self.ground not in ("index", "tree"):
            raise ValueError(f"--ground must be index or tree, got {self.ground!r}")
        if (self.ground == "tree") != (self.class_hierarchy is not None):
            raise ValueError("--ground tree and --class_hierarchy FILE belong together")
        if self.zero_shot and self.support_split == self.split:
            raise ValueError(f"--support_split must be another split than --split, which is {self.split} too")

    def folder(self, data: str, own_data: bool) -> Path:
        """Where the figures go; those of another checkpoint or on another data set are not replaced, whatever its name.

        A name that figures of another checkpoint or data set have taken gets a number.
        """
        if self.output_dir:
            return Path(self.output_dir)
        of_data = "" if own_data else f"{file_name(Path(data).name)}-"
        if self.run:
            first = Path(self.run) / f"evaluation-{of_data}{self.split}"
        else:
            first = Path("outputs/evaluation") / f"{file_name(str(self.checkpoint))}-{of_data}{self.split}"
        return free_folder(first, self.checkpoint, data)
