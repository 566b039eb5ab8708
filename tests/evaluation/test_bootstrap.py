import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import norm

from hf_hyperbolic.evaluation.bootstrap import (
    bootstrap_interval,
    image_pseudo_values,
    median_interval,
    paired_difference,
)


def test_interval_is_that_of_scipy_up_to_resampling() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=300)
    low, high = bootstrap_interval(values, resamples=20_000)
    expected = scipy_bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    # the standard error of a 2.5 % quantile over 20,000 resamples is about 2 % of a standard error of the mean
    tolerance = 5 * 0.02 * values.std() / np.sqrt(300)
    assert float(low) == pytest.approx(expected.low, abs=tolerance)
    assert float(high) == pytest.approx(expected.high, abs=tolerance)


def test_interval_covers_the_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        low, high = bootstrap_interval(rng.random(80) < 0.3, resamples=300, seed=trial)
        covered += low <= 0.3 <= high
    # a binomial of 400 at .95 has a standard deviation of .011; small samples cost a little
    assert 0.91 <= covered / 400 <= 0.98


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_columns_share_resamples_and_blocks_do_not_matter(seed: int, units: int) -> None:
    values = np.random.default_rng(seed).random((units, 2))
    low, high = bootstrap_interval(np.stack([values[:, 0], 2 * values[:, 0]], axis=1), resamples=50, seed=seed)
    alone = bootstrap_interval(values[:, 0], resamples=50, seed=seed)
    np.testing.assert_allclose([low[0], high[0]], [*alone], atol=1e-12)
    np.testing.assert_allclose([low[1], high[1]], [2 * low[0], 2 * high[0]], atol=1e-12)
    assert (low <= high).all()
    assert values.min(0)[0] <= low[0] + 1e-12
    assert high[0] <= values.max(0)[0] + 1e-12


def test_missing_values_are_left_out() -> None:
    values = np.array([[1.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    low, high = bootstrap_interval(values, resamples=200)
    assert low[0] == high[0] == 1.0
    assert np.isnan([low[1], high[1]]).all()
    assert np.isnan(bootstrap_interval(np.zeros(0))).all()


def test_whole_groups_are_drawn() -> None:
    # within a group all values agree: 20 copies of each unit must not narrow the interval
    group_values = np.random.default_rng(0).random(30)
    alone = bootstrap_interval(group_values, resamples=2000)
    copied = bootstrap_interval(np.repeat(group_values, 20), resamples=2000, groups=np.repeat(np.arange(30), 20))
    np.testing.assert_allclose(copied, alone, atol=1e-12)
    naive = bootstrap_interval(np.repeat(group_values, 20), resamples=2000)
    assert (naive[1] - naive[0]) < 0.5 * (copied[1] - copied[0])


def test_seeded() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_paired_difference_sees_what_two_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.random(200)
    a, b = difficulty + 0.02 + 0.01 * rng.normal(size=200), difficulty
    separate = bootstrap_interval(np.stack([a, b], axis=1))
    assert separate[0][0] < separate[1][1]  # premise: the two intervals overlap
    found = paired_difference(a, b)
    assert found["value"] == pytest.approx((a - b).mean())
    assert 0 < found["low"] < found["value"] < found["high"]
    assert found["excludes_zero"] is True
    assert paired_difference(b, b)["excludes_zero"] is False
    a[:50] = np.nan
    assert paired_difference(a, b)["units"] == 150


def test_median_interval_covers() -> None:
    rng = np.random.default_rng(0)
    covered = sum(low <= 0 <= high for low, high in (median_interval(rng.normal(size=61)) for _ in range(500)))
    assert 0.92 <= covered / 500 <= 0.99
    assert median_interval(np.array([4.0])) == (4.0, 4.0)


def test_pseudo_values_have_the_figure_as_mean_and_its_spread() -> None:
    rng = np.random.default_rng(0)
    pair_values, images = rng.random(500), rng.integers(0, 40, 500)
    images[images == 7] = 8
    share = pair_values.mean()
    values = image_pseudo_values(share, (pair_values - share) / 500, images, 40)
    assert np.isnan(values[7])
    assert np.isnan(values).sum() == 1
    assert np.nanmean(values) == pytest.approx(share, abs=1e-12)
    # naive: resample images, pool their pairs
    present = np.unique(images)
    means = [
        np.concatenate([pair_values[images == i] for i in rng.choice(present, len(present))]).mean()
        for _ in range(2000)
    ]
    spread = np.nanstd(values) / np.sqrt(len(present))
    assert spread == pytest.approx(np.std(means), rel=0.15)
    assert norm.ppf(0.975) * spread < 0.1


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(np.ones(3), level=95)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval(np.ones(3), resamples=0)
    with pytest.raises(ValueError, match="groups has 2 rows for 3"):
        bootstrap_interval(np.ones(3), groups=np.zeros(2))
    with pytest.raises(ValueError, match="one length"):
        paired_difference(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="no unit"):
        paired_difference(np.full(3, np.nan), np.ones(3))
    with pytest.raises(ValueError, match="level"):
        median_interval(np.ones(3), level=0)
