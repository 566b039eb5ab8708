"""What is validated, kept and ended between two steps."""

import json
import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from hf_hyperbolic.training import milestones
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.checkpoints import Progress
from hf_hyperbolic.training.jobs import STOPPED
from hf_hyperbolic.training.milestones import Milestones


class Told:
    """A request to stop that comes at a step."""

    def __init__(self, progress: Progress, step: int | None):
        self.progress, self.step = progress, step

    def agreed(self, accelerator: Accelerator) -> bool:
        return self.progress.step == self.step


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("step-*"))


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def run(folder, monkeypatch, steps=10, every=3, skipped=(), stop=None, progress=None, spoil=None):
    """Steps at which a run validated, and those its checkpoints are of."""
    progress = progress or Progress()
    monkeypatch.setattr(milestones, "StopRequest", lambda: Told(progress, stop))
    args = TrainArguments(output_dir=str(folder), max_steps=steps, eval_steps=every, keep_checkpoints=100)
    model, validated = torch.nn.Linear(2, 2), []
    between = Milestones(
        Accelerator(cpu=True), args, progress, [model], lambda: validated.append(progress.step),
        position=lambda: {"after": progress.step},
    )  # fmt: skip
    ended = None
    between.catch_up()
    try:
        while progress.step < steps:
            progress.step += 1
            if progress.step == spoil:
                model.bias.data[0] = math.nan
            between.after_step(progress.step in skipped)
    except SystemExit as exit:
        ended = exit.code
    kept = [int(path.name.removeprefix("step-")) for path in checkpoints(folder)]
    return validated, kept, ended, progress


def test_at_every_so_many_steps_and_at_the_last(tmp_path, monkeypatch):
    validated, kept, ended, progress = run(tmp_path, monkeypatch)
    assert validated == kept == [3, 6, 9, 10]
    assert ended is None
    assert progress.validated == 10
    # each checkpoint knows of its own validation, and where the feed stood
    assert [read(path / "progress.json")["validated"] for path in checkpoints(tmp_path)] == kept
    assert [read(path / "position-0.json") for path in checkpoints(tmp_path)] == [{"after": step} for step in kept]


def test_what_is_due_at_a_skipped_step_waits_for_one_that_is_not(tmp_path, monkeypatch):
    validated, kept, _, _ = run(tmp_path, monkeypatch, skipped=(3, 4, 8))
    assert validated == kept == [5, 6, 9, 10]


def test_the_last_step_is_kept_though_it_was_skipped(tmp_path, monkeypatch):
    validated, kept, _, _ = run(tmp_path, monkeypatch, skipped=(10,))
    assert validated == kept == [3, 6, 9, 10]


@pytest.mark.parametrize("step", [4, 6])
def test_told_to_stop_it_keeps_what_it_has_and_leaves_validation_for_later(tmp_path, monkeypatch, step):
    validated, kept, ended, progress = run(tmp_path, monkeypatch, stop=step)
    assert (validated, kept, ended) == ([3], [3, step], STOPPED)
    assert progress.validated == read(checkpoints(tmp_path)[-1] / "progress.json")["validated"] == 3
    # it goes on: what was due, at 6 itself or not yet, is made up for once
    validated, kept, ended, _ = run(tmp_path, monkeypatch, progress=progress)
    assert validated == [6, 9, 10]
    assert ended is None


def test_told_to_stop_at_the_last_step_it_ends_as_it_would_have(tmp_path, monkeypatch):
    validated, kept, ended, _ = run(tmp_path, monkeypatch, stop=10)
    assert validated == kept == [3, 6, 9, 10]
    assert ended is None


def test_weights_that_are_not_finite_are_neither_validated_nor_kept(tmp_path, monkeypatch):
    validated, kept, ended, _ = run(tmp_path, monkeypatch, spoil=5)
    assert validated == kept == [3]
    assert "not finite after step 6" in ended
