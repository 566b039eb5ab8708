"""Runs of a script of `training/` in the process of the tests, and what they leave."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]

# how `train_as_users_do` starts a script in two processes on a CPU
TWO_PROCESSES = {
    "launcher": [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
        "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
    ],
    "ACCELERATE_USE_CPU": "true",
}  # fmt: skip


def load_script(name: str) -> ModuleType:
    """A script of `training/`, which are no modules of the package."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "training" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def weights(run: Path, name: str = "final") -> dict[str, torch.Tensor]:
    return load_file(run / name / "model.safetensors")


def logged(run: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())
