"""A figure as it is reported: its value, how sure it is, and what chance and the best possible reach."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_hyperbolic.evaluation.bootstrap import bootstrap_interval

Figure = dict[str, Any]


def number(value: float | None) -> float | None:
    """A float that JSON can hold: None for NaN or infinity."""
    return None if value is None or not np.isfinite(value) else float(value)


def figure(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    chance: float | None = None,
    ceiling: float | None = None,
) -> Figure:
    """One reported figure; None stands for what is undefined or has no interval."""
    return {name: number(entry) for name, entry in zip(FIELDS, (value, low, high, chance, ceiling), strict=True)}


FIELDS = ("value", "low", "high", "chance", "ceiling")


def mean_figures(
    values: Mapping[str, Mapping[str, np.ndarray]],
    chance: Mapping[str, float],
    ceiling: Mapping[str, float],
    resamples: int = 1000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, dict[str, Figure]]:
    """Means over units with 95 % bootstrap intervals.

    All systems and figures of a protocol share their resamples, so the weights are drawn once.

    Args:
        values: measure -> figure -> (Q,) values, the same Q throughout; NaN where undefined.
        chance: figure -> level of a random ranking; a figure that is not named has None.
        ceiling: figure -> level of the best possible; likewise.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        groups: (Q,) int, resampled whole when given.

    Returns:
        measure -> figure -> `value`, `low`, `high`, `chance`, `ceiling`.
    """
    keys = [(measure, name) for measure, figures in values.items() for name in figures]
    table: dict[str, dict[str, Figure]] = {measure: {} for measure in values}
    if not keys:
        return table
    columns = np.stack([np.asarray(values[measure][name], dtype=np.float64) for measure, name in keys], axis=1)
    low, high = bootstrap_interval(columns, resamples=resamples, seed=seed, groups=groups)
    for column, (measure, name) in enumerate(keys):
        defined = columns[:, column][~np.isnan(columns[:, column])]
        value = float(defined.mean()) if len(defined) else None
        table[measure][name] = figure(value, low[column], high[column], chance.get(name), ceiling.get(name))
    return table
