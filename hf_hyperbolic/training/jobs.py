"""Runs commands, several at once, each with its share of the processor and a log of its own."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

LOG = "train.log"
# exit status of a run that was told to stop and can go on: EX_TEMPFAIL of sysexits.h, "try again later". A scheduler
# can tell it from a failure
STOPPED = 75
_LAST_LINES = 15
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
        name: as messages show it.
        command: program and arguments.
        folder: its log goes there; made if missing.
    """

    name: str
    command: tuple[str, ...]
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / LOG


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(jobs: Sequence[Job], at_once: int = 1, patience: float = 120.0) -> list[Job]:
    """Runs every job and gives those that failed.

    One at a time they print where this process does and the first failure ends it. Several at once write to their logs,
    share the processors, and a failure, whose log is named and its last lines shown, does not keep the others from
    ending. A job asked to stop (Ctrl-C or SIGTERM to this process) is told by SIGTERM, on which training keeps a
    checkpoint.

    Args:
        jobs: what to run.
        at_once: how many.
        patience: seconds that a job has to stop before it is killed.

    Raises:
        ValueError: `at_once` is below 1.
        KeyboardInterrupt: this process was told to stop; all jobs have ended.
    """
    if at_once < 1:
        raise ValueError(f"--jobs must be at least 1, got {at_once}")
    waiting, failed = list(jobs), []
    running: dict[Job, subprocess.Popen[bytes]] = {}
    bar = tqdm(total=len(jobs), desc="runs", unit="run", disable=at_once == 1 or not jobs)
    with _sigterm_interrupts():
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job = waiting.pop(0)
                    if at_once > 1:
                        bar.write(f"{job.name} starts; its output goes to {job.log}")
                    running[job] = _start(job, at_once)
                for job, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[job]
                    bar.update()
                    if process.returncode:
                        failed.append(job)
                        bar.write(_failure(job, process.returncode, logged=at_once > 1))
                        if at_once == 1:
                            return failed
                time.sleep(_POLL_SECONDS if running else 0)
        finally:
            _stop(running, patience)
            bar.close()
    return failed


def _start(job: Job, at_once: int) -> subprocess.Popen[bytes]:
    # a session of its own: Ctrl-C reaches this process alone, which then tells its jobs in a way they understand
    if at_once == 1:
        return subprocess.Popen(job.command, start_new_session=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, processors() // at_once))}
    with open(job.log, "ab") as log:
        return subprocess.Popen(
            job.command, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def _failure(job: Job, code: int, logged: bool) -> str:
    what = f"ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit status {code}"
    if code == STOPPED:
        what = "was told to stop and can go on"
    if not logged:
        return f"{job.name} {what}"
    # a progress bar is one line that was written over again and again
    text = job.log.read_text(encoding="utf-8", errors="replace")
    lines = [line.rsplit("\r", 1)[-1] for line in text.split("\n") if line.strip()][-_LAST_LINES:]
    return "\n    ".join([f"{job.name} {what}; the end of {job.log}:", *lines])


def _stop(running: dict[Job, subprocess.Popen[bytes]], patience: float) -> None:
    for process in running.values():
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + patience
    for process in running.values():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: no more patience
            deadline = 0.0
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, what)  # and the processes it started


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM to this process ends it as Ctrl-C does, and not its jobs' parent alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
