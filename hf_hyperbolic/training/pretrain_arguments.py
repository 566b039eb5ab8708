"""Everything a pretraining run can be told."""

from dataclasses import dataclass, field
from typing import ClassVar

from hf_hyperbolic.training.run_arguments import RunArguments

OBJECTIVES = ("simclr", "vicreg")


@dataclass
class PretrainArguments(RunArguments):
    """Settings of one run of training/pretrain.py; the defaults are for a few hundred photographs on a CPU."""

    FILE: ClassVar[str] = "pretrain_arguments.json"

    output_dir: str = field(default="outputs/pretrain", metadata={"help": "where checkpoints, logs and backbone/ go"})

    objective: str = field(default="simclr", metadata={"help": "simclr, or vicreg, which has no negatives"})
    temperature: float = field(default=0.2, metadata={"help": "tau of the contrast of simclr"})
    head_dim: int = field(default=128, metadata={"help": "dimension that views are compared in; thrown away after"})
    min_area: float = field(default=0.2, metadata={"help": "least share of a crop that a view shows"})
    colour: float = field(default=1.0, metadata={"help": "strength of the changes of colour, from 0 to 1"})

    learning_rate: float = field(default=2e-3, metadata={"help": "peak learning rate"})
    eval_steps: int = field(default=250, metadata={"help": "validate and save a checkpoint this often"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choices({"objective": OBJECTIVES})
        self._check_at_least(1, "head_dim")
        self._check_shares("colour", "min_area")
        for name in ("temperature", "min_area"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
