"""Checkpoints that are either whole or not there, and the state a run goes on from."""

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator

NAME = re.compile(r"step-(\d{8})")


@dataclass
class Progress:
    """What a run must know besides weights, optimiser and random states."""

    step: int = 0
    best: float = float("-inf")
    best_step: int = -1


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`."""
    found = sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name)) if folder.is_dir() else []
    return found[-1] if found else None


def save(accelerator: Accelerator, folder: Path, progress: Progress, keep: int) -> None:
    """Writes `step-NNNNNNNN` aside, renames it, then prunes all but the newest `keep`.

    Every process must call it; a process killed in the middle leaves only a folder that `latest` does not look at.
    """
    final = folder / f"step-{progress.step:08d}"
    aside = folder / f"writing-{final.name}"
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (aside / "progress.json").write_text(json.dumps(asdict(progress)))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)
        for old in sorted(path for path in folder.glob("step-*") if NAME.fullmatch(path.name))[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load(accelerator: Accelerator, checkpoint: Path) -> Progress:
    """Restores weights, optimiser and random states, and says where the run stood."""
    accelerator.load_state(str(checkpoint))
    return Progress(**json.loads((checkpoint / "progress.json").read_text()))
