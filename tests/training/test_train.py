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
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.training.compared_systems import DEFAULT
from hf_hyperbolic.training.jobs import STOPPED

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
    assert process.returncode == STOPPED
    assert "go on with --resume" in printed
    train("--data", data, "--output_dir", run, *small, "--resume", "true")
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(whole_run).items())


@pytest.mark.parametrize(("config", "kind"), [(CLIPVisionConfig, CLIPVisionModel), (Dinov2Config, Dinov2Model)])
def test_two_processes_give_the_losses_of_one(data, tmp_path, train, train_as_users_do, small, config, kind):
    """With a backbone without batch statistics: the first step shares the batch, later ones the gradient too.

    DINOv2 has a parameter that gets no gradient, for which distributed training would wait in vain.
    """
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    kind(config(**sizes)).save_pretrained(tmp_path / "vit")
    settings = [*small, "--backbone", tmp_path / "vit", "--mixed_precision", "no", "--learning_rate", "1e-4"]
    train("--data", data, "--output_dir", tmp_path / "one", *settings)
    two = ["--data", data, "--output_dir", tmp_path / "two", *settings]
    if kind is CLIPVisionModel:
        configuration = Path(__file__).parents[2] / "training" / "launch" / "ddp_2cpu.yaml"
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
        printed = train_as_users_do(*two, launcher=launcher)
    else:
        printed = train(*two, processes=2)
    assert "2 process(es)" in printed

    def logged(run):
        lines = [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if "loss" in line]

    assert len(logged("one")) == 8
    assert logged("two") == pytest.approx(logged("one"), rel=2e-3)
    assert logged("two")[0] == pytest.approx(logged("one")[0], rel=1e-5)


def test_parts_and_tiles_give_the_losses_of_the_whole_batch(data, tmp_path, train, small):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(**sizes)).save_pretrained(tmp_path / "vit")
    settings = [*small, "--backbone", tmp_path / "vit", "--mixed_precision", "no", "--learning_rate", "1e-4"]
    settings += ["--max_steps", "4"]
    train("--data", data, "--output_dir", tmp_path / "whole", *settings)
    parts = ["--micro_batch_size", "5", "--loss_tile", "3"]
    printed = train("--data", data, "--output_dir", tmp_path / "parts", *settings, *parts)
    assert "batch statistics" not in printed
    found, expected = (
        [
            json.loads(line)["loss"]
            for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()
            if "loss_" in line
        ]
        for run in ("parts", "whole")
    )
    assert len(expected) == 4
    assert found == pytest.approx(expected, rel=1e-4)


def test_parts_of_a_model_with_batch_statistics_come_with_a_warning(data, tmp_path, train, small):
    few = ["--max_steps", "1", "--micro_batch_size", "6"]
    printed = train("--data", data, "--output_dir", tmp_path / "run", *small, *few)
    assert "this model has batch statistics" in printed
    printed = train(
        "--data", data, "--output_dir", tmp_path / "one", *small, "--micro_batch_size", "1", succeeds=False
    )  # fmt: skip
    assert "--micro_batch_size must be at least 2" in printed


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
    file = next((tmp_path / "run").glob("nonfinite_step_*.safetensors"))
    kept = load_file(file)
    with safe_open(file, "pt") as opened:
        named = json.loads(opened.metadata()["crops"])
    # a scene is the whole of its image
    assert named[0].endswith("[0.0, 0.0, 96.0, 96.0]")
    assert len(named) == len(kept["nodes"])
    assert kept["pixel_values"].dtype == torch.uint8
    assert np.isfinite(kept["nodes"].numpy()).all()


def test_resuming_with_another_model_is_refused(data, whole_run, train, small):
    wider = [*small, "--resume", "true", "--projection_dim", "32"]
    printed = train("--data", data, "--output_dir", whole_run, *wider, succeeds=False)
    assert "projection_dim was 16, now 32" in printed


def test_a_checkpoint_beyond_the_steps_asked_for_is_named(data, whole_run, train, small):
    printed = train(
        "--data", data, "--output_dir", whole_run, *small, "--resume", "true", "--max_steps", "4", succeeds=False
    )
    assert "is of step 8, beyond --max_steps 4" in printed
    assert "done:" not in printed


def test_resuming_takes_the_new_learning_rate(data, train, small, tmp_path):
    run = tmp_path / "run"
    train("--data", data, "--output_dir", run, *small, "--max_steps", "2")
    before = load_file(run / "final" / "model.safetensors")
    train("--data", data, "--output_dir", run, *small, "--max_steps", "4", "--resume", "true", "--learning_rate", "0")
    after = load_file(run / "final" / "model.safetensors")
    learnt = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learnt)


def test_a_data_set_of_broken_images_is_no_success(data, train, small, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    for image in (copy / "train").glob("*.jpg"):
        image.write_bytes(image.read_bytes()[:300])
    printed = train("--data", copy, "--output_dir", tmp_path / "run", *small, succeeds=False)
    assert "no pair to learn from" in printed


def test_a_half_written_line_of_figures_does_not_block_resuming(data, train, small, tmp_path):
    run = tmp_path / "run"
    train("--data", data, "--output_dir", run, *small, "--max_steps", "2")
    with open(run / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 3, "lo')
    train("--data", data, "--output_dir", run, *small, "--resume", "true")
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()][-1] == 8


@pytest.fixture(scope="module")
def parquet(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "set"
    for split in ("train", "val"):
        export_parquet(read_coco(data / f"instances_{split}.json"), folder, split, rows_per_shard=6)
    return folder


def test_exported_parquet_trains_as_the_files_it_was_made_from(parquet, data, whole_run, tmp_path, train, small):
    train("--data", parquet, "--output_dir", tmp_path / "run", *small)
    found = weights(tmp_path / "run")
    assert all(torch.equal(tensor, found[name]) for name, tensor in weights(whole_run).items())


def test_a_stream_that_was_stopped_goes_on_to_the_same_weights(parquet, tmp_path, train, small):
    settings = [*small, "--stream", "true", "--mated_boxes_per_scene", "0"]
    printed = train("--data", parquet, "--output_dir", tmp_path / "whole", *settings)
    assert "read as it comes" in printed
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", stopped)
    shutil.rmtree(stopped / "final")
    shutil.rmtree(stopped / "checkpoints" / "step-00000008")
    train("--data", parquet, "--output_dir", stopped, *settings, "--resume", "true")
    found = weights(stopped)
    assert all(torch.equal(tensor, found[name]) for name, tensor in weights(tmp_path / "whole").items())


def test_two_processes_share_a_stream(parquet, tmp_path, train, small):
    settings = [*small, "--stream", "true", "--mated_boxes_per_scene", "0", "--mixed_precision", "no"]
    printed = train("--data", parquet, "--output_dir", tmp_path / "two", *settings, processes=2)
    assert "2 process(es)" in printed
    positions = sorted(path.name for path in (tmp_path / "two" / "checkpoints" / "step-00000008").glob("position-*"))
    assert positions == ["position-0.json", "position-1.json"]
    assert (tmp_path / "two" / "final" / "model.safetensors").exists()


def test_dropout_goes_on_where_it_stood(data, tmp_path, train, small):
    """What a run draws from the global generator must not depend on whether it was interrupted."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(**sizes, image_size=32, patch_size=8, hidden_dropout_prob=0.3)
    torch.manual_seed(0)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    settings = [*small, "--backbone", tmp_path / "vit", "--max_steps", "4"]
    train("--data", data, "--output_dir", tmp_path / "whole", *settings)
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", stopped)
    shutil.rmtree(stopped / "final")
    shutil.rmtree(stopped / "checkpoints" / "step-00000004")
    assert "resumed from" in train("--data", data, "--output_dir", stopped, *settings, "--resume", "true")
    found = weights(stopped)
    assert all(torch.equal(tensor, found[name]) for name, tensor in weights(tmp_path / "whole").items())


def test_resuming_with_another_number_of_processes_is_refused(data, whole_run, tmp_path, train, small):
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    shutil.rmtree(run / "final")
    progress = run / "checkpoints" / "step-00000008" / "progress.json"
    progress.write_text(json.dumps(json.loads(progress.read_text()) | {"processes": 2}))
    printed = train("--data", data, "--output_dir", run, *small, "--resume", "true", succeeds=False)
    assert "is of 2 process(es) and this run has 1" in printed


def test_one_file_is_not_two_splits(data, tmp_path, train, small):
    printed = train("--data", data / "instances_train.json", "--output_dir", tmp_path / "r", *small, succeeds=False)
    assert "training and validation would see the same images" in printed


def test_a_comparison_does_not_take_a_run_of_other_settings(data, tmp_path, train, small):
    compare = ["--output_dir", tmp_path, "--systems", DEFAULT, "--seeds", "0", "--data", data]
    settings = [*small, "--max_steps", "2"]
    assert DEFAULT in train(*compare, *settings, script="compare.py")
    printed = train(*compare, *settings, "--projection_dim", "8", script="compare.py", succeeds=False)
    assert "holds a run with other settings (projection_dim was 16, now 8)" in printed
    printed = train(*compare, *small, script="compare.py", succeeds=False)
    assert "max_steps was 2, now 8" in printed
    printed = train(*compare[:-1], tmp_path / "nowhere", *settings, script="compare.py", succeeds=False)
    assert "other settings (data was" in printed
    assert "Traceback" not in printed
