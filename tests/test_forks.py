"""What the tests of the scripts rely on: forks of a process without threads, each as a new interpreter would be."""

import os
import random
from pathlib import Path

import forks
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def say_what_a_fork_finds() -> None:
    drawn = random.random(), np.random.random()  # noqa: NPY002  (the generator that code elsewhere may still use)
    print(len(os.listdir(f"/proc/{os.getppid()}/task")), *drawn, os.environ["SAID"])


def end_badly() -> None:
    raise ValueError("this is said")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_who_forks_has_one_thread_and_two_forks_draw_different_numbers(tmp_path):
    found = []
    for number in range(2):
        run = forks.start(say_what_a_fork_finds, (), tmp_path / f"log-{number}", SAID=f"{number}")
        assert run.wait() == 0, run.printed()
        found.append(run.printed().split())
    (threads, *drawn, first), (again, *others, second) = found
    assert (threads, again, first, second) == ("1", "1", "0", "1")
    assert not set(drawn) & set(others)


def test_what_goes_wrong_in_a_fork_shows(tmp_path):
    run = forks.start(end_badly, (), tmp_path / "log")
    assert run.wait() == 1
    assert "ValueError: this is said" in run.printed()
    status, printed = forks.run_script(ROOT / "training" / "train.py", ["--max_steps", "none"], tmp_path)
    assert status == 2, "as argparse ends"
    assert "usage: train.py" in printed
