"""An exponential moving average of the weights: evaluated and saved in place of the weights of the last step."""

import copy
from pathlib import Path
from typing import Generic, TypeVar

import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

Model = TypeVar("Model", bound=nn.Module)

FILE = "average.safetensors"  # in a checkpoint


class WeightAverage(Generic[Model]):
    """`average = d * average + (1 - d) * weights` after every step, in float32.

    `d` is `decay`, and (1 + n) / (10 + n) at step n while that is less, so that the weights a run started from are soon
    forgotten (as TensorFlow's ExponentialMovingAverage does with `num_updates`). Batch statistics, averages themselves,
    are those of the model.

    Attributes:
        model: a copy that holds the average, in evaluation mode.

    Args:
        model: before `accelerator.prepare`, which ties its forward pass to the weights it has.
        decay: in [0, 1).
    """

    def __init__(self, model: Model, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        self.model = copy.deepcopy(model).float().eval().requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the weights after a step; `model` has the names that the first one had."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        weights = dict(model.named_parameters())
        for name, average in self.model.named_parameters():
            if weights[name].requires_grad:
                average.lerp_(weights[name].float(), 1 - decay)
        buffers = dict(model.named_buffers())
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])

    def keep_with(self, accelerator: Accelerator) -> None:
        """From now on the average is saved and restored with each checkpoint of `accelerator`."""

        def save(_: list[nn.Module], __: list[dict], folder: str) -> None:
            if accelerator.is_main_process:
                state = {name: tensor.contiguous().clone() for name, tensor in self.model.state_dict().items()}
                save_file(state, Path(folder) / FILE, {"updates": str(self.updates)})

        def load(_: list[nn.Module], folder: str) -> None:
            self.load(Path(folder) / FILE)

        accelerator.register_save_state_pre_hook(save)
        accelerator.register_load_state_pre_hook(load)

    def load(self, file: Path) -> None:
        """Restores what a checkpoint holds.

        Raises:
            FileNotFoundError: it holds none.
        """
        if not file.exists():
            raise FileNotFoundError(f"{file} is missing: the checkpoint is of a run without --ema_decay, or damaged")
        with safe_open(file, "pt") as opened:
            self.updates = int(opened.metadata()["updates"])
        self.model.load_state_dict(load_file(file))
