"""How sure a figure is: percentile bootstrap over queries, and the paired difference of two systems.

Every figure here is a mean over units (queries, or images for figures over pairs), so one routine serves all of them.
A statement "A beats B" rests on `paired_difference`, never on two intervals that do or do not overlap.
"""

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

# cells of a (resamples, units) block of multiplicities: 16 MB of float64
_BLOCK_CELLS = 1 << 21


def bootstrap_interval(
    values: np.ndarray,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean over units (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: (Q,) or (Q, F), one row a unit; NaN means that a figure is undefined for a unit, which is left out of
            that figure's mean. All columns share their resamples.
        level: coverage, in (0, 1).
        resamples: number of resamples.
        seed: of the resampling.
        groups: (Q,) int; when given, whole groups are drawn instead of single units: the boxes of an image, say, are
            no independent queries.

    Returns:
        Lower and upper bound, () or (F,) float64 each; NaN where no unit has a value.

    Raises:
        ValueError: level, resamples or shapes make no sense.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    values = np.asarray(values, dtype=np.float64)
    columns = values.reshape(len(values), int(np.prod(values.shape[1:])))
    present = ~np.isnan(columns)
    sums, counts = np.where(present, columns, 0.0), present.astype(np.float64)
    if groups is not None:
        if len(groups) != len(values):
            raise ValueError(f"groups has {len(groups)} rows for {len(values)} values")
        _, group = np.unique(groups, return_inverse=True)
        sums, counts = _group_sums(sums, group), _group_sums(counts, group)
    if not len(sums):
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing.copy()
    means = _resampled_means(sums, counts, resamples, np.random.default_rng(seed))
    tail = (1 - level) / 2
    low, high = _nan_quantiles(means, tail), _nan_quantiles(means, 1 - tail)
    return low.reshape(values.shape[1:]), high.reshape(values.shape[1:])


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, float | int | bool]:
    """Mean of a - b over the same units, with its bootstrap interval.

    Args:
        a: (Q,) one system's values, unit for unit those of b.
        b: (Q,) the other's.
        level: coverage.
        resamples: number of resamples.
        seed: of the resampling.
        groups: (Q,) see `bootstrap_interval`.

    Returns:
        `value`, `low`, `high`, `units` (those at which both are defined) and `excludes_zero`.

    Raises:
        ValueError: the two are not of one length, or share no unit with a value.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a {a.shape} and b {b.shape} must be per-unit values of one length over the same units")
    difference = a - b
    defined = ~np.isnan(difference)
    if not defined.any():
        raise ValueError("there is no unit at which both systems have a value")
    low, high = bootstrap_interval(difference, level, resamples, seed, groups)
    return {
        "value": float(difference[defined].mean()),
        "low": float(low),
        "high": float(high),
        "units": int(defined.sum()),
        "excludes_zero": bool(low > 0 or high < 0),
    }


def median_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval of the median between two order statistics, normal approximation to the binomial.

    It is what the percentile bootstrap of a median tends to, without the resampling (David & Nagaraja 2003, 7.1).

    Args:
        values: (Q,), without NaN, at least one.
        level: 0.95 or another coverage in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    half = NormalDist().inv_cdf(0.5 + level / 2) * np.sqrt(n) / 2
    low = max(0, int(np.floor(n / 2 - half)))
    high = min(n - 1, int(np.ceil(n / 2 + half)))
    return float(ordered[low]), float(ordered[high])


def image_pseudo_values(value: float, influence: np.ndarray, images: np.ndarray, num_images: int) -> np.ndarray:
    """A figure over pairs as a mean over images, so that whole images are resampled (Obuchowski 1997).

    Args:
        value: the figure.
        influence: (P,) what each pair adds to the figure, linearised; sums to 0.
        images: (P,) image of each pair.
        num_images: I.

    Returns:
        (I,) float64 whose mean over images with a pair is `value`; NaN for an image without one.
    """
    present = np.bincount(images, minlength=num_images) > 0
    per_image = np.bincount(images, weights=influence, minlength=num_images)
    return np.where(present, value + present.sum() * per_image, np.nan)


def _group_sums(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(group, weights=column) for column in values.T], axis=1)


def multiplicities(units: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Blocks (r, units) float64, in all `resamples` rows: how often each unit is drawn in each resample."""
    block = max(1, _BLOCK_CELLS // units)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, units, size=(rows, units)) + np.arange(rows)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


def _resampled_means(sums: np.ndarray, counts: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        means = [(times @ sums) / (times @ counts) for times in multiplicities(len(sums), resamples, rng)]
    return np.concatenate(means)


def _nan_quantiles(means: np.ndarray, q: float) -> np.ndarray:
    quantiles = np.full(means.shape[1], np.nan)
    some = ~np.isnan(means).all(axis=0)
    quantiles[some] = np.nanquantile(means[:, some], q, axis=0)
    return quantiles
