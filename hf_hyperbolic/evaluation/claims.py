"""Does a claim hold? Two systems, several seeds each, compared on the same queries.

A difference between two systems is uncertain in two ways: other queries would give another, and so would other training
runs. The variance of the first kind comes from a paired bootstrap over units (queries or images), with each system's
runs averaged; that of the second from the spread of the runs' means. With three runs that spread is itself hardly
known, which is what Student's t is for (Welch 1947): the interval is some three times wider than a bootstrap over three
runs would have it, and covers as often as it says.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from hf_hyperbolic.evaluation.bootstrap import multiplicities

Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """One system minus another.

    Attributes:
        difference: mean over seeds and units, in the unit of the figure.
        low: lower bound of the interval.
        high: upper bound.
        seeds: number of seeds of the first and of the second system. Where both are 1 the interval knows nothing of how
            runs differ.
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
    first: np.ndarray, second: np.ndarray, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """The difference of two systems, with an interval over units and runs.

    Args:
        first: (S, Q) per-unit values of one system's S seeds; NaN where undefined.
        second: (T, Q) the other's, unit for unit the same.
        level: coverage, in (0, 1).
        resamples: of the bootstrap over units.
        seed: of that bootstrap.

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
    paired = first.mean(0) - second.mean(0)
    drawn = np.concatenate(
        [times @ paired / times.sum(1) for times in multiplicities(len(paired), resamples, np.random.default_rng(seed))]
    )
    of_units = float(drawn.var())
    of_runs = [
        float(values.mean(1).var(ddof=1)) / len(values) if len(values) > 1 else 0.0 for values in (first, second)
    ]
    variance = of_units + sum(of_runs)
    # Welch-Satterthwaite; the units are so many that their part is taken as known
    spread = sum(v**2 / (len(x) - 1) for v, x in zip(of_runs, (first, second), strict=True) if len(x) > 1)
    freedom = variance**2 / spread if spread > 0 else np.inf
    half = float(student.ppf(0.5 + level / 2, freedom)) * variance**0.5
    difference = float(paired.mean())
    return Comparison(difference, difference - half, difference + half, (len(first), len(second)), len(paired))
