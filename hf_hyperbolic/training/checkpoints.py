"""Checkpoints that are either whole or not there, and the state a run goes on from."""

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

NAME = re.compile(r"step-(\d{8})")


@dataclass
class Progress:
    """What a run must know besides weights, optimiser and random states; `processes` is how many train together."""

    step: int = 0
    best: float = float("-inf")
    best_step: int = -1
    processes: int = 1


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`."""
    found = sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name)) if folder.is_dir() else []
    return found[-1] if found else None


def save(
    accelerator: Accelerator, folder: Path, progress: Progress, keep: int, position: dict[str, Any] | None = None
) -> None:
    """Writes `step-NNNNNNNN` aside, renames it, then prunes all but the newest `keep`.

    `position` is where this process's feed stands, if the step does not say. Every process must call it; a process
    killed in the middle leaves only a folder that `latest` does not look at.
    """
    final = folder / f"step-{progress.step:08d}"
    aside = folder / f"writing-{final.name}"
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside))
    if position is not None:
        (aside / _position_name(accelerator)).write_text(json.dumps(position))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (aside / "progress.json").write_text(json.dumps(asdict(progress)))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)
        for old in sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name))[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load(accelerator: Accelerator, checkpoint: Path) -> tuple[Progress, dict[str, Any] | None]:
    """Restores weights, optimiser and random states; says where the run and this process's feed stood."""
    accelerator.load_state(str(checkpoint))
    position = checkpoint / _position_name(accelerator)
    return (
        Progress(**json.loads((checkpoint / "progress.json").read_text())),
        json.loads(position.read_text()) if position.exists() else None,
    )


def restore(accelerator: Accelerator, output: Path) -> tuple[Progress, dict[str, Any] | None]:
    """Goes on from the newest checkpoint of the run in `output`, as `load` does; from step 0 where there is none.

    Raises:
        SystemExit: the checkpoint is of another number of processes.
    """
    checkpoint = latest(output / "checkpoints")
    if checkpoint is None:
        accelerator.print(f"there is no checkpoint in {output} yet: starting at step 0")
        return Progress(processes=accelerator.num_processes), None
    progress, position = load(accelerator, checkpoint)
    if progress.processes != accelerator.num_processes:
        raise SystemExit(
            f"{checkpoint} is of {progress.processes} process(es) and this run has {accelerator.num_processes}: go "
            f"on with --num_processes {progress.processes}, or start another run"
        )
    accelerator.print(f"resumed from {checkpoint}")
    return progress, position


def _position_name(accelerator: Accelerator) -> str:
    return f"position-{accelerator.process_index}.json"
