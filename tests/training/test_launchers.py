"""Runs of two processes as launchers start them: their configurations, and what happens when one process dies."""

import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from launched import launched

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = ROOT / "training" / "launch"
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
LAUNCHERS = {
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    "accelerate launch": [*ACCELERATE, str(CONFIGURATIONS / "ddp_2cpu.yaml")],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_when_one_process_dies_the_launcher_ends(data, tmp_path, small, launcher):
    arguments = ["--data", data, "--output_dir", tmp_path / "run", *small, "--mixed_precision", "no"]
    script = Path(__file__).with_name("mishaps.py")
    status, printed = launched([*LAUNCHERS[launcher], *map(str, [script, *arguments])])
    assert status != 0
    assert "2 process(es)" in printed
    assert "Signal 9 (SIGKILL)" in printed
    assert not (tmp_path / "run" / "final").exists()


@pytest.mark.slow
def test_on_a_cpu_the_configuration_that_shards_says_that_it_does_not(data, tmp_path, small):
    arguments = ["--data", data, "--output_dir", tmp_path / "run", *small, "--mixed_precision", "no"]
    command = [*ACCELERATE, CONFIGURATIONS / "fsdp2.yaml", ROOT / "training" / "train.py", *arguments]
    status, printed = launched([*map(str, command), "--max_steps", "2"])
    assert status == 0, printed
    assert "2 process(es)" in printed
    assert "FSDP was asked for, which accelerate has on accelerators alone: not sharded" in printed


@pytest.mark.parametrize("file", sorted(CONFIGURATIONS.glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_knows_every_setting_of_a_configuration(file):
    found = load_config_from_file(str(file))  # refuses keys it does not know
    assert found.num_processes == 2
    assert str(found.mixed_precision) == "no", "precision is a setting of the run"
    if file.stem == "fsdp2":
        assert found.fsdp_config["fsdp_version"] == 2
        assert not found.fsdp_config["fsdp_cpu_ram_efficient_loading"]
