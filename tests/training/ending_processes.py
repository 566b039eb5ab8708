"""Interpreters that leave a group, while one of its threads waits for the interpreter, and end as scripts do.

Started by test_end_of_processes.py: ending_processes.py FOLDER COUNT. It fails where one of them does not end well.
"""

import os
import signal
import sys
import time

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel

from hf_hyperbolic.training.processes import end_processes


def leave(store: str) -> None:
    accelerator = Accelerator(cpu=True)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    wrapped = DistributedDataParallel(torch.nn.Linear(2, 2))
    wrapped(torch.ones(1, 2)).sum().backward()
    group = dist.group.WORLD
    end_processes(accelerator)
    sys.setswitchinterval(100)  # the interpreter goes to another thread only where this one lets go of it
    group.allreduce([torch.zeros(2)])
    del group  # the model holds it still
    until = time.perf_counter() + 0.1
    while time.perf_counter() < until:  # the thread that has reduced wants the interpreter now, to forget of it
        pass


def ended(process: int, seconds: float = 20) -> int | str:
    """Its exit status, negative where a signal ended it; says so where it does not end in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        which, status = os.waitpid(process, os.WNOHANG)
        if which:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "does not end"


def main(folder: str, count: int) -> None:
    torch.set_num_threads(1)
    statuses = []
    for number in range(count):
        process = os.fork()
        if process == 0:
            leave(f"{folder}/store-{number}")
            return
        statuses.append(ended(process))
    if any(statuses):
        raise SystemExit(f"they ended with {statuses}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
