"""The Trainer of transformers does what the loop of training/train.py does."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from run_here import TWO_PROCESSES, load_script, logged, weights
from small_backbones import small_model

from hf_hyperbolic import HyperbolicCLIPVisionModel
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.sources import load_split
from hf_hyperbolic.training.systems import trained
from hf_hyperbolic.training.trainer import HierarchyTrainer, training_arguments

pytestmark = pytest.mark.slow

SETTINGS = [
    "--image_size", "32", "--projection_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4",
    "--mated_boxes_per_scene", "1", "--max_steps", "4", "--eval_steps", "2", "--logging_steps", "1", "--warmup_steps",
    "2", "--cpu", "true", "--mixed_precision", "no", "--learning_rate", "0.01", "--backbone_learning_rate", "0.001",
    "--freeze_layers", "1", "--layer_decay", "0.75",
]  # fmt: skip


@pytest.fixture
def with_trainer():
    def run(*arguments):
        AcceleratorState._reset_state(reset_partial_state=True)
        load_script("train_with_trainer").main([str(argument) for argument in arguments])

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)


def history(run):
    newest = max(run.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return json.loads((newest / "trainer_state.json").read_text())["log_history"]


@pytest.mark.parametrize("backbone", ["clip", "resnet"])
def test_losses_figures_and_weights_are_those_of_the_loop(
    data, tmp_path, backbones, train_here, with_trainer, backbone
):  # fmt: skip
    given = ["--data", data, "--backbone", backbones / backbone, *SETTINGS]
    loop, trainer = tmp_path / "loop", tmp_path / "trainer"
    train_here(*given, "--output_dir", loop)
    with_trainer(*given, "--output_dir", trainer)
    lines = history(trainer)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    for ours, theirs in (("loss", "loss"), ("curvature", "curvature"), ("loss_similarity", "loss_similarity")):
        assert [line[theirs] for line in steps] == pytest.approx(logged(loop, ours), rel=1e-4)
    evaluated = [line for line in lines if "eval_score" in line]
    for name in ("score", "recall@50%", "auc"):
        assert [line[f"eval_{name}"] for line in evaluated] == pytest.approx(logged(loop, f"val_{name}"), abs=1e-4)
    for kept in ("final", "best"):
        expected, found = weights(loop, kept), weights(trainer, kept)
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            assert torch.allclose(found[name].float(), tensor.float(), atol=1e-5), name
    assert not list((trainer / "final").glob("*.bin"))
    # evaluate.py takes it as it takes a run of the loop
    system = trained(trainer, which="final")
    assert isinstance(system.model, HyperbolicCLIPVisionModel)


def test_a_run_that_was_cut_off_goes_on(data, tmp_path, backbones, with_trainer):
    given = ["--data", data, "--backbone", backbones / "clip", *SETTINGS]
    with_trainer(*given, "--output_dir", tmp_path / "whole")
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", stopped)
    for name in ("final", "best", "checkpoint-4"):
        shutil.rmtree(stopped / name, ignore_errors=True)
    with pytest.raises(SystemExit, match="already holds a run"):
        with_trainer(*given, "--output_dir", stopped)
    with_trainer(*given, "--output_dir", stopped, "--resume", "true")
    found, expected = weights(stopped), weights(tmp_path / "whole")
    assert all(torch.allclose(found[name], tensor, atol=1e-6) for name, tensor in expected.items())


def test_no_best_model_is_named_that_is_not_there(data, tmp_path, backbones, with_trainer, capsys):
    run = tmp_path / "run"
    given = ["--data", data, "--backbone", backbones / "clip", *SETTINGS, "--output_dir", run]
    with_trainer(*given)
    assert capsys.readouterr().out.endswith(f"(last step), {run / 'best'} (best validation figure)\n")
    for name in ("final", "best"):
        shutil.rmtree(run / name)
    state = run / "checkpoint-4" / "trainer_state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"best_model_checkpoint": "gone/checkpoint-1"}))
    with_trainer(*given, "--resume", "true")
    assert not (run / "best").exists()
    assert capsys.readouterr().out.endswith(f"done: {run / 'final'} (last step)\n")


def test_two_processes_give_the_losses_of_one(data, tmp_path, backbones, train_as_users_do, with_trainer):
    given = ["--data", data, "--backbone", backbones / "clip", *SETTINGS, "--output_dir"]
    with_trainer(*given, tmp_path / "one")
    two = [*given, tmp_path / "two"]
    printed = train_as_users_do(*two, script="train_with_trainer.py", **TWO_PROCESSES)
    found, expected = ([line["loss"] for line in history(tmp_path / name) if "loss" in line] for name in ("two", "one"))
    assert len(expected) == 4
    assert found == pytest.approx(expected, rel=2e-3), printed
    assert found[0] == pytest.approx(expected[0], rel=1e-5)


@pytest.fixture
def parts(data, tmp_path):
    settings = TrainArguments.parse([*SETTINGS, "--data", str(data), "--output_dir", str(tmp_path / "run")])
    train = load_split(settings, "train")
    return small_model("clip"), settings, train, make_image_processor(32)


def test_several_batches_are_not_gathered_as_one(parts):
    model, settings, train, processor = parts
    args = training_arguments(settings, gradient_accumulation_steps=2, eval_strategy="no")
    with pytest.raises(ValueError, match="an item is a whole batch"):
        HierarchyTrainer(model, settings, args, train, None, processor)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"ema_decay": 0.9, "micro_batch_size": 4}, "--micro_batch_size, --ema_decay"),
        ({"text_weight": 1.0}, "--text_weight"),
    ],
)
def test_what_the_loop_alone_does_is_named(parts, asked, named):
    model, settings, train, processor = parts
    settings = replace(settings, **asked)
    args = training_arguments(settings, eval_strategy="no")
    with pytest.raises(ValueError, match=rf"does not know {named}: use training/train.py"):
        HierarchyTrainer(model, settings, args, train, None, processor)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_waits_for_workers_and_processes_as_long_as_it_is_told(parts, workers):
    model, settings, train, processor = parts
    settings = replace(settings, num_workers=workers, worker_timeout=7, process_timeout=90)
    args = training_arguments(settings, eval_strategy="no", save_strategy="no")
    loader = HierarchyTrainer(model, settings, args, train, None, processor).get_train_dataloader()
    assert (loader.num_workers, loader.timeout) == (workers, 7 if workers else 0)
    assert args.ddp_timeout == 90


def test_there_is_no_evaluation_without_a_split(parts):
    model, settings, train, processor = parts
    settings.proxy_weight = 0.0
    args = training_arguments(settings, eval_strategy="no", save_strategy="no")
    trainer = HierarchyTrainer(model, settings, args, train, None, processor)
    with pytest.raises(ValueError, match="evaluates on the validation split that it was made with"):
        trainer.evaluate()


def test_weights_that_are_not_finite_are_not_saved(parts, tmp_path):
    model, settings, train, processor = parts
    args = training_arguments(settings, eval_strategy="no")
    trainer = HierarchyTrainer(model, settings, args, train, None, processor)
    trainer.save_model(str(tmp_path / "good"))
    model.projection[0].weight.data[0, 0] = float("inf")
    with pytest.raises(ValueError, match=r"not finite after step 0 \(the first is projection.0.weight\): nothing is"):
        trainer.save_model(str(tmp_path / "bad"))
    assert (tmp_path / "good" / "model.safetensors").exists()
    assert not (tmp_path / "bad").exists()
