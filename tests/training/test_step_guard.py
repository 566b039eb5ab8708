"""What is skipped, what is put back, and when it is too much."""

import json

import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open

from hf_hyperbolic.training.checkpoints import Progress
from hf_hyperbolic.training.step_guard import StepGuard

NAN, INF = float("nan"), float("inf")
BATCH = {"pixel_values": torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "nodes": torch.tensor([3, 5])}


def make(tmp_path, most=5):
    norm = torch.nn.BatchNorm1d(3)
    return norm, StepGuard(Accelerator(cpu=True), norm, Progress(step=7), tmp_path, most)


@pytest.mark.parametrize(
    ("loss", "length", "what"),
    [
        (1.0, 2.0, None),
        (NAN, 2.0, "the loss is nan"),
        (INF, NAN, "the loss is inf"),
        (1.0, torch.tensor(INF), "the gradient is not finite"),
        (1.0, torch.tensor(NAN), "the gradient is not finite"),
    ],
)
def test_what_is_not_finite_is_refused(tmp_path, loss, length, what):
    _, guard = make(tmp_path)
    guard.before()
    assert guard.refuses(loss, length) == what
    assert guard.in_a_row == (what is not None)


def test_running_statistics_are_put_back(tmp_path):
    norm, guard = make(tmp_path)
    norm(torch.randn(8, 3))
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    guard.before()
    norm(torch.full((8, 3), NAN))
    assert norm.running_mean.isnan().all(), "nothing to put back: this would be vacuous"
    guard.refuses(NAN, NAN)
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())


def test_a_good_step_keeps_what_the_pass_changed(tmp_path):
    norm, guard = make(tmp_path)
    guard.before()
    norm(torch.ones(8, 3))
    guard.refuses(1.0, 1.0)
    assert norm.num_batches_tracked == 1


def test_the_first_batches_are_kept(tmp_path):
    _, guard = make(tmp_path, most=9)
    for _ in range(7):
        guard.before()
        said = guard.report(guard.refuses(NAN, 1.0), ["a", "b"], BATCH)
        guard._progress.step += 1
    assert "the batch is not kept, as the first 5 are. 7 skipped so far" in said
    kept = [tmp_path / f"nonfinite_step_{step}_process_0.safetensors" for step in range(7, 12)]
    assert set(tmp_path.iterdir()) == set(kept)
    with safe_open(kept[0], "pt") as opened:
        assert json.loads(opened.metadata()["crops"]) == ["a", "b"]
        assert opened.get_tensor("nodes").tolist() == [3, 5]


def test_so_many_in_a_row_and_no_more(tmp_path):
    _, guard = make(tmp_path, most=2)
    for loss in (NAN, NAN, 1.0, NAN, NAN):  # a good step between
        guard.before()
        if what := guard.refuses(loss, 1.0):
            guard.report(what, [], BATCH)
    guard.before()
    what = guard.refuses(NAN, 1.0)
    with pytest.raises(SystemExit, match="3 steps in a row taught nothing"):
        guard.report(what, [], BATCH)


def test_none_may_be_skipped_where_none_is_allowed(tmp_path):
    _, guard = make(tmp_path, most=0)
    guard.before()
    what = guard.refuses(NAN, 1.0)
    with pytest.raises(SystemExit, match=r"--max_skipped_steps 0"):
        guard.report(what, [], BATCH)


def test_a_batch_that_cannot_be_written_does_not_end_the_run(tmp_path):
    _, guard = make(tmp_path / "nowhere")
    guard.before()
    said = guard.report(guard.refuses(NAN, 1.0), [], BATCH)
    assert "skipped a step, as the loss is nan at step 7; the batch could not be written (" in said
    assert "1 skipped so far" in said
