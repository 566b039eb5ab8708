"""A step of two gloo processes, however started, against that of one: loss and gradients of every parameter."""

import sys
from pathlib import Path

import forks
import pytest
import torch
from accelerate import Accelerator
from gradient_processes import SHARES, STEPS, make_model, make_model_with_names, step
from launched import launched
from safetensors.torch import load_file

WORKER = Path(__file__).with_name("gradient_processes.py")
LAUNCHERS = {
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    "accelerate launch": [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
        "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def alone() -> dict[str, torch.Tensor]:
    found = step(make_model(), Accelerator(cpu=True))
    assert {"log_curvature", "log_temperature", "log_alpha", "class_proxies", "projection.0.weight"} < found.keys()
    assert any(name.startswith("backbone.") for name in found)
    zero = [name for name, gradient in found.items() if not gradient.abs().max() > 1e-6]
    # softmax does not see what is added to all keys alike
    assert all(name.endswith("k_proj.bias") for name in zero), f"of these equality would say nothing: {zero}"
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "how"), [("torchrun", ()), ("accelerate launch", ()), (None, ("sharded",))])
def test_two_processes_give_the_loss_and_every_gradient_of_one(alone, tmp_path, launcher, how):
    arguments = [str(tmp_path), "2", *how]
    if launcher:
        command = [*LAUNCHERS[launcher], str(WORKER), *arguments]
        status, printed = launched(command, ACCELERATE_USE_CPU="true")
    else:
        status, printed = forks.run_script(WORKER, arguments, tmp_path, processes=2)
    assert status == 0, printed
    for first, _ in SHARES:
        for micro_batch_size, _ in STEPS:
            for rank in range(2):
                found = load_file(tmp_path / f"{first}-{micro_batch_size}-{rank}.safetensors")
                assert found.keys() == alone.keys()
                for name, value in found.items():
                    where = f"{name}, {first} crops in the first process, {micro_batch_size} at a time"
                    torch.testing.assert_close(
                        value, alone[name], rtol=1e-6, atol=1e-9, msg=lambda text, where=where: f"{where}: {text}"
                    )
    if how:  # a text tower is not sharded
        return
    with_names = step(make_model_with_names(), Accelerator(cpu=True))
    assert with_names["loss"] > alone["loss"]
    assert with_names["log_text_alpha"].abs() > 1e-6
    assert with_names["text_projection.0.weight"].abs().max() > 1e-6
    for first, _ in SHARES:
        for rank in range(2):
            found = load_file(tmp_path / f"names-{first}-{rank}.safetensors")
            assert found.keys() == with_names.keys()
            for name, value in found.items():
                torch.testing.assert_close(
                    value, with_names[name], rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
                )
