"""Checkpoints that are either whole or not there, and the state a run goes on from."""

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from hf_hyperbolic.data.files import finish_replacing, replace_folder, sha256
from hf_hyperbolic.training.failures import is_write_failure, not_written

NAME = re.compile(r"step-(\d{8})")
_PROGRESS = "progress.json"


@dataclass
class Progress:
    """What a run must know besides weights, optimiser and random states.

    Attributes:
        step: steps done.
        best: best validation figure so far.
        best_step: the step it was of.
        processes: how many train together.
        validated: the last step that validation looked at.
        skipped: steps that taught nothing, as their loss or gradient was not finite.
    """

    step: int = 0
    best: float = float("-inf")
    best_step: int = -1
    processes: int = 1
    validated: int = 0
    skipped: int = 0


def numbered(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name)) if folder.is_dir() else []


def save(
    accelerator: Accelerator, folder: Path, progress: Progress, keep: int, position: dict[str, Any] | None = None
) -> None:
    """Writes `step-NNNNNNNN` aside, renames it, then prunes all but the newest `keep`.

    `position` is where this process's feed stands, if the step does not say. Every process must call it. A process
    killed in the middle leaves only a folder that `restore` removes.

    Raises:
        SystemExit: it could not be written, by whichever process; what was written of it is removed, and older
            checkpoints stay. A run that went on without would lose all from here on when it ends, for the disk that has
            no room for a checkpoint has none for the model either. One that stops now loses what came since the
            last checkpoint, which `--resume` makes up for once there is room.
    """
    final = folder / f"step-{progress.step:08d}"
    aside = folder / f"writing-{final.name}"
    failure: Exception | None = None
    try:
        if accelerator.is_main_process:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
    except OSError as error:
        failure = error
    _all_wrote(accelerator, failure, aside)
    try:
        accelerator.save_state(str(aside))
        if position is not None:
            (aside / _position_name(accelerator)).write_text(json.dumps(position))
    except Exception as error:
        if not is_write_failure(error):
            raise
        failure = error
    _all_wrote(accelerator, failure, aside)
    try:
        if accelerator.is_main_process:
            written = asdict(progress) | {"sha256": _digests(aside)}
            (aside / _PROGRESS).write_text(json.dumps(written))
            _flush(aside / _PROGRESS)
            replace_folder(aside, final)
            for old in numbered(folder)[:-keep]:
                # a checkpoint that is half removed must not look like one
                removed = old.with_name(f"removing-{old.name}")
                os.replace(old, removed)
                shutil.rmtree(removed)
    except OSError as error:
        failure = error
    _all_wrote(accelerator, failure, aside)


def _all_wrote(accelerator: Accelerator, failure: Exception | None, aside: Path) -> None:
    """Goes on only if every process does; none is left waiting for one that has failed."""
    failed = torch.tensor([float(failure is not None)], device=accelerator.device)
    if not accelerator.reduce(failed, "sum").item():
        return
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
    if failure is None:
        raise SystemExit("stopped, as another process of this run could not write its part of the checkpoint")
    older = numbered(aside.parent)
    kept = f" {older[-1]} is whole." if older else " There is no older checkpoint."
    raise SystemExit(not_written(aside.parent, failure, kept)) from failure


def damage(checkpoint: Path) -> str | None:
    """Why a run cannot go on from a checkpoint; None where it is as it was written."""
    try:
        digests = json.loads((checkpoint / _PROGRESS).read_text()).get("sha256", {})
    except (OSError, ValueError, AttributeError):
        return f"{_PROGRESS} cannot be read"
    for name, digest in digests.items():
        try:
            if sha256(checkpoint / name) != digest:
                return f"{name} is not as it was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def load(accelerator: Accelerator, checkpoint: Path) -> tuple[Progress, dict[str, Any] | None]:
    """Restores weights, optimiser and random states; says where the run and this process's feed stood.

    Raises:
        SystemExit: the checkpoint is of another number of processes.
    """
    saved = json.loads((checkpoint / _PROGRESS).read_text())
    saved.setdefault("validated", saved["step"])  # older versions looked at every step that they kept
    known = {field.name for field in fields(Progress)}
    progress = Progress(**{name: value for name, value in saved.items() if name in known})
    if progress.processes != accelerator.num_processes:
        raise SystemExit(
            f"{checkpoint} is of {progress.processes} process(es) and this run has {accelerator.num_processes}: go "
            f"on with --num_processes {progress.processes}, or start another run"
        )
    accelerator.load_state(str(checkpoint))
    position = checkpoint / _position_name(accelerator)
    return progress, json.loads(position.read_text()) if position.exists() else None


def restore(accelerator: Accelerator, output: Path, max_steps: int) -> tuple[Progress, dict[str, Any] | None]:
    """Goes on from the newest whole checkpoint of the run in `output`, as `load` does; from step 0 where there is none.

    A damaged one is set aside, with a warning, for the one before it. What a killed process left half done is finished
    or removed.

    Raises:
        SystemExit: all checkpoints are damaged, or it is of another number of processes, or of a step beyond
            `max_steps`.
    """
    found: list[Any] = [None, None]
    if accelerator.is_main_process:
        finish_replacing(output)
        found = list(_newest_whole(output / "checkpoints"))
    checkpoint, damaged = broadcast_object_list(found)
    for warning in damaged:
        accelerator.print(f"warning: {warning}")
    if checkpoint is None and damaged:
        raise SystemExit(f"no checkpoint in {output} is whole: remove {output} to start from step 0")
    if checkpoint is None:
        accelerator.print(f"there is no checkpoint in {output} yet: starting at step 0")
        return Progress(processes=accelerator.num_processes), None
    progress, position = load(accelerator, checkpoint)
    if progress.step > max_steps:
        raise SystemExit(
            f"the newest checkpoint of {output} is of step {progress.step}, beyond --max_steps {max_steps}: ask for as "
            "many steps or more, or train anew in another --output_dir"
        )
    accelerator.print(f"resumed from {checkpoint}")
    return progress, position


def _newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """The checkpoint to go on from, and what is said of those passed over. Tidies `folder`."""
    if not folder.is_dir():
        return None, []
    finish_replacing(folder)
    for left in (*folder.glob("writing-*"), *folder.glob("removing-*")):
        shutil.rmtree(left)
    damaged: list[str] = []
    for checkpoint in reversed(numbered(folder)):
        why = damage(checkpoint)
        if why is None:
            return checkpoint, damaged
        # out of the count of those that are kept, and not deleted: it may be all there is
        aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(checkpoint, aside)
        damaged.append(f"{checkpoint} is damaged ({why}); it is now {aside.name}")
    return None, damaged


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, all of which are on the disk by then: older checkpoints are removed for this one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for file in files:
        _flush(file)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def _flush(file: Path) -> None:
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _position_name(accelerator: Accelerator) -> str:
    return f"position-{accelerator.process_index}.json"
