"""The benchmarks tell the memory of their own process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TELL = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); from machine import peak_memory; "


def told(code: str) -> list[int]:
    found = subprocess.run([sys.executable, "-c", TELL + code], capture_output=True, text=True, check=True)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it apart from that of the parent")
def test_it_is_not_that_of_the_process_which_started_this_one():
    held = np.ones(300 * 2**20, np.uint8)
    assert told("print(peak_memory())")[0] < 100 * 2**20
    assert held[-1] == 1


def test_it_is_bytes_and_what_was_let_go_of_counts():
    before, with_all, after = told(
        "print(peak_memory()); held = bytes([1]) * 200 * 2**20; print(peak_memory()); del held; print(peak_memory())"
    )
    assert with_all - before == pytest.approx(200 * 2**20, rel=0.05)  # the kernel counts by and large
    assert after == pytest.approx(with_all, abs=2**20)
