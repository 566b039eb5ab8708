"""The processes of a run: how they are joined, how long one waits for another, and how they part."""

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
        # Whoever drops the last reference to the group joins its threads, one of which may be waiting for the GIL. A
        # model wrapped by DDP would do it holding the GIL: the process would never end. The interpreter's own cleaning
        # would do it where no thread is given the GIL any more: the process would be aborted. So a reference is held
        # here, and dropped at exit by Python, which releases the GIL meanwhile.
        if not _ENDED:
            atexit.register(_let_go)
        _ENDED.append(dist.group.WORLD)
    accelerator.end_training()


def _let_go() -> None:
    gc.collect()  # wrapped models in reference cycles go first
    _ENDED.clear()


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
