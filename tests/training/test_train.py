"""The training script as users start it, on a few embedded scenes."""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "final" / "model.safetensors")


def test_a_run_leaves_what_the_readme_promises(whole_run):
    for folder in ("best", "final"):
        names = {path.name for path in (whole_run / folder).iterdir()}
        assert {"config.json", "model.safetensors", "preprocessor_config.json", "arguments.json"} <= names
        assert {"modeling_hyperbolic_clip.py", "configuration_hyperbolic_clip.py", "lorentz.py"} <= names
    lines = [json.loads(line) for line in (whole_run / "metrics.jsonl").read_text().splitlines()]
    logged = {key for line in lines for key in line}
    assert {
        "loss", "loss_parent_to_child", "loss_child_to_parent", "curvature", "temperature", "radius_scene",
        "radius_box", "val_score",
    } <= logged  # fmt: skip
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert len(list((whole_run / "checkpoints").glob("step-*"))) == 2
    assert list(whole_run.rglob("events.out.tfevents.*"))


def test_killed_and_resumed_equals_uninterrupted(data, whole_run, tmp_path, train, start, small):
    run = tmp_path / "run"
    process = start("--data", data, "--output_dir", run, *small)
    deadline = time.time() + 200
    while not (run / "checkpoints" / "step-00000004").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.time() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "final").exists(), "killed too late: nothing is left to resume"

    printed = train("--data", data, "--output_dir", run, *small, "--resume", "true")
    assert "resumed from" in printed
    expected, found = weights(whole_run), weights(run)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_sigterm_saves_and_the_run_goes_on_to_the_same_weights(data, whole_run, tmp_path, train, start, small):
    run = tmp_path / "run"
    process = start("--data", data, "--output_dir", run, *small)
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "go on with --resume" in printed
    train("--data", data, "--output_dir", run, *small, "--resume", "true")
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(whole_run).items())


def test_two_processes_train_and_end_alike(data, tmp_path, train, small):
    """Not bit-equal to one process (batch statistics are each process's own), but one model, and a finite loss."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    run = tmp_path / "run"
    printed = train("--data", data, "--output_dir", run, *small, launcher=launcher, ACCELERATE_USE_CPU="true")
    assert "2 process(es)" in printed
    assert all(torch.isfinite(tensor.float()).all() for tensor in weights(run).values())


@pytest.mark.parametrize("arguments", [("--loss", "cosine"), ("--geometry", "euclidean"), ("--own_weight", "0.5")])
def test_variants_train(data, tmp_path, arguments, train, small):
    few = ["--max_steps", "2"]
    train("--data", data, "--output_dir", tmp_path / "run", *small, *few, *arguments)


def test_settings_come_from_yaml_and_the_command_line_wins(data, tmp_path, train):
    settings = tmp_path / "mine.yaml"
    settings.write_text(f"data: {data}\nmax_steps: 1\nprojection_dim: 8\ncpu: true\nscenes_per_batch: 4\n")
    train(settings, "--output_dir", tmp_path / "run", "--max_steps", "2", "--image_size", "32")
    saved = json.loads((tmp_path / "run" / "arguments.json").read_text())
    assert (saved["max_steps"], saved["projection_dim"]) == (2, 8)


def test_a_broken_image_is_skipped_and_named(data, tmp_path, train, small):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    annotations = json.loads((copy / "instances_train.json").read_text())
    victim = next(
        path for path in copy.rglob(annotations["images"][0]["file_name"].rsplit("/")[-1]) if "train" in str(path)
    )
    victim.write_bytes(victim.read_bytes()[:400])
    printed = train("--data", copy, "--output_dir", tmp_path / "run", *small)
    assert f"skipped {victim}" in printed.replace("\n", "")


def test_a_second_run_does_not_overwrite_the_first(data, whole_run, train, small):
    before = (whole_run / "metrics.jsonl").read_text()
    printed = train("--data", data, "--output_dir", whole_run, *small, succeeds=False)
    assert "already holds a run" in printed
    assert (whole_run / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "/no/such/folder"), "no such"),
        (("--geometry", "spherical"), "--geometry must be one of"),
        (("--output_dir", __file__ + "/run"), "cannot be written"),
        (("--scenes_per_batch", "500"), "lower the number of scenes per batch"),
    ],
)
def test_bad_settings_get_one_clear_message(data, tmp_path, arguments, message, train, small):
    printed = train("--data", data, "--output_dir", tmp_path / "run", *small, *arguments, succeeds=False)
    assert message in printed


def test_a_non_finite_loss_stops_and_keeps_the_batch(data, tmp_path, train, small):
    printed = train(
        "--data", data, "--output_dir", tmp_path / "run", *small, "--learning_rate", "1e30", "--max_grad_norm", "0",
        succeeds=False,
    )  # fmt: skip
    assert "the batch is in" in printed
    kept = load_file(next((tmp_path / "run").glob("nonfinite_step_*.safetensors")))
    assert kept["pixel_values"].dtype == torch.uint8
    assert np.isfinite(kept["nodes"].numpy()).all()
