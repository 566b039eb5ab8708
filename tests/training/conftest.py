"""A few embedded scenes and a short run on them, made once for all tests of the scripts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import forks
import pytest
import torch
from accelerate.state import AcceleratorState
from run_here import load_script
from small_backbones import BACKBONES
from transformers import AutoModel

from hf_hyperbolic.data.scenes import write_scenes

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))
SMALL = [
    "--image_size", "32", "--projection_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4",
    "--mated_boxes_per_scene", "1", "--max_steps", "8", "--eval_steps", "2", "--logging_steps", "1", "--warmup_steps",
    "2", "--cpu", "true",
]  # fmt: skip


@pytest.fixture(scope="session")
def backbones(tmp_path_factory) -> Path:
    """A folder of small backbones with weights, `clip` and `resnet`."""
    folder = tmp_path_factory.mktemp("backbones")
    for name in ("clip", "resnet"):
        torch.manual_seed(0)
        AutoModel.from_config(BACKBONES[name]).save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, "train", 24, size=96)
    write_scenes(folder, "val", 8, size=96)
    return folder


@pytest.fixture(scope="session")
def start():
    """Starts a script of `training/` as users do; gives the process."""

    def started(*arguments, script="train.py", launcher=(sys.executable,), **environment) -> subprocess.Popen:
        return subprocess.Popen(
            [*launcher, str(ROOT / "training" / script), *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return started


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """Runs training/train.py (or another `script`) to its end in one or two processes; gives what it printed."""
    logs = tmp_path_factory.mktemp("logs")

    def run(*arguments, script="train.py", processes=1, succeeds=True) -> str:
        status, printed = forks.run_script(ROOT / "training" / script, [*map(str, arguments)], logs, processes)
        assert (status == 0) == succeeds, printed
        return printed

    return run


@pytest.fixture(scope="session")
def train_as_users_do(start):
    """The same by `python` or a launcher, which takes some ten seconds more."""

    def run(*arguments, succeeds=True, **kwargs) -> str:
        process = start(*arguments, **kwargs)
        printed, _ = process.communicate(timeout=300)
        assert (process.returncode == 0) == succeeds, printed
        return printed

    return run


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Settings that make a run short."""
    return SMALL


@pytest.fixture(scope="session")
def whole_run(data, tmp_path_factory, train) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train("--data", data, "--output_dir", run, *SMALL)
    return run


@pytest.fixture
def train_here():
    """Runs training/train.py here, which takes a fraction of the time of a process of its own."""
    main = load_script("train").main
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        main([str(argument) for argument in arguments])

    yield run
    signal.signal(signal.SIGTERM, handler)
    AcceleratorState._reset_state(reset_partial_state=True)
