import numpy as np
import pytest
from scipy.stats import spearmanr

from hf_hyperbolic.evaluation.depth import depth_correlation, most_from_ties, weighted_spearman


@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy_with_ties_and_repeated_observations(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, 60).astype(float), np.round(rng.normal(size=60), 1)
    assert weighted_spearman(x, y, np.ones(60)) == pytest.approx(spearmanr(x, y).statistic)
    times = rng.integers(0, 4, 60)
    again = spearmanr(np.repeat(x, times), np.repeat(y, times)).statistic
    assert weighted_spearman(x, y, times.astype(float)) == pytest.approx(again)
    assert np.isnan(weighted_spearman(np.zeros(5), np.arange(5.0), np.ones(5)))


def test_the_ceiling_is_what_radii_in_the_order_of_depth_reach():
    depth = np.repeat([0, 1, 2, 3], [5, 20, 9, 2])
    assert most_from_ties(depth) == pytest.approx(spearmanr(depth, np.arange(36)).statistic)
    assert np.isnan(most_from_ties(np.zeros(4)))


def test_the_figure_on_a_hierarchy(make_hierarchy):
    hierarchy = make_hierarchy(seed=3, images=12, boxes=7, whole=1)
    rng, active = np.random.default_rng(0), hierarchy.active()
    radii = hierarchy.level + rng.normal(size=hierarchy.num_nodes)
    found = depth_correlation(radii, hierarchy)
    assert found["value"] == pytest.approx(spearmanr(hierarchy.level[active], radii[active]).statistic)
    assert found["low"] < found["value"] < found["high"]
    assert found["chance"] == 0
    boxes = active & (hierarchy.node_label >= 0)
    found = depth_correlation(radii, hierarchy, boxes_only=True)
    assert found["value"] == pytest.approx(spearmanr(hierarchy.level[boxes], radii[boxes]).statistic)
    in_order = hierarchy.level + 0.01 * rng.random(hierarchy.num_nodes)
    best = depth_correlation(in_order, hierarchy)
    assert best["value"] == pytest.approx(best["ceiling"])
    noise = depth_correlation(rng.random(hierarchy.num_nodes), hierarchy)
    assert noise["low"] < 0 < noise["high"]


def test_the_interval_is_over_images(make_hierarchy):
    """Where all of an image's nodes agree, single nodes would give far too narrow an interval."""
    hierarchy = make_hierarchy(seed=0, images=6, boxes=30)
    sign = np.where(hierarchy.node_image % 2, 1, -1)
    found = depth_correlation(10 + sign * hierarchy.level, hierarchy)
    assert found["high"] - found["low"] > 0.5


def test_one_level_and_too_many_images(make_hierarchy):
    hierarchy = make_hierarchy(seed=0, images=4, boxes=1)
    radii = np.arange(hierarchy.num_nodes, dtype=float)
    assert depth_correlation(radii, hierarchy, boxes_only=True)["value"] is None
    some = depth_correlation(radii, hierarchy, max_images=2)
    assert some["ceiling"] == pytest.approx(most_from_ties(np.array([0, 0, 1, 1])))
    empty = make_hierarchy(seed=0, images=2, boxes=1, empty=1)
    assert depth_correlation(radii[: empty.num_nodes], empty, boxes_only=True)["value"] is None
