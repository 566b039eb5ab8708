"""Runs of training/train.py that meet with a mishap, in processes forked from one that has imported everything."""

import importlib.util
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

sys.path.append(str(Path(__file__).parents[1]))  # a launcher knows no conftest.py
import forks
import torch.utils.tensorboard  # noqa: F401  (slow to import: once, for all runs)
from cpu_sharding import shard
from forks import Run

from hf_hyperbolic.training import milestones

ROOT = Path(__file__).parents[2]
# what is done to the script's module before its `main` is called
Mishap = Callable[[ModuleType], None]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_script", ROOT / "training" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TRAIN = _script()


def start(arguments: list, log: Path, mishap: Mishap | None = None, **environment: str) -> Run:
    """Starts training/train.py; what it prints goes to `log`."""
    return forks.start(_main, ([str(one) for one in arguments], mishap), log, **environment)


def start_two(arguments: list, folder: Path, mishap: Mishap | None = None, only: int | None = None) -> list[Run]:
    """Starts two processes of one run, without a launcher; the mishap befalls both, or `only` one of them."""
    return [
        start(arguments, folder / f"log-{rank}", mishap if only in (None, rank) else None, **environment)
        for rank, environment in enumerate(forks.of_processes(2))
    ]


def _main(arguments: list[str], mishap: Mishap | None) -> None:
    if mishap is not None:
        mishap(TRAIN)
    TRAIN.main(arguments)


class Calls:
    """Kills this process at a call, of Python or of C, counted from where `counting` begins."""

    def __init__(self, last: float = math.inf) -> None:
        self.made, self._last = 0, last

    def _count(self, frame, event, arg) -> None:
        if event in ("call", "c_call"):
            self.made += 1
            if self.made > self._last:
                os.kill(os.getpid(), signal.SIGKILL)

    def begin(self) -> None:
        sys.setprofile(self._count)

    def counting(self, function: Callable) -> Callable:
        """`function`, during which calls are counted."""

        def counted(*args, **kwargs):
            before = sys.getprofile()
            sys.setprofile(self._count)
            try:
                return function(*args, **kwargs)
            finally:
                sys.setprofile(before)

        return counted


def count_calls(train: ModuleType, file: Path) -> None:
    """Leaves in `file` how many calls a run makes from its loop on, and how many while it writes checkpoints."""
    everywhere, writing = Calls(), Calls()
    _begin_with_the_loop(everywhere)
    save, main = train.checkpoints.save, train.main
    train.checkpoints.save = writing.counting(save)

    def and_tell(arguments):
        main(arguments)
        sys.setprofile(None)
        file.write_text(json.dumps([everywhere.made, writing.made]))

    train.main = and_tell


def kill_in_the_loop(train: ModuleType, calls: int) -> None:
    """SIGKILL so many calls after the loop has begun."""
    _begin_with_the_loop(Calls(calls))


def kill_while_writing(train: ModuleType, calls: int) -> None:
    """SIGKILL at a call while a checkpoint is written."""
    train.checkpoints.save = Calls(calls).counting(train.checkpoints.save)


def _begin_with_the_loop(calls: Calls) -> None:
    stop_request = milestones.StopRequest

    def begin():
        calls.begin()
        return stop_request()

    milestones.StopRequest = begin


def at_steps(function: Callable, steps: set[int], instead: Callable) -> Callable:
    """`function`, which at the given calls, counted from 0, gives what `instead` makes of its arguments."""
    made = iter(range(10**9))

    def changed(*args, **kwargs):
        return (instead if next(made) in steps else function)(*args, **kwargs)

    return changed


def nan_loss(train: ModuleType, steps: set[int]) -> None:
    """The loss of these steps is NaN."""
    objective = train.objective

    def broken(*args, **kwargs):
        loss, parts = objective(*args, **kwargs)
        return loss * math.nan, {**parts, "loss": math.nan}

    train.objective = at_steps(objective, steps, broken)


def infinite_loss_told(train: ModuleType, steps: set[int]) -> None:
    """This process takes the loss of these steps to be infinite, though it and its gradient are as ever."""
    objective = train.objective

    def broken(*args, **kwargs):
        loss, parts = objective(*args, **kwargs)
        return loss, {**parts, "loss": math.inf}

    train.objective = at_steps(objective, steps, broken)


def nan_pixels(train: ModuleType, steps: set[int]) -> None:
    """The model is shown NaN in these steps."""
    embed_crops = train.embed_crops
    train.embed_crops = at_steps(
        embed_crops, steps, lambda model, crops, mean, std: embed_crops(model, crops, (math.nan,) * 3, std)
    )


def nan_gradient(train: ModuleType, steps: set[int]) -> None:
    """The loss of these steps is finite, and its gradient is not."""
    objective = train.objective

    def broken(model, embeds, *args, **kwargs):
        loss, parts = objective(model, embeds, *args, **kwargs)
        return loss + (embeds * 0).abs().sum().sqrt(), parts  # 0, of infinite slope

    train.objective = at_steps(objective, steps, broken)


def overflowing_steps(train: ModuleType, first: int) -> None:
    """From step `first` on, counted from 0, the optimiser makes a weight infinite, of a gradient that is finite."""
    adamw = train.torch.optim.AdamW

    class Overflowing(adamw):
        made = 0

        def step(self, *args, **kwargs):
            super().step(*args, **kwargs)
            if self.made >= first:
                # no scalar, which would be put back onto its bound
                weight = next(one for group in self.param_groups for one in group["params"] if one.ndim > 1).data
                weight[(0,) * weight.ndim] = math.inf
            self.made += 1

    train.torch.optim.AdamW = Overflowing


def little_room(train: ModuleType, first: int) -> None:
    """While checkpoint `first`, counted from 0, is written no file can grow beyond 1 kB: the kernel refuses it."""
    save = train.checkpoints.save

    def refused(*args, **kwargs):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        try:
            return save(*args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    train.checkpoints.save = at_steps(save, {first}, refused)


def little_room_for_models(train: ModuleType) -> None:
    """Models cannot be written."""
    save_model = train.save_model

    def refused(*args, **kwargs):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        try:
            return save_model(*args, **kwargs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    train.save_model = refused


class _Batches:
    """Batches, of which one is a mishap in the worker that makes it."""

    def __init__(self, batches, step: int, mishap: Callable[[], None]) -> None:
        self._batches, self._step, self._mishap = batches, step, mishap

    def __getitem__(self, step: int) -> dict:
        if step == self._step:
            self._mishap()
        return self._batches[step]

    def __len__(self) -> int:
        return len(self._batches)


def _in_worker(train: ModuleType, step: int, mishap: Callable[[], None]) -> None:
    make_feed = train.make_feed

    def made(*args, **kwargs):
        feed = make_feed(*args, **kwargs)
        feed.batches = _Batches(feed.batches, step, mishap)
        return feed

    train.make_feed = made


def kill_worker(train: ModuleType, step: int) -> None:
    """The data worker that makes this step's batch is killed."""
    _in_worker(train, step, lambda: os.kill(os.getpid(), signal.SIGKILL))


def hang_worker(train: ModuleType, step: int) -> None:
    """The data worker that makes this step's batch does not come back."""
    _in_worker(train, step, lambda: time.sleep(3600))


def signal_itself(train: ModuleType, step: int, what: signal.Signals, group: bool = False) -> None:
    """The process gets a signal in the midst of a step; with `group`, its workers do too."""
    objective = train.objective

    def signalled(*args, **kwargs):
        (os.killpg if group else os.kill)(os.getpid(), what)
        return objective(*args, **kwargs)

    train.objective = at_steps(objective, {step}, signalled)


def tell_threads(train: ModuleType, file: Path) -> None:
    """In place of a run: leaves in `file` the names of the threads of the process that it was forked from."""

    def tell(_):
        tasks = Path(f"/proc/{os.getppid()}/task")
        file.write_text(json.dumps([(task / "comm").read_text().strip() for task in tasks.iterdir()]))

    train.main = tell


def both(first: Mishap, second: Mishap, train: ModuleType) -> None:
    first(train)
    second(train)


def shard_on_cpu(train: ModuleType) -> None:
    """The model is sharded."""
    make = train.make_accelerator
    train.make_accelerator = lambda *args: shard(make(*args))


if __name__ == "__main__":  # under a launcher: the second process kills itself in its third step
    if os.environ["RANK"] == "1":
        signal_itself(TRAIN, 2, signal.SIGKILL)
    TRAIN.main()
