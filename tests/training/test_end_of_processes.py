"""The end of what processes have in common."""

import gc
import sys
from pathlib import Path

import pytest
import torch.distributed as dist
from launched import launched

from hf_hyperbolic.training import processes


class Ended:
    """An accelerator that notes the order of things, and whether the group was held when it was left."""

    def __init__(self):
        self.order = []

    def wait_for_everyone(self):
        self.order.append("waited")

    def end_training(self):
        held = dist.is_initialized() and any(one is dist.group.WORLD for one in processes._ENDED)
        self.order.append("held" if held else "left")


@pytest.fixture
def registered(monkeypatch) -> list:
    """What is to be called at exit."""
    found = []
    monkeypatch.setattr(processes, "_ENDED", [])
    monkeypatch.setattr(processes.atexit, "register", found.append)
    return found


def test_the_group_is_held_before_it_is_left_and_let_go_of_at_exit(tmp_path, registered):
    """DDP must not be the last to hold it: see `end_processes`."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        accelerator = Ended()
        processes.end_processes(accelerator)
        processes.end_processes(accelerator)
    finally:
        dist.destroy_process_group()
    assert accelerator.order == 2 * ["waited", "held"]
    assert registered == [processes._let_go]


def test_without_a_group_nothing_is_held(registered):
    accelerator = Ended()
    processes.end_processes(accelerator)
    assert accelerator.order == ["waited", "left"]
    assert processes._ENDED == registered == []


def test_garbage_is_collected_before_the_group_is_let_go_of(monkeypatch):
    order = []

    class Group(list):
        def clear(self):
            order.append("let go")

    monkeypatch.setattr(processes, "_ENDED", Group())
    monkeypatch.setattr(gc, "collect", lambda: order.append("collected"))
    processes._let_go()
    assert order == ["collected", "let go"]


@pytest.mark.slow
def test_an_interpreter_ends_while_a_thread_of_the_group_waits_for_it(tmp_path):
    """Without the group being held most of them hang here; held to the last, some are aborted."""
    script = Path(__file__).with_name("ending_processes.py")
    status, printed = launched([sys.executable, str(script), str(tmp_path), "12"], seconds=300)
    assert status == 0, printed
