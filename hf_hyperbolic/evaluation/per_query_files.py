"""Values of every query in a file: what differences between systems are computed from."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def save_per_query(path: str | Path, values: Mapping[str, np.ndarray]) -> None:
    """Writes the per-unit values of `evaluate_per_query` to a compressed npz.

    Raises:
        OSError: the file cannot be written.
    """
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **values)


def load_per_query(path: str | Path) -> dict[str, np.ndarray]:
    """Reads what `save_per_query` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
