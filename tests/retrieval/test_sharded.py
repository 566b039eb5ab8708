"""Search over shards: processes under accelerate against one process, and its failures on all of them at once."""

import os
import subprocess
import sys
from pathlib import Path

import forks
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import search, search_sharded

SCRIPT = Path(__file__).with_name("sharded_processes.py")


@pytest.mark.slow
def test_shards_of_three_processes_give_the_answer_of_one_process(tmp_path):
    status, printed = forks.run_script(SCRIPT, ["3"], tmp_path, processes=3)
    assert status == 0, printed
    assert printed.count("all equal") == 3


@pytest.mark.slow
def test_shards_of_two_launched_processes_do_too():
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    launcher += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "--main_process_port", "0", str(SCRIPT), "2"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("all equal") == 2


def test_without_a_process_group_it_is_search():
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (lorentz.exp_map0(torch.randn(n, 8, generator=generator), 1.0) for n in (5, 40))
    expected = search(queries, gallery, 7, "beta", "children", 1.0)
    found = search_sharded(queries, gallery, 7, "beta", "children", 1.0)
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.indices, expected.indices)
