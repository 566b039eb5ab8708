"""What an evaluation found, kept beside the model, and used again only for what it was made from.

`figures-NAME.json` holds the figures, what they were made from and notes; `units-NAME.safetensors` the values of every
query or image; `embeddings-NAME.safetensors` the embeddings of a split. A file of other weights, ranking measures or
data, or of another version of the code, is not used: it is written again.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hf_hyperbolic.data.files import write_text, written_aside
from hf_hyperbolic.evaluation.split_evaluation import Figures, Units

# to be raised when a figure changes its meaning or value: kept files of lower versions are then made again
VERSION = 1


@dataclass(frozen=True)
class Kept:
    """What an evaluation found.

    Attributes:
        figures: name -> `value`, `chance`, `ceiling`, perhaps `oracle`.
        units: name -> (Q,) values.
        about: JSON-ready: `notes` and what else is to be said of the split.
    """

    figures: Figures
    units: Units
    about: dict[str, Any]


def kept_figures(
    folder: Path,
    name: str,
    made_from: Mapping[str, Any],
    wanted: Collection[str],
    make: Callable[[], Kept],
) -> Kept:
    """The evaluation that `folder` holds, made now and kept where it does not hold one of these.

    Args:
        folder: of the run; made if missing.
        name: of the evaluation, as part of the files' names.
        made_from: JSON-ready: model, data and ranking measures.
        wanted: figures that it must have.
        make: evaluates.
    """
    source = {"version": VERSION, **made_from}
    figures_file, units_file = folder / f"figures-{name}.json", folder / f"units-{name}.safetensors"
    found = _read(figures_file, units_file, source, wanted)
    if found is None:
        found = make()
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(units_file, found.units, source)
        write_text(
            figures_file,
            json.dumps({"made_from": source, "about": found.about, "figures": found.figures}, indent=1) + "\n",
        )
    return found


def _read(figures_file: Path, units_file: Path, source: dict[str, Any], wanted: Collection[str]) -> Kept | None:
    try:
        document = json.loads(figures_file.read_text(encoding="utf-8"))
        if document["made_from"] != source:
            return None
        kept = Kept(document["figures"], {}, document["about"])
    except (OSError, ValueError, KeyError, TypeError):  # of whatever it is, not of this
        return None
    units = load_arrays(units_file, source)
    if units is None or not set(wanted) <= set(kept.figures):
        return None
    return Kept(kept.figures, units, kept.about)


def kept_embeddings(
    folder: Path, name: str, made_from: Mapping[str, Any], make: Callable[[], tuple[np.ndarray, float]]
) -> tuple[np.ndarray, float]:
    """(N, D) float32 embeddings and curvature, from `folder` or made now and kept there.

    Args:
        folder: of the run.
        name: of the split, as part of the file's name.
        made_from: JSON-ready: model and split.
        make: embeds.
    """
    source = {"version": VERSION, **made_from}
    file = folder / f"embeddings-{name}.safetensors"
    found = load_arrays(file, source)
    if found is None or not {"embeds", "curvature"} <= set(found):
        embeds, curvature = make()
        found = {"embeds": embeds, "curvature": np.array([curvature])}
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(file, found, source)
    return found["embeds"], float(found["curvature"][0])


def save_arrays(file: Path, arrays: Mapping[str, np.ndarray], source: Mapping[str, Any]) -> None:
    """Writes arrays and what they were made from, aside and then in place."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with written_aside(file) as aside:
        save_file(whole, aside, {"made_from": json.dumps(source, sort_keys=True)})


def load_arrays(file: Path, source: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """The arrays of a file, None where it is missing, broken or made from something else."""
    try:
        with safe_open(file, framework="numpy") as stored:
            if (stored.metadata() or {}).get("made_from") != json.dumps(source, sort_keys=True):
                return None
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def parameters_digest(model: torch.nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers, for a model that lies in no file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
