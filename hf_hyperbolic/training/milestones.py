"""What a run does between two steps: it validates when that is due, writes checkpoints, and stops when told to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from hf_hyperbolic.training import checkpoints
from hf_hyperbolic.training.checkpoints import Progress
from hf_hyperbolic.training.failures import end_stopped
from hf_hyperbolic.training.finite_weights import check_weights
from hf_hyperbolic.training.run_arguments import RunArguments
from hf_hyperbolic.training.run_folder import StopRequest


class Milestones:
    """Between two steps of a run: validation, checkpoints, the end.

    From its making on SIGTERM asks the process to stop after the step it is at.

    Args:
        accelerator: of the run.
        args: its settings: `eval_steps`, `max_steps`, `output_dir` and `keep_checkpoints` are read.
        progress: of the run, which counts the steps.
        models: whose weights are validated or saved.
        validate: the run's validation, which every process calls.
        position: where this process's feed stands (see `checkpoints.save`).

    Raises:
        ValueError: made outside the main thread.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        args: RunArguments,
        progress: Progress,
        models: Sequence[nn.Module],
        validate: Callable[[], None],
        position: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self._accelerator, self._args, self._progress = accelerator, args, progress
        self._models, self._validate, self._position = models, validate, position
        self._output = Path(args.output_dir)
        self._stop = StopRequest()
        self._due = False

    def catch_up(self) -> None:
        """Validates where that was due when the run was told to stop, and there was no time for it.

        Every process must call it before the first step. It raises what `validate` does.
        """
        every = self._args.eval_steps
        if self._progress.step // every > self._progress.validated // every:
            self._validate_and_note()

    def after_step(self, skipped: bool) -> None:
        """Every process must call it after each step.

        Args:
            skipped: whether the step taught nothing. What is due then waits for one that does: where many are skipped,
                the weights may be what is wrong.

        Raises:
            SystemExit: the run was told to stop (with `jobs.STOPPED`), its weights are not finite, or a checkpoint
                could not be written; and whatever `validate` raises.
        """
        step = self._progress.step
        finished = step == self._args.max_steps
        stopping = self._stop.agreed(self._accelerator) and not finished
        self._due = self._due or step % self._args.eval_steps == 0
        now = (self._due and not skipped) or finished
        if not (now or stopping):
            return
        check_weights(self._accelerator, self._models, self._progress, self._output)
        if now and not stopping:  # who is told to stop may have seconds left
            self._validate_and_note()
            self._due = False
        folder, keep = self._output / "checkpoints", self._args.keep_checkpoints
        checkpoints.save(self._accelerator, folder, self._progress, keep, self._position())
        if stopping:
            end_stopped(self._accelerator, step)

    def _validate_and_note(self) -> None:
        self._validate()
        self._progress.validated = self._progress.step
