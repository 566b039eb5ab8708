"""The processes of a run: how they are joined, and how long one waits for another."""

import atexit
import gc
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from hf_hyperbolic.training.run_arguments import RunArguments

_ENDED: list[Any] = []


def end_processes(accelerator: Accelerator) -> None:
    """The end of a run's work in common: trackers are closed and the group of processes is left. All must call it.

    A process that left while another still uses the group could leave that one waiting, so they wait for each other.
    """
    accelerator.wait_for_everyone()
    if dist.is_available() and dist.is_initialized():
        # The last to let go of the group takes its threads down, and one of them may be waiting for the interpreter.
        # A model that DDP wraps would do so without letting go of the interpreter, and the process would never end;
        # after an interpreter that ends has begun to do so, the thread would be cut off, and the process aborted.
        if not _ENDED:
            atexit.register(_let_go)
        _ENDED.append(dist.group.WORLD)
    accelerator.end_training()


def _let_go() -> None:
    gc.collect()  # models that refer to themselves go first
    _ENDED.clear()  # from here, Python lets go of the interpreter meanwhile


def make_accelerator(args: RunArguments, precision: str, trackers: Sequence[str] = ("tensorboard",)) -> Accelerator:
    """An `Accelerator` for `args`; a process that waits longer than `args.process_timeout` for another one fails."""
    patience = InitProcessGroupKwargs(timeout=timedelta(seconds=args.process_timeout))
    return Accelerator(
        cpu=args.cpu,
        mixed_precision=precision,
        log_with=list(trackers) or None,
        project_dir=args.output_dir,
        kwargs_handlers=[patience],
    )
