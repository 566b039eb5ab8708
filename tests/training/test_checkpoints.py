"""Checkpoints of a model of one layer: whole or not there, the newest kept, damaged ones passed over."""

import json

import pytest
import torch
from accelerate import Accelerator

from hf_hyperbolic.training import checkpoints
from hf_hyperbolic.training.checkpoints import Progress, numbered, restore, save


@pytest.fixture
def accelerator():
    found = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 2)
    found.prepare(model, torch.optim.AdamW(model.parameters()))
    return found


def saved(accelerator, output, *steps, keep=9):
    for step in steps:
        with torch.no_grad():
            accelerator._models[0].weight.fill_(step)
        save(accelerator, output / "checkpoints", Progress(step), keep)
    return [output / "checkpoints" / f"step-{step:08d}" for step in steps]


def restored(accelerator, output) -> tuple[int, float]:
    """The step that is gone on from, and what the weights say that it is."""
    with torch.no_grad():
        accelerator._models[0].weight.fill_(-1)
    progress, _ = restore(accelerator, output, max_steps=10)
    return progress.step, accelerator._models[0].weight[0, 0].item()


def test_the_newest_are_kept_and_the_newest_is_gone_on_from(accelerator, tmp_path):
    saved(accelerator, tmp_path, 1, 2, 9, 10, keep=2)
    assert [path.name for path in numbered(tmp_path / "checkpoints")] == ["step-00000009", "step-00000010"]
    assert restored(accelerator, tmp_path) == (10, 10.0)


def test_one_of_a_step_beyond_those_asked_for_is_refused(accelerator, tmp_path):
    saved(accelerator, tmp_path, 10, 11)
    with pytest.raises(SystemExit, match="is of step 11, beyond --max_steps 10: ask for as many steps or more"):
        restored(accelerator, tmp_path)


def test_without_a_checkpoint_it_starts_at_step_0(accelerator, tmp_path, capsys):
    assert restored(accelerator, tmp_path) == (0, -1.0)
    assert "there is no checkpoint" in capsys.readouterr().out


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage", "why"),
    [
        ("model.safetensors", flip, "model.safetensors is not as it was written"),
        ("optimizer.bin", lambda file: file.write_bytes(file.read_bytes()[:-9]), "optimizer.bin is not as it was"),
        ("random_states_0.pkl", lambda file: file.unlink(), "random_states_0.pkl cannot be read"),
        ("progress.json", lambda file: file.write_text('{"step'), "progress.json cannot be read"),
        ("progress.json", lambda file: file.unlink(), "progress.json cannot be read"),
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(accelerator, tmp_path, capsys, file, damage, why):
    _, before, newest = saved(accelerator, tmp_path, 1, 2, 3)
    damage(newest / file)
    assert restored(accelerator, tmp_path) == (2, 2.0)
    assert f"warning: {newest} is damaged ({why}" in capsys.readouterr().out
    assert newest.with_name("damaged-step-00000003").is_dir()
    # it does not count among those that are kept
    saved(accelerator, tmp_path, 4, keep=2)
    assert numbered(tmp_path / "checkpoints") == [before, tmp_path / "checkpoints" / "step-00000004"]


def test_where_none_is_whole_nothing_is_started_over(accelerator, tmp_path):
    for checkpoint in saved(accelerator, tmp_path, 1, 2):
        flip(checkpoint / "model.safetensors")
    with pytest.raises(SystemExit, match=r"no checkpoint in .* is whole"):
        restored(accelerator, tmp_path)


def test_what_a_killed_process_left_is_tidied(accelerator, tmp_path):
    first, second = saved(accelerator, tmp_path, 1, 2)
    for name in ("writing-step-00000003", "removing-step-00000000"):
        (first.with_name(name)).mkdir()
    # killed between the two renames that put a model in place of an older one
    (tmp_path / ".old-best-hf-hyperbolic").mkdir()
    (tmp_path / ".old-best-hf-hyperbolic" / "model.safetensors").touch()
    assert restored(accelerator, tmp_path) == (2, 2.0)
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name, second.name]
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["model.safetensors"]


def test_a_checkpoint_without_digests_is_taken_as_it_is(accelerator, tmp_path):
    (checkpoint,) = saved(accelerator, tmp_path, 5)
    written = json.loads((checkpoint / "progress.json").read_text())
    for name in ("sha256", "validated", "skipped"):  # of an older version
        del written[name]
    (checkpoint / "progress.json").write_text(json.dumps(written))
    assert restored(accelerator, tmp_path) == (5, 5.0)
    # where it was written the model had been validated: not once more
    assert restore(accelerator, tmp_path, max_steps=5)[0] == Progress(5, validated=5)


def test_what_cannot_be_written_leaves_the_older_ones(accelerator, tmp_path, monkeypatch):
    (first,) = saved(accelerator, tmp_path, 1)

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "sha256", full)
    with pytest.raises(SystemExit, match=r"checkpoints could not be written: .*No space left.*step-00000001 is whole"):
        saved(accelerator, tmp_path, 2)
    assert list(first.parent.iterdir()) == [first]
    monkeypatch.undo()
    assert restored(accelerator, tmp_path) == (1, 1.0)


def test_an_error_that_is_not_of_writing_is_not_called_one(accelerator, tmp_path, monkeypatch):
    def wrong(folder):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(accelerator, "save_state", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        saved(accelerator, tmp_path, 1)
