"""The processes of a run: how they are joined, and how long one waits for another."""

from collections.abc import Sequence
from datetime import timedelta

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from hf_hyperbolic.training.run_arguments import RunArguments


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
