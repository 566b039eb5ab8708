"""How a run ends that does not come to its end: by one message that says what happened and how to go on."""

import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn, ParamSpec

import torch.distributed as dist
from accelerate import Accelerator
from safetensors import SafetensorError

from hf_hyperbolic.data.files import folder_written_aside
from hf_hyperbolic.training import workers
from hf_hyperbolic.training.jobs import STOPPED
from hf_hyperbolic.training.processes import end_processes

_GO_ON = "go on from the last checkpoint with --resume true"
P = ParamSpec("P")


def clear_failures(main: Callable[P, None]) -> Callable[P, None]:
    """Lets a script's `main` end by one clear message where it is known what went wrong, and with no data worker left.

    Raises:
        SystemExit: a data worker or another process died or hangs, a setting or a file is wrong. Whatever else goes
            wrong is an error of this library, and keeps its traceback.
    """

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        others = workers.running()
        try:
            main(*args, **kwargs)
        except BaseException as error:
            _end_workers(error, others)
            message = explained(error) if isinstance(error, Exception) else None
            if message is None:
                raise
            raise SystemExit(message) from error

    return run


def explained(error: Exception) -> str | None:
    """What is told of an error that is not one of this library; None where it may be."""
    text = str(error)
    if isinstance(error, RuntimeError) and "DataLoader timed out" in text:
        return (
            "a data worker hangs: it gave no batch within --worker_timeout. Are the images on a disk that does not "
            f"answer? Allow it longer, or read without workers (--num_workers 0); {_GO_ON}"
        )
    if isinstance(error, RuntimeError) and "DataLoader worker" in text:
        return (
            f"a data worker has died: {_first_line(text)}. If it was killed the memory ran out: take fewer "
            f"--num_workers or a smaller --image_cache_gb, which each of them keeps; {_GO_ON}"
        )
    if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and _of_gloo(text)):
        return (
            "another process of this run has ended or does not answer (--process_timeout says how long it is waited "
            f"for). What it printed last says why; {_GO_ON}. [{_first_line(text)}]"
        )
    if isinstance(error, ValueError | OSError | ImportError):  # the last of a package that an option needs
        return f"{type(error).__name__}: {error}"
    return None


def _of_gloo(text: str) -> bool:
    return any(sign in text for sign in ("gloo", "Connection closed by peer", "Connection reset by peer"))


def _end_workers(error: BaseException, others: set[BaseProcess]) -> None:
    # the frames hold the loader, which tells its workers to end when it goes
    traceback.clear_frames(error.__traceback__)
    for worker in workers.running() - others:  # those that hang, for which the interpreter would wait for ever
        worker.kill()
        worker.join()


def end_stopped(accelerator: Accelerator, step: int) -> NoReturn:
    """Ends a run that was told to stop, after it has written its checkpoint; every process must call it.

    Raises:
        SystemExit: with `STOPPED`.
    """
    end_processes(accelerator)
    if accelerator.is_main_process:
        print(f"stopped at step {step} as asked; go on with --resume true", file=sys.stderr, flush=True)
    raise SystemExit(STOPPED)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, aside, which takes the place of `folder` when the block ends.

    Raises:
        SystemExit: it could not be written; nothing is left of it, and `folder` is as it was.
    """
    try:
        with folder_written_aside(folder) as aside:
            yield aside
    except Exception as error:
        if not is_write_failure(error):
            raise
        kept = f" {folder} is as it was." if folder.exists() else ""
        raise SystemExit(not_written(folder, error, kept)) from error


def is_write_failure(error: Exception) -> bool:
    """Whether an error says that a file could not be written: the libraries that write have one each."""
    return isinstance(error, OSError | SafetensorError) or (
        isinstance(error, RuntimeError) and ("PytorchStreamWriter" in str(error) or "inline_container" in str(error))
    )


def not_written(folder: Path, error: Exception, kept: str = "") -> str:
    """What is told of a folder or file that could not be written; `kept` says what stands in its place."""
    free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    return (
        f"{folder} could not be written: {_first_line(str(error))}; {free / 2**20:,.0f} MB are free there.{kept} Make "
        f"room, then {_GO_ON}"
    )


def _first_line(text: str) -> str:
    return (text.strip() or "no reason given").splitlines()[0].strip()
