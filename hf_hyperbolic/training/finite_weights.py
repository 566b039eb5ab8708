"""Weights that are not finite are not validated, kept as a checkpoint or saved: the run ends, and says what is whole.

`step_guard` skips a step whose loss or gradient is not finite, before the optimiser takes it. The optimiser's own step
can still overflow, and after the last step no loss would tell.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from hf_hyperbolic.training.checkpoints import Progress, numbered


@torch.no_grad()
def nonfinite_weight(model: nn.Module) -> str | None:
    """Name of the first parameter or buffer that holds NaN or an infinity; None where all are finite.

    Of weights that are shared out among processes those of this process are looked at.
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    # one answer for all: on an accelerator each would be waited for
    finite = [_local(tensor).isfinite().all() for _, tensor in named]
    if not finite or torch.stack([one.to(finite[0].device) for one in finite]).all():
        return None
    return next(name for (name, _), one in zip(named, finite, strict=True) if not one)


def check_weights(accelerator: Accelerator, models: Sequence[nn.Module], progress: Progress, output: Path) -> None:
    """
    Every process must call it.

    Args:
        accelerator: of the run.
        models: that are about to be validated or saved.
        progress: of the run.
        output: its folder.

    Raises:
        SystemExit: weights of one of them are not finite, here or in another process.
    """
    own = [nonfinite_weight(model) for model in models]
    found = [name for name in gather_object(own) if name is not None]
    if not found:
        return
    if not accelerator.is_main_process:
        raise SystemExit(1)
    raise SystemExit(
        f"the weights are not finite after step {progress.step} (the first is {found[0]}): nothing is saved of them. "
        f"{_what_is_whole(progress, output)}"
    )


def _what_is_whole(progress: Progress, output: Path) -> str:
    checkpoints = numbered(output / "checkpoints")
    best = output / "best"
    whole = [f"{best} (step {progress.best_step})"] if progress.best_step >= 0 and best.is_dir() else []
    whole += [str(checkpoints[-1])] if checkpoints else []
    if not whole:
        return "There is no checkpoint yet: start again in another folder with a lower --learning_rate"
    said = f"{' and '.join(whole)} {'are' if len(whole) > 1 else 'is'} from before it."
    if not checkpoints:
        return f"{said} Start again in another folder with a lower --learning_rate"
    return f"{said} Go on from the checkpoint with --resume true and a lower --learning_rate"


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
