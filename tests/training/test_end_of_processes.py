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


def test_the_group_is_held_before_it_is_left_and_all_are_waited_for_first(tmp_path, monkeypatch):
    """DDP must not be the last to hold it: see `end_processes`."""
    monkeypatch.setattr(processes, "_ENDED", [])
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        accelerator = Ended()
        processes.end_processes(accelerator)
    finally:
        dist.destroy_process_group()
    assert accelerator.order == ["waited", "held"]


def test_without_a_group_nothing_is_held(monkeypatch):
    monkeypatch.setattr(processes, "_ENDED", [])
    accelerator = Ended()
    processes.end_processes(accelerator)
    assert accelerator.order == ["waited", "left"]
    assert processes._ENDED == []


def test_at_the_end_of_the_interpreter_it_is_let_go_of_after_all_else(monkeypatch):
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
    """It hung three times of four without the group being held, and was aborted now and then held to the last."""
    script = Path(__file__).with_name("ending_processes.py")
    status, printed = launched([sys.executable, str(script), str(tmp_path), "6"], seconds=200)
    assert status == 0, printed
