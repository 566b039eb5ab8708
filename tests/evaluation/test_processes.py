"""Evaluation shared out over two gloo processes against one process, bit by bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from two_processes import evaluate, tell_classes

from hf_hyperbolic.evaluation import nodes, zero_shot_judge
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_shared, map_tiles

WORKER = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    done = subprocess.run(
        [*launcher, str(WORKER), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_two_processes_find_what_one_finds(run, monkeypatch) -> None:
    monkeypatch.setattr(nodes, "TILE_CELLS", nodes.TILE_CELLS)
    evaluate(run, "alone", distributed=False)
    alone = json.loads((run / "alone.json").read_text())
    assert alone["parent_to_child"]["beta"]["recall@50%"]["oracles"]["class_prevalence"] > 0
    with np.load(run / "alone.npz") as expected:
        for rank in (0, 1):
            assert json.loads((run / f"rank{rank}.json").read_text()) == alone
            with np.load(run / f"rank{rank}.npz") as found:
                assert set(found) == set(expected)
                for name in expected:
                    assert found[name].tobytes() == expected[name].tobytes(), name


@pytest.mark.slow
def test_two_processes_share_zero_shot_and_find_what_one_finds(run, monkeypatch) -> None:
    monkeypatch.setattr(zero_shot_judge, "_CLASS_BLOCK", zero_shot_judge._CLASS_BLOCK)
    tell_classes(run, "alone", distributed=False)
    alone = json.loads((run / "alone-zero-shot.json").read_text())
    assert alone["result"]["zero_shot"]["distance"]["map"]["value"] > 0
    shares = []
    with np.load(run / "alone-zero-shot.npz") as expected:
        for rank in (0, 1):
            found = json.loads((run / f"rank{rank}-zero-shot.json").read_text())
            assert found["result"] == alone["result"]
            shares.append(found["work"])
            with np.load(run / f"rank{rank}-zero-shot.npz") as values:
                assert all(values[name].tobytes() == expected[name].tobytes() for name in expected)
    assert sum(shares) == alone["work"]
    assert max(shares) <= 0.6 * alone["work"]


@pytest.mark.slow
def test_what_fails_on_one_process_fails_on_all(run) -> None:
    for rank in (0, 1):
        assert "NaN cannot be ranked" in (run / f"failed{rank}.txt").read_text()
    assert (run / "unsendable0.txt").read_text().startswith("RuntimeError: process 1 failed: ValueError: <unlocked")
    assert (run / "unsendable1.txt").read_text().startswith("ValueError: <unlocked")


@pytest.mark.parametrize(("items", "count"), [(10, 1), (10, 3), (3, 5), (0, 2), (7, 7)])
def test_shares_are_even_and_cover_everything_in_order(items: int, count: int) -> None:
    shares = [list(range(items))[Processes(rank, count).share(items)] for rank in range(count)]
    assert [item for share in shares for item in share] == list(range(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_a_process_group_one_process_does_all() -> None:
    assert Processes.of_group() == ALONE
    assert map_shared(lambda item: item + 1, [1, 2, 3], Processes.of_group()) == [2, 3, 4]
    assert map_tiles(lambda rows: rows, 0, 5) == []
    with pytest.raises(ZeroDivisionError):
        map_shared(lambda item: 1 // item, [1, 0])
