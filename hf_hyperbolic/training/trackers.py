"""Where a run's figures and pictures go beside metrics.jsonl: TensorBoard, Trackio, Weights & Biases."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image

from hf_hyperbolic.extras import need
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.measures import ranking_measures
from hf_hyperbolic.training.run_arguments import RunArguments
from hf_hyperbolic.training.validation import Validation

TRACKERS = ("tensorboard", "trackio", "wandb")
_PROJECT = "hf-hyperbolic"


def trackers_asked_for(report_to: Sequence[str]) -> list[str]:
    """Names of trackers, all of them installed.

    Args:
        report_to: names of `TRACKERS`, or `"all"` that are installed, or `"none"`; empty for TensorBoard if it is.

    Raises:
        ImportError: one that is named is not installed.
        ValueError: a name is unknown, or `"all"` or `"none"` stands beside another.
    """
    installed = [name for name in TRACKERS if find_spec(name) is not None]
    if not report_to:
        return [name for name in installed if name == "tensorboard"]
    if set(report_to) & {"all", "none"}:
        if len(report_to) > 1:
            raise ValueError(f"--report_to {' '.join(report_to)}: all and none stand alone")
        return installed if report_to[0] == "all" else []
    for name in report_to:
        if name not in TRACKERS:
            raise ValueError(f"--report_to takes {', '.join(TRACKERS)}, all or none, got {name!r}")
        if name not in installed:
            need(name, "demo" if name == "tensorboard" else name)
    return list(dict.fromkeys(report_to))


def start_trackers(accelerator: Accelerator, args: RunArguments, names: Sequence[str]) -> None:
    """Starts them, with the run's settings; its name there is that of its folder."""
    run = Path(args.output_dir).resolve().name
    told: dict[str, dict[str, Any]] = {
        "trackio": {"name": run, "config": asdict(args), "resume": "allow"},
        "wandb": {"name": run, "config": asdict(args), "dir": args.output_dir},
    }
    # the first name is that of the folder of TensorBoard's files, and of the project elsewhere
    project = _PROJECT if set(names) - {"tensorboard"} else "tensorboard"
    accelerator.init_trackers(project, init_kwargs={name: told[name] for name in names if name in told})


def track_retrieval(
    accelerator: Accelerator, validation: Validation, model: HyperbolicCLIPVisionModel, step: int
) -> None:
    """Shows the trackers what `model` retrieves, of the embeddings that `validation` has just computed.

    Without a tracker, and without matplotlib (whose package draws), it does nothing. The main process calls it.
    """
    if not accelerator.trackers or validation.embeds is None or find_spec("matplotlib") is None:
        return
    from hf_hyperbolic.training.retrieval_sheet import retrieval_sheet

    sheet = retrieval_sheet(
        validation.embeds,
        validation.hierarchy,
        validation.reader,
        ranking_measures(validation.args),
        model.curvature.item(),
    )
    if sheet is not None:
        log_picture(accelerator, "retrieval", sheet, step)


def log_picture(accelerator: Accelerator, name: str, picture: Image.Image, step: int) -> None:
    """Gives a picture to every tracker, each in its own way."""
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({name: np.asarray(picture)[None]}, step=step, dataformats="NHWC")
        elif tracker.name == "wandb":
            tracker.log_images({name: [picture]}, step=step)
        elif tracker.name == "trackio":
            import trackio

            tracker.log({name: trackio.Image(picture)}, step=step)
