"""What becomes of a run that is killed, stopped, out of room, shown NaN, or left by a worker or another process."""

import json
import random
import signal
from functools import partial
from pathlib import Path

import forks
import mishaps
import pytest
import torch
from safetensors.torch import load_file

from hf_hyperbolic.training.jobs import STOPPED

pytestmark = pytest.mark.slow

STEPS = 20
SETTINGS = [
    "--image_size", "32", "--projection_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4",
    "--max_steps", "20", "--eval_steps", "1", "--eval_images", "2", "--logging_steps", "1", "--warmup_steps", "2",
    "--cpu", "true", "--report_to", "none",  # a tracker's first picture takes more calls than a step
]  # fmt: skip


def started(data, run, *more, mishap=None):
    number = len(list(run.parent.glob("log-*")))
    resume = ["--resume", "true"] if (run / "metrics.jsonl").exists() else []
    arguments = ["--data", data, "--output_dir", run, *SETTINGS, *resume, *more]
    return mishaps.start(arguments, run.parent / f"log-{number}", mishap)


def lived(data, run, *more, mishap=None) -> tuple[int, str]:
    """Exit status and output of a run, which goes on with `run` where it has begun."""
    process = started(data, run, *more, mishap=mishap)
    return process.wait(), process.printed()


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def losses(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> tuple[Path, int, int]:
    """A run that nothing befell, and how many calls it made from its loop on, and while it wrote checkpoints."""
    folder = tmp_path_factory.mktemp("whole")
    status, printed = lived(data, folder / "run", mishap=partial(mishaps.count_calls, file=folder / "calls"))
    assert status == 0, printed
    return folder / "run", *json.loads((folder / "calls").read_text())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux tells them")
def test_runs_are_forked_from_a_process_of_one_thread(tmp_path):
    """Or a lock that another thread held would be held for ever in the run."""
    run = mishaps.start([], tmp_path / "log", partial(mishaps.tell_threads, file=tmp_path / "threads"))
    assert run.wait() == 0, run.printed()
    assert len(json.loads((tmp_path / "threads").read_text())) == 1


def test_killed_ten_times_at_any_moment_it_ends_with_the_same_weights(data, whole, tmp_path):
    expected, calls, calls_writing = whole
    rng = random.Random(0)
    run = tmp_path / "run"
    for life in range(10):
        # of two lives one ends within two steps, one while it writes its first checkpoint
        if life % 2:
            mishap = partial(mishaps.kill_while_writing, calls=rng.randrange(calls_writing // STEPS))
        else:
            mishap = partial(mishaps.kill_in_the_loop, calls=rng.randrange(2 * calls // STEPS))
        status, printed = lived(data, run, mishap=mishap)
        assert status == -signal.SIGKILL, f"life {life}: {printed}"
    assert not (run / "final").exists(), "killed too late: nothing is left to resume"
    status, printed = lived(data, run)
    assert status == 0, printed
    assert "resumed from" in printed
    for folder in ("final", "best"):
        assert same(tensors(run / folder), tensors(expected / folder))
    assert losses(run) == losses(expected)
    assert not [
        path for path in run.rglob("*") if path.name.startswith(("writing-", ".writing-", "removing-", ".old-"))
    ]


@pytest.mark.parametrize("group", [False, True])
def test_told_to_stop_it_finishes_its_step_and_can_go_on(data, whole, tmp_path, group):
    """Where schedulers tell every process of a job, data workers are told as well."""
    run = tmp_path / "run"
    told = partial(mishaps.signal_itself, step=6, what=signal.SIGTERM, group=group)
    workers = ["--num_workers", "2"] if group else []
    status, printed = lived(data, run, *workers, "--eval_steps", "100", mishap=told)
    assert status == STOPPED, printed
    assert "stopped at step 7 as asked; go on with --resume true" in printed
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000007"]
    assert "val_score" not in (run / "metrics.jsonl").read_text(), "there may be no time for validation"
    status, printed = lived(data, run)
    assert status == 0, printed
    assert same(tensors(run / "final"), tensors(whole[0] / "final"))


def test_stopped_where_validation_was_due_it_validates_when_it_goes_on(data, whole, tmp_path):
    run = tmp_path / "run"
    lived(data, run, mishap=partial(mishaps.signal_itself, step=2, what=signal.SIGTERM))
    status, printed = lived(data, run)
    assert status == 0, printed

    def validated(folder):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], line["val_score"]) for line in lines if "val_score" in line]

    assert validated(run) == validated(whole[0])
    assert same(tensors(run / "best"), tensors(whole[0] / "best"))


def test_validation_that_waited_for_a_good_step_is_not_lost_where_it_stops(data, tmp_path):
    run = tmp_path / "run"
    few = ["--max_steps", "6", "--eval_steps", "3"]
    # due at step 3, which is skipped, and at step 4 there is no time for it
    skipped, told = partial(mishaps.nan_loss, steps={2}), partial(mishaps.signal_itself, step=3, what=signal.SIGTERM)
    status, printed = lived(data, run, *few, mishap=partial(mishaps.both, skipped, told))
    assert status == STOPPED, printed
    status, printed = lived(data, run, *few)
    assert status == 0, printed
    assert "step 4: val" in printed
    assert "step 6: val" in printed
    assert json.loads((run / "checkpoints" / "step-00000006" / "progress.json").read_text())["validated"] == 6


def test_without_room_for_a_checkpoint_it_ends_and_the_last_one_stands(data, whole, tmp_path):
    run = tmp_path / "run"
    status, printed = lived(data, run, mishap=partial(mishaps.little_room, first=2))
    assert status == 1, printed
    assert f"{run / 'checkpoints'} could not be written" in printed
    assert "File too large" in printed
    assert "MB are free there" in printed
    assert f"{run / 'checkpoints' / 'step-00000002'} is whole" in printed
    assert "go on from the last checkpoint with --resume true" in printed
    assert "Traceback" not in printed
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-00000001", "step-00000002"]
    assert not (run / "final").exists()
    status, printed = lived(data, run)
    assert status == 0, printed
    assert same(tensors(run / "final"), tensors(whole[0] / "final"))


def test_without_room_for_a_model_it_ends_and_leaves_no_half(data, tmp_path):
    run = tmp_path / "run"
    status, printed = lived(data, run, mishap=mishaps.little_room_for_models)
    assert status == 1, printed
    assert f"{run / 'best'} could not be written" in printed
    assert "Traceback" not in printed
    assert not [path for path in run.iterdir() if "best" in path.name]


def test_a_damaged_checkpoint_is_passed_over(data, whole, tmp_path):
    run = tmp_path / "run"
    lived(data, run, mishap=partial(mishaps.signal_itself, step=3, what=signal.SIGTERM))
    newest = run / "checkpoints" / "step-00000004"
    content = bytearray((newest / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "model.safetensors").write_bytes(content)
    status, printed = lived(data, run)
    assert status == 0, printed
    assert f"{newest} is damaged (model.safetensors is not as it was written)" in printed
    assert f"resumed from {run / 'checkpoints' / 'step-00000003'}" in printed
    assert same(tensors(run / "final"), tensors(whole[0] / "final"))


@pytest.mark.parametrize(
    ("mishap", "what"),
    [
        (mishaps.nan_loss, "the loss is nan"),
        (mishaps.nan_pixels, "the loss is nan"),
        (mishaps.nan_gradient, "the gradient is not finite"),
    ],
)
def test_a_batch_that_gives_nan_changes_nothing(data, tmp_path, mishap, what):
    run = tmp_path / "run"
    few = ["--max_steps", "3", "--keep_checkpoints", "3"]
    status, printed = lived(data, run, *few, mishap=partial(mishap, steps={2}))
    assert status == 0, printed
    assert f"skipped a step, as {what} at step 2; the batch is in {run / 'nonfinite_step_2_process_0'}" in printed
    assert "1 steps were skipped" in printed
    before, after = (run / "checkpoints" / f"step-0000000{step}" for step in (2, 3))
    assert any("running_mean" in name for name in tensors(before)), "without batch statistics this would say less"
    assert same(tensors(after), tensors(before))
    assert (after / "optimizer.bin").read_bytes() == (before / "optimizer.bin").read_bytes()
    assert json.loads((after / "progress.json").read_text())["skipped"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors(run / "final").values())


def test_it_learns_on_after_a_batch_that_gives_nan(data, tmp_path):
    run = tmp_path / "run"
    few = ["--max_steps", "6", "--eval_steps", "2"]
    status, printed = lived(data, run, *few, mishap=partial(mishaps.nan_loss, steps={1, 2}))
    assert status == 0, printed
    # a checkpoint that was due at a skipped step waits for one that was not
    assert "step 4: val" in printed
    assert "step 2: val" not in printed
    assert [step for step, _ in losses(run)] == [1, 4, 5, 6]
    assert not same(tensors(run / "final"), tensors(run / "checkpoints" / "step-00000004"))


def test_nan_again_and_again_ends_the_run(data, tmp_path):
    run = tmp_path / "run"
    nan = partial(mishaps.nan_loss, steps=set(range(3, 20)))
    status, printed = lived(data, run, "--max_skipped_steps", "2", mishap=nan)
    assert status == 1
    assert "the loss is nan at step 5" in printed
    assert "3 steps in a row taught nothing (--max_skipped_steps 2)" in printed
    assert "Traceback" not in printed
    assert [path.name for path in sorted((run / "checkpoints").iterdir())][-1] == "step-00000003"


@pytest.mark.parametrize("more", [(), ("--ema_decay", "0.9"), ("--eval_steps", "3")])
def test_weights_that_overflow_in_the_last_step_are_not_saved(data, tmp_path, more):
    """The step's loss and gradient are finite, and no other loss follows that would tell."""
    run = tmp_path / "run"
    few = ["--max_steps", "4", "--eval_steps", "2", "--keep_checkpoints", "1", *more]
    status, printed = lived(data, run, *few, mishap=partial(mishaps.overflowing_steps, first=3))
    assert status == 1, printed
    last = run / "checkpoints" / f"step-0000000{3 if '3' in more else 2}"
    assert printed.count("the weights are not finite after step 4 (the first is ") == 1
    assert f"{run / 'best'} (step " in printed
    assert f"and {last} are from before it. Go on from the checkpoint with --resume true and a lower" in printed
    assert "Traceback" not in printed
    assert not (run / "final").exists()
    assert list((run / "checkpoints").iterdir()) == [last]
    for folder in (run / "best", last):
        assert all(tensor.isfinite().all() for tensor in tensors(folder).values())
    assert "step 4: val" not in printed
    # the way out that it names
    status, printed = lived(data, run, *few, "--learning_rate", "1e-4")
    assert status == 0, printed
    assert all(tensor.isfinite().all() for tensor in tensors(run / "final").values())


@pytest.mark.parametrize("told", [False, True])
def test_weights_that_overflow_before_anything_is_kept_end_the_run(data, tmp_path, told):
    """Told to stop after that step it would write a checkpoint."""
    run = tmp_path / "run"
    overflow = partial(mishaps.overflowing_steps, first=1)
    stop = partial(mishaps.signal_itself, step=1, what=signal.SIGTERM)
    more = ["--max_steps", "9" if told else "2", "--eval_steps", "9"]
    status, printed = lived(data, run, *more, mishap=partial(mishaps.both, overflow, stop) if told else overflow)
    assert status == 1, printed
    assert "the weights are not finite after step 2" in printed
    assert "There is no checkpoint yet: start again in another folder with a lower --learning_rate" in printed
    assert not [name for name in ("final", "best", "checkpoints") if (run / name).exists()]


def test_a_dead_data_worker_ends_the_run(data, tmp_path):
    status, printed = lived(
        data, tmp_path / "run", "--num_workers", "2", mishap=partial(mishaps.kill_worker, step=4)
    )  # fmt: skip
    assert status == 1
    assert "a data worker has died" in printed
    assert "Killed" in printed or "exited unexpectedly" in printed
    assert "--num_workers" in printed.splitlines()[-1]


def test_a_data_worker_that_hangs_ends_the_run(data, tmp_path):
    hang = partial(mishaps.hang_worker, step=4)
    status, printed = lived(data, tmp_path / "run", "--num_workers", "2", "--worker_timeout", "4", mishap=hang)
    assert status == 1
    assert "a data worker hangs" in printed
    assert "--worker_timeout" in printed


def two(data, run, *more, mishap, only) -> list[tuple[int, str]]:
    run.parent.mkdir(exist_ok=True)
    arguments = ["--data", data, "--output_dir", run, *SETTINGS, "--mixed_precision", "no", "--process_timeout", "100"]
    arguments += more
    both = mishaps.start_two(arguments, run.parent, mishap, only)
    return list(zip(forks.wait(both), [one.printed() for one in both], strict=True))


@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_processes_dies_and_the_other_says_so(data, tmp_path, victim):
    killed = partial(mishaps.signal_itself, step=2, what=signal.SIGKILL)
    found = two(data, tmp_path / "run", mishap=killed, only=victim)
    assert found[victim][0] == -signal.SIGKILL
    status, printed = found[1 - victim]
    assert status == 1, printed
    assert "another process of this run has ended or does not answer" in printed


def test_one_of_two_processes_hangs_and_the_other_does_not_wait_for_ever(data, tmp_path):
    run = tmp_path / "run"
    arguments = ["--data", data, "--output_dir", run, *SETTINGS, "--mixed_precision", "no", "--process_timeout", "20"]
    hangs = partial(mishaps.signal_itself, step=2, what=signal.SIGSTOP)
    waiting, hanging = mishaps.start_two(arguments, tmp_path, hangs, 1)
    try:
        assert waiting.wait() == 1
    finally:
        hanging.process.kill()
    assert "another process of this run has ended or does not answer" in waiting.printed()


def test_two_processes_skip_the_same_step(data, tmp_path):
    run = tmp_path / "run"
    found = two(
        data, run, "--max_steps", "4", "--keep_checkpoints", "4",
        mishap=partial(mishaps.infinite_loss_told, steps={2}), only=1,
    )  # fmt: skip
    assert [status for status, _ in found] == [0, 0], found
    assert "the loss or the gradient of another process is not finite at step 2" in found[0][1]
    assert "the loss is inf at step 2" in found[1][1]
    checkpoints = [tensors(run / "checkpoints" / f"step-0000000{step}") for step in (2, 4)]
    assert not same(*checkpoints)
    assert not (run / "checkpoints" / "step-00000003").exists()


def test_two_processes_stop_at_one_step(data, tmp_path):
    found = two(
        data, tmp_path / "run", mishap=partial(mishaps.signal_itself, step=2, what=signal.SIGTERM), only=1
    )  # fmt: skip
    assert [status for status, _ in found] == [STOPPED, STOPPED], found
    assert "stopped at step 3" in found[0][1]


def test_one_of_two_processes_has_no_room_and_both_end(data, tmp_path):
    found = two(data, tmp_path / "run", mishap=partial(mishaps.little_room, first=1), only=0)
    assert [status for status, _ in found] == [1, 1]
    assert "could not be written" in found[0][1]
    assert "another process of this run could not write its part" in found[1][1]
