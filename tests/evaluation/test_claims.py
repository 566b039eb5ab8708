import numpy as np
import pytest
from scipy.stats import t as student

from hf_hyperbolic.evaluation import paired_difference
from hf_hyperbolic.evaluation.claims import Comparison, compare_seeds


def test_with_one_seed_it_is_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    a, b = rng.random(400), rng.random(400)
    a[3] = b[7] = np.nan
    found, single = compare_seeds(a[None], b[None], resamples=4000), paired_difference(a, b, resamples=4000)
    assert found.difference == pytest.approx(single["value"])
    assert found.units == single["units"] == 398
    # a normal interval and a percentile interval of the same resamples
    assert (found.low, found.high) == pytest.approx((single["low"], single["high"]), abs=0.003)


def test_runs_that_differ_widen_the_interval():
    rng = np.random.default_rng(1)
    quiet = rng.normal(0, 0.1, size=(3, 500))
    restless = quiet + np.array([[-0.5], [0.0], [0.5]])
    steady, unsure = compare_seeds(quiet + 0.1, quiet), compare_seeds(restless + 0.1, quiet)
    assert steady.verdict() == "holds"
    assert unsure.verdict() == "undecided"
    assert unsure.difference == pytest.approx(steady.difference)


@pytest.mark.parametrize(("runs", "noise"), [(3, 0.0), (3, 0.5), (20, 0.5)])
def test_covers_the_truth_about_as_often_as_it_says(runs, noise):
    """Runs differ more than units (the hard case) or as much as these; three runs tell little of how much."""
    rng = np.random.default_rng(2)
    covered, half = 0, []
    for trial in range(200):
        effect = rng.normal(0, 0.3, size=(2, runs, 1))
        units = rng.normal(0, 1, size=60)
        values = effect + units + rng.normal(0, noise, size=(2, runs, 60)) + rng.normal(0, noise, size=(2, 1, 60))
        found = compare_seeds(values[0], values[1], resamples=200, seed=trial)
        covered += found.low <= 0 <= found.high
        half.append((found.high - found.low) / 2)
    # as wide as it must be and not much more: the difference's own standard deviation, by Student's t for its freedom
    deviation = (2 * 0.3**2 / runs + 2 * noise**2 / 60 + 2 * noise**2 / (60 * runs)) ** 0.5
    assert np.mean(half) < 1.25 * student.ppf(0.975, 2 * (runs - 1)) * deviation
    # binomial(200, .95) has a standard deviation of 3
    assert 181 <= covered <= 200


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "expected"),
    [
        (0.1, 0.2, False, "holds"),
        (-0.2, -0.1, False, "does not hold"),
        (-0.1, 0.2, False, "undecided"),
        (0.0, 0.2, False, "undecided"),
        (-0.2, -0.1, True, "holds"),
        (0.1, 0.2, True, "does not hold"),
        (-0.1, 0.2, True, "undecided"),
    ],
)
def test_only_an_interval_without_zero_decides(low, high, lower_is_better, expected):
    assert Comparison((low + high) / 2, low, high, (3, 3), 10).verdict(lower_is_better) == expected


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="same units"):
        compare_seeds(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="no unit"):
        compare_seeds(np.full((1, 3), np.nan), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="level"):
        compare_seeds(np.zeros((1, 3)), np.zeros((1, 3)), level=1.5)
