"""Steps whose loss or gradient is not finite are skipped: they change nothing, and they are counted."""

import json
import math
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from hf_hyperbolic.training.checkpoints import Progress
from hf_hyperbolic.training.failures import is_write_failure

# batches that are written out to be looked at, by each process
_KEPT_BATCHES = 5


class StepGuard:
    """Keeps one bad batch from ending a run, and a run that has gone bad from going on.

    Every process must call `before` and `refuses` in every step: they agree on what is skipped.

    Args:
        accelerator: of the run.
        model: whose buffers a forward pass changes, as running statistics are.
        progress: where skipped steps are counted.
        output: the run's folder, where the first batches that were skipped go.
        most_in_a_row: steps in a row that may be skipped.
    """

    def __init__(
        self, accelerator: Accelerator, model: torch.nn.Module, progress: Progress, output: Path, most_in_a_row: int
    ) -> None:
        self._accelerator, self._progress, self._output = accelerator, progress, output
        self._buffers, self._most = list(model.buffers()), most_in_a_row
        self._kept: list[torch.Tensor] = []
        self.in_a_row = 0

    def before(self) -> None:
        """Remembers what the forward pass changes."""
        self._kept = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def refuses(self, loss: float, length: torch.Tensor | float) -> str | None:
        """What is not finite, here or in another process, so that the optimiser must not step; None for nothing.

        The model's buffers are then what they were before the step.

        Args:
            loss: of the step.
            length: of its gradient, before it was clipped.
        """
        what = None
        if not math.isfinite(loss):
            what = f"the loss is {loss}"
        # fp16 overflows now and then, and its gradient scaler skips such a step
        elif self._accelerator.mixed_precision != "fp16" and not math.isfinite(float(length)):
            what = "the gradient is not finite"
        if self._accelerator.num_processes > 1:
            told = torch.tensor([float(what is not None)], device=self._accelerator.device)
            if self._accelerator.reduce(told, "sum").item() and what is None:
                what = "the loss or the gradient of another process is not finite"
        if what is None:
            self.in_a_row = 0
            return None
        for buffer, kept in zip(self._buffers, self._kept, strict=True):
            buffer.copy_(kept)
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.update()  # or it would not unscale the next gradient
        self.in_a_row += 1
        self._progress.skipped += 1
        return what

    def report(self, what: str, crops: list[str], batch: dict) -> str:
        """Keeps the batch of a skipped step, and says what happened.

        Args:
            what: as `refuses` says it.
            crops: what the batch shows.
            batch: with `pixel_values` and `nodes`.

        Raises:
            SystemExit: more steps in a row were skipped than may be.
        """
        step, process = self._progress.step, self._accelerator.process_index
        what = f"{what} at step {step}"
        where = f"the batch is not kept, as the first {_KEPT_BATCHES} are"
        if self._progress.skipped <= _KEPT_BATCHES:
            file = self._output / f"nonfinite_step_{step}_process_{process}.safetensors"
            tensors = {"pixel_values": batch["pixel_values"], "nodes": torch.as_tensor(batch["nodes"])}
            try:
                save_file(tensors, file, {"crops": json.dumps(crops)})
                where = f"the batch is in {file}"
            except Exception as error:
                if not is_write_failure(error):
                    raise
                # no reason to end the run, and others would wait for this process
                file.unlink(missing_ok=True)
                where = f"the batch could not be written ({error})"
        if self.in_a_row > self._most:
            raise SystemExit(
                f"{what}; {where}. {self.in_a_row} steps in a row taught nothing (--max_skipped_steps "
                f"{self._most}). Look at the batch, or go on from the last checkpoint with --resume true and a lower "
                "--learning_rate"
            )
        return f"skipped a step, as {what}; {where}. {self._progress.skipped} skipped so far"
