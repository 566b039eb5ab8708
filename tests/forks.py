"""Processes forked from one that has imported everything: each starts in a moment, as many as a test likes.

What a fork would share and a new interpreter would not is drawn anew: the generators of Python and NumPy. The order of
sets of strings is shared; who would see whether a run depends on it starts one run as users do.
"""

import atexit
import faulthandler
import io
import multiprocessing
import os
import random
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

TESTS = Path(__file__).parent
# what the scripts of `training/` import, at once or when they first need it
PRELOAD = [
    "mishaps", "hf_hyperbolic.evaluation", "hf_hyperbolic.report.report", "hf_hyperbolic.training.pretraining",
    "hf_hyperbolic.training.run_evaluation", "hf_hyperbolic.training.text_fitting", "hf_hyperbolic.training.trainer",
    "transformers.models.clip.modeling_clip", "transformers.models.resnet.modeling_resnet", "torch.distributed.fsdp",
]  # fmt: skip


class Run:
    """A process that has been started."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self.process, self.log = process, log

    def wait(self, seconds: float = 240) -> int:
        """Its exit status, negative where a signal ended it; fails where it does not end in time."""
        return wait([self], seconds)[0]

    def printed(self) -> str:
        return self.log.read_text()


def wait(runs: list[Run], seconds: float = 240) -> list[int]:
    """Their exit statuses; fails where one does not end in time, and ends them all."""
    deadline = time.monotonic() + seconds
    try:
        for run in runs:
            run.process.join(max(0.0, deadline - time.monotonic()))
        statuses = [run.process.exitcode for run in runs]
        for run in runs:
            if run.process.exitcode is None and run.process.pid is not None:
                os.kill(run.process.pid, signal.SIGUSR1)  # it says where it stands
                time.sleep(1)
        assert None not in statuses, "\n".join(f"exit status {run.process.exitcode}: {run.printed()}" for run in runs)
        return statuses
    finally:
        for run in runs:
            run.process.kill()


def start(function: Callable, arguments: tuple, log: Path, **environment: str) -> Run:
    """Calls a function in a process of its own; what it prints goes to `log`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with _environment(
        PYTHONPATH=os.pathsep.join(map(str, (TESTS, TESTS / "training", TESTS.parent))),
        OMP_NUM_THREADS="1",
        HF_HUB_OFFLINE="1",
        # who forks should have no thread beside its own, which an allocator of pyarrow starts
        ARROW_DEFAULT_MEMORY_POOL="system",
        JE_ARROW_MALLOC_CONF="background_thread:false",
    ):
        process = context.Process(target=_main, args=(function, arguments, log, os.environ.copy() | environment))
        process.start()
    return Run(process, log)


def run_script(
    script: Path, arguments: list[str], folder: Path, processes: int = 1, seconds: float = 300
) -> tuple[int, str]:
    """`python SCRIPT ARGUMENTS` in one or more processes: the exit status of the first that failed, and what all
    printed, which is kept in `folder`.

    It fails where they do not end in time.
    """
    name = f"{script.stem}-{time.monotonic_ns()}"
    runs = [
        start(_run_script, (str(script), arguments), folder / f"{name}-{rank}.log", **environment)
        for rank, environment in enumerate(of_processes(processes) if processes > 1 else [{}])
    ]
    statuses = wait(runs, seconds)
    return next(filter(None, statuses), 0), "".join(run.printed() for run in runs)


def of_processes(count: int) -> list[dict[str, str]]:
    """What a launcher sets in the environment of each of its processes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [{"RANK": str(rank), "LOCAL_RANK": str(rank), **shared} for rank in range(count)]


@contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _main(function: Callable, arguments: tuple, log: Path, environment: dict[str, str]) -> None:
    os.setpgid(0, 0)
    # as it is for a run that is started from a shell on Linux: data workers are forked
    multiprocessing.set_start_method("fork", force=True)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    sys.modules["numpy"].random.seed()
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
    try:
        function(*arguments)
    finally:
        atexit._run_exitfuncs()


def _run_script(path: str, arguments: list[str]) -> None:
    ours = (str(TESTS), str(TESTS / "training"))
    sys.argv = [path, *arguments]
    sys.path[:] = [str(Path(path).parent), *(folder for folder in sys.path if folder not in ours)]
    runpy.run_path(path, run_name="__main__")
