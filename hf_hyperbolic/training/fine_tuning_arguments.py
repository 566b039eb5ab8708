"""What a run is told about fine-tuning: how little of a pretrained backbone to train, and what to keep of it."""

from dataclasses import dataclass, field

from hf_hyperbolic.training.run_arguments import RunArguments


@dataclass
class FineTuningArguments(RunArguments):
    """Settings of fine-tuning; by default all of the backbone is trained, at one rate."""

    freeze_backbone: bool = field(default=False, metadata={"help": "train the head alone"})
    freeze_layers: int = field(
        default=0, metadata={"help": "freeze the backbone's embeddings (or stem) and its first N blocks"}
    )
    cache_features: bool = field(
        default=False,
        metadata={
            "help": "train the head alone, on features that the backbone computes once for all crops and keeps in "
            "--features_dir; needs --flip false"
        },
    )
    features_dir: str = field(default="outputs/features", metadata={"help": "where features of --cache_features lie"})
    layer_decay: float = field(
        default=1.0,
        metadata={"help": "factor on the backbone's learning rate from each block to the one before it; 1 for none"},
    )
    lora_rank: int = field(
        default=0, metadata={"help": "train low-rank adapters in place of the backbone's weights (LoRA); 0 for none"}
    )
    lora_alpha: float | None = field(
        default=None, metadata={"help": "alpha of LoRA, whose update is scaled by alpha / rank; default twice the rank"}
    )
    lora_targets: list[str] = field(
        default_factory=list,
        metadata={
            "help": "last words of the names of adapted modules, q_proj v_proj; default: all linear layers of blocks"
        },
    )
    ema_decay: float = field(
        default=0.0,
        metadata={
            "help": "evaluate and save an exponential moving average of the weights, 0.999 say; 0 for the weights "
            "themselves"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least(0, "freeze_layers", "lora_rank")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer_decay must lie in (0, 1], got {self.layer_decay}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"--ema_decay must lie in [0, 1), got {self.ema_decay}")
        if self.lora_alpha is not None and not self.lora_alpha > 0:
            raise ValueError(f"--lora_alpha must be positive, got {self.lora_alpha}")
        if not self.lora_rank and (self.lora_alpha is not None or self.lora_targets):
            raise ValueError("--lora_alpha and --lora_targets need --lora_rank")
        if self.cache_features:
            self.freeze_backbone = True
            if self.flip:
                raise ValueError("--cache_features shows every crop as it is, always: it needs --flip false")
        if self.freeze_backbone and (self.freeze_layers or self.lora_rank or self.layer_decay != 1):
            given = "cache_features" if self.cache_features else "freeze_backbone"
            raise ValueError(
                f"--{given} trains nothing of the backbone: it does not go with --freeze_layers, --lora_rank or "
                "--layer_decay"
            )
        if self.freeze_backbone and self.gradient_checkpointing:
            raise ValueError(
                "--gradient_checkpointing has nothing to compute again where all of the backbone is frozen"
            )
        if self.cache_features and self.torch_compile:
            raise ValueError(
                "--torch_compile compiles the backbone, which --cache_features runs once over each crop, or not at all "
                "where features are at hand"
            )
