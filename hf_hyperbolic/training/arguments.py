"""Everything a training run can be told, in one printable dataclass that is saved with the run."""

from dataclasses import dataclass, field

from hf_hyperbolic.data.relations import CrossParents
from hf_hyperbolic.retrieval.measures import HYPERBOLIC_MEASURES, MEASURES, euclidean_counterpart
from hf_hyperbolic.training.fine_tuning_arguments import FineTuningArguments
from hf_hyperbolic.training.run_arguments import IMMATERIAL, MAY_CHANGE

__all__ = ["IMMATERIAL", "LOSSES", "MAY_CHANGE", "TrainArguments"]

LOSSES = ("angle", "cosine", "single_positive", "hcl", "meru", "hycoclip")


@dataclass
class TrainArguments(FineTuningArguments):
    """Settings of one run; the defaults train on the embedded scenes on a CPU."""

    # data
    stream: bool = field(
        default=False,
        metadata={
            "help": "read the training split as it comes; for exported Parquet, whose pairs are taken as they are"
        },
    )

    # model
    projection_dim: int = field(default=128, metadata={"help": "dimension of the embedding"})
    projection_norm: str = field(default="none", metadata={"help": "none or batchnorm, on the projection's output"})
    geometry: str = field(default="lorentz", metadata={"help": "lorentz or euclidean"})
    curvature_init: float = field(default=1.0, metadata={"help": "initial c of the hyperboloid of curvature -c"})
    learn_curvature: bool = field(default=True, metadata={"help": "train the curvature"})

    # batches
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
        default=0.0, metadata={"help": "share of the loss that looks at pairs of one image alone"}
    )
    upward_angle: str = field(
        default="beta",
        metadata={
            "help": "what child -> parent maximises: alpha, the angle at the child (paper), or beta, at the parent"
        },
    )
    proxy_weight: float = field(
        default=1.0,
        metadata={"help": "weight of cosine contrast with one learnt point a class, of its boxes and of their scenes"},
    )
    proxy_temperature: float = field(default=0.07, metadata={"help": "tau of that contrast, fixed"})
    positives: str = field(
        default="outside", metadata={"help": "the sum over a row's positives stands outside or inside the logarithm"}
    )
    relatives: str = field(
        default="masked",
        metadata={"help": "what is related by category but no positive is masked, or among the negatives"},
    )
    class_balance: bool = field(
        default=False,
        metadata={
            "help": "a box counts, as positive and for itself, by the inverse of how many of its class are there"
        },
    )
    radial_weight: float = field(
        default=0.0, metadata={"help": "weight of a hinge that asks a child to lie farther out than its parent"}
    )
    uniformity_weight: float = field(default=0.0, metadata={"help": "weight of spreading directions over the sphere"})
    similarity_weight: float = field(
        default=2.0, metadata={"help": "weight of cosine contrast on the same pairs, beside --loss angle alone"}
    )
    similarity_own_weight: float = field(
        default=0.5, metadata={"help": "share of that contrast that looks at pairs of one image alone"}
    )
    similarity_temperature: float = field(default=0.07, metadata={"help": "tau of that contrast, fixed"})
    text_weight: float = field(
        default=0.0,
        metadata={"help": "weight of names: a text tower is trained beside, whose names of classes entail their boxes"},
    )
    text: str = field(
        default="text-tiny",
        metadata={
            "help": "with a --text_weight: text-tiny (from scratch), or a checkpoint with a text encoder and tokenizer"
        },
    )
    captions: str | None = field(
        default=None,
        metadata={
            "help": "with a --text_weight: captions, which entail their images, beside the names; auto for those that "
            "lie with the boxes (of the embedded scenes they are made), or a folder of COCO's captions_train2017.json"
        },
    )
    loss_tile: int = field(
        default=0,
        metadata={
            "help": "rows of pairs that the angle and the cosine loss hold at a time: memory no longer grows with the "
            "square of the batch, and the loss takes longer; 0 for all at once"
        },
    )
    temperature_init: float = field(default=0.2, metadata={"help": "initial tau"})
    temperature_min: float = field(default=0.01, metadata={"help": "tau is not learnt below this"})

    # bookkeeping
    report_to: list[str] = field(
        default_factory=list,
        metadata={
            "help": "where figures and pictures of retrieval go beside metrics.jsonl: tensorboard, trackio, wandb, all "
            "or none; default: tensorboard where it is installed"
        },
    )

    # ranking, of validation and evaluation
    children_measure: str | None = field(
        default=None,
        metadata={
            "help": "ranks parent -> child; default beta for the angle loss, combined where similarity stands beside "
            "it, and for other losses what they contrast by"
        },
    )
    parents_measure: str | None = field(default=None, metadata={"help": "ranks child -> parent; default as above"})

    # optimisation
    micro_batch_size: int = field(
        default=0,
        metadata={
            "help": "crops that a process holds activations of: a batch is embedded in parts of at most this many, "
            "twice, and learnt from as one (gradient caching); 0 for all at once. The gradient is that of the whole "
            "batch, but where the model has batch statistics (ResNet, --projection_norm batchnorm): these are then of "
            "a part, and move once for each"
        },
    )
    backbone_learning_rate: float | None = field(default=None, metadata={"help": "peak for the backbone, if another"})
    adam_beta1: float = field(default=0.9)
    adam_beta2: float = field(default=0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choices(
            {
                "geometry": ("lorentz", "euclidean"),
                "loss": LOSSES,
                "positives": ("outside", "inside"),
                "upward_angle": ("alpha", "beta"),
                "relatives": ("masked", "negatives"),
                "directions": ("both", "parent_to_child", "child_to_parent"),
                "cross_parents": ("scene", "all", "none"),
                "projection_norm": ("none", "batchnorm"),
            }
        )
        self._check_at_least(1, "projection_dim")
        self._check_at_least(0, "loss_tile", "micro_batch_size")
        self._check_at_least(
            0, "similarity_weight", "proxy_weight", "radial_weight", "uniformity_weight", "text_weight"
        )
        self._check_shares("own_weight", "similarity_own_weight", "class_exponent")
        for name in ("children_measure", "parents_measure"):
            if getattr(self, name) is not None and getattr(self, name) not in MEASURES:
                raise ValueError(f"--{name} must be one of {', '.join(MEASURES)}, got {getattr(self, name)!r}")
        for name in ("children_measure", "parents_measure"):
            if self.geometry == "euclidean" and getattr(self, name) in HYPERBOLIC_MEASURES:
                raise ValueError(
                    f"--{name} {getattr(self, name)} needs --geometry lorentz; there is "
                    f"{euclidean_counterpart(getattr(self, name))}"
                )
        if self.text_weight and self.micro_batch_size:
            raise ValueError(
                "--text_weight embeds names with the images of a batch, which --micro_batch_size takes in parts: train "
                "without one of them, or add words to the finished run by training/add_text.py"
            )
        if self.captions and (not self.text_weight or self.stream):
            raise ValueError(
                "--captions are learnt by a text tower from images that are at hand: give a --text_weight, and no "
                "--stream"
            )
        if self.text_weight and self.cache_features:
            raise ValueError(
                "--cache_features trains the image head alone, without --text_weight: add words to the finished run by "
                "training/add_text.py"
            )
        if self.loss != "angle" and self.directions != "both":
            raise ValueError(f"--directions is of the angle loss; --loss {self.loss} has both")
        if self.loss not in ("angle", "cosine") and self.positives != "outside":
            raise ValueError(f"--positives is of the angle and the cosine loss; --loss {self.loss} has its own")
        if self.class_balance and self.loss not in ("angle", "cosine"):
            raise ValueError(
                f"--class_balance is of the angle and the cosine loss; --loss {self.loss} weighs pairs alike"
            )
        if self.loss_tile and (
            self.loss not in ("angle", "cosine")
            or self.relatives == "negatives"
            or self.class_balance
            or self.radial_weight
            or self.uniformity_weight
        ):
            raise ValueError(
                "--loss_tile is of --loss angle and cosine; it does not go with --relatives negatives, "
                "--class_balance, --radial_weight or --uniformity_weight, which look at all pairs at once"
            )
        if self.geometry == "euclidean" and self.loss in ("hcl", "meru", "hycoclip"):
            raise ValueError(f"--loss {self.loss} measures hyperbolic distances: it needs --geometry lorentz")
        if self.mated_boxes_per_scene and not self.mates_per_box:
            raise ValueError("--mated_boxes_per_scene needs --mates_per_box of at least 1")
        if not 0 < self.temperature_min < self.temperature_init:
            raise ValueError(
                f"--temperature_min must lie between 0 and --temperature_init {self.temperature_init}, got "
                f"{self.temperature_min}"
            )
        for name in ("proxy_temperature", "similarity_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        if self.stream and (self.data == "scenes" or self.mated_boxes_per_scene or self.class_exponent != 1):
            raise ValueError(
                "--stream true needs --data with exported Parquet, --mated_boxes_per_scene 0 and --class_exponent 1: a "
                "stream cannot seek out boxes of a class"
            )
        if self.stream and self.cache_features:
            raise ValueError("--cache_features computes the features of all crops before it starts: not with --stream")
        if self.stream and self.deny_pairs:
            raise ValueError(
                "--stream true takes the exported pairs as they are: instead of --deny_pairs give --deny to "
                "`hf-hyperbolic data convert --to parquet`"
            )
