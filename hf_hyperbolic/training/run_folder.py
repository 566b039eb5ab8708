"""The folder of a run: made once, never shared by two runs, with one line of metrics.jsonl for each look at it."""

import json
import signal
from pathlib import Path

import torch
from accelerate import Accelerator

from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.training.failures import not_written
from hf_hyperbolic.training.run_arguments import RunArguments

METRICS = "metrics.jsonl"


def prepare_output(args: RunArguments, process: int) -> Path:
    """The run's folder; refuses to mix two runs in one, and to go on with other data, model, batches or loss.

    Raises:
        SystemExit: it cannot be written, it holds a run and `args` do not resume one, or that run is another.
    """
    output = Path(args.output_dir)
    probe = output / f".writable-{process}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SystemExit(f"--output_dir {output} cannot be written: {error.strerror}; choose another folder") from None
    if not (output / METRICS).exists():
        return output
    if not args.resume:
        raise SystemExit(
            f"{output} already holds a run: add --resume true to go on with it, or choose another --output_dir"
        )
    if not (output / args.FILE).exists():
        raise SystemExit(f"{output} holds a run of another script ({args.FILE} is not there): choose another folder")
    changed = args.changes_since(type(args).load(output))
    if changed:
        raise SystemExit(
            f"{output} holds a run with other settings ({'; '.join(changed)}): resume it with its own, which are in "
            f"its {args.FILE}, or choose another --output_dir"
        )
    return output


def record(accelerator: Accelerator, output: Path, figures: dict[str, float], step: int) -> None:
    """One line of metrics.jsonl (what the report draws) and the tracker's scalars.

    Raises:
        SystemExit: they could not be written.
    """
    try:
        accelerator.log(figures, step=step)
        if accelerator.is_main_process:
            with open(output / METRICS, "a") as lines:
                lines.write(json.dumps({"step": step, **figures}) + "\n")
    except OSError as error:
        raise SystemExit(not_written(output / METRICS, error)) from error


def keep_metrics_until(path: Path, step: int) -> None:
    """Drops what a resumed run is about to write again."""
    kept = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            continue  # the run was killed while it wrote this line
    write_text(path, "".join(kept))


class StopRequest:
    """Whether this run was told to end by SIGTERM, which it then does after the step it is at."""

    def __init__(self) -> None:
        self._requested = False
        signal.signal(signal.SIGTERM, self._request)

    def _request(self, *_: object) -> None:
        self._requested = True

    def agreed(self, accelerator: Accelerator) -> bool:
        """Whether any process was told to: all must call it, and all stop at one step."""
        if accelerator.num_processes > 1:
            told = torch.tensor([float(self._requested)], device=accelerator.device)
            self._requested = bool(accelerator.reduce(told, "sum").item())
        return self._requested
