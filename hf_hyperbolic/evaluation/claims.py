"""Does a claim hold? Two systems, several seeds each, compared on the same queries.

A difference between two systems is uncertain in two ways: another training run would differ, and so would other
queries. Both are resampled: seeds are drawn with replacement for each system, then units (queries or images) for both
alike, which keeps the comparison paired (a two-level bootstrap; Bouthillier et al. 2021, "Accounting for variance in
machine learning benchmarks"). With three seeds the drawn seeds understate how much runs differ; the table says how many
there were.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_hyperbolic.evaluation.bootstrap import multiplicities

Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """One system minus another.

    Attributes:
        difference: mean over seeds and units, in the unit of the figure.
        low: lower bound of the 95 % interval.
        high: upper bound.
        seeds: number of seeds of the first and of the second system.
        units: number of units at which both are defined.
    """

    difference: float
    low: float
    high: float
    seeds: tuple[int, int]
    units: int

    def verdict(self, lower_is_better: bool = False) -> Verdict:
        """Whether the first system beats the second: only an interval that excludes zero decides."""
        low, high = (-self.high, -self.low) if lower_is_better else (self.low, self.high)
        if low > 0:
            return "holds"
        return "does not hold" if high < 0 else "undecided"


def compare_seeds(
    first: np.ndarray, second: np.ndarray, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """The difference of two systems with its two-level bootstrap interval.

    Args:
        first: (S, Q) per-unit values of one system's S seeds; NaN where undefined.
        second: (T, Q) the other's, unit for unit the same.
        level: coverage, in (0, 1).
        resamples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: the two do not have the same units, or no unit is defined in both.
    """
    first, second = np.atleast_2d(first).astype(np.float64), np.atleast_2d(second).astype(np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"first {first.shape} and second {second.shape} must be (seeds, units) over the same units")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    # a unit is undefined for a reason of the data (no relevant item), which is the same for every run
    defined = ~(np.isnan(first).any(0) | np.isnan(second).any(0))
    if not defined.any():
        raise ValueError("there is no unit at which both systems have a value in every run")
    first, second = first[:, defined], second[:, defined]
    rng = np.random.default_rng(seed)
    differences = []
    for times in multiplicities(first.shape[1], resamples, rng):
        drawn = times / times.sum(1, keepdims=True)
        # (r, S): mean of every run over the drawn units; then runs are drawn
        means = [_mean_of_drawn_runs(drawn @ values.T, rng) for values in (first, second)]
        differences.append(means[0] - means[1])
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(differences), [tail, 1 - tail])
    return Comparison(
        difference=float(first.mean() - second.mean()),
        low=float(low),
        high=float(high),
        seeds=(len(first), len(second)),
        units=first.shape[1],
    )


def _mean_of_drawn_runs(means: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, runs = means.shape
    return np.take_along_axis(means, rng.integers(0, runs, size=(rows, runs)), axis=1).mean(1)
