import numpy as np
import pytest
import torch
from scipy.stats import skew

from hf_hyperbolic.evaluation import hubness


def test_occurrences_equal_a_naive_loop(make_scorer) -> None:
    matrix = np.random.default_rng(0).integers(0, 6, (30, 30)).astype(float)
    queries, gallery = np.arange(0, 20), np.arange(10, 30)
    expected = np.zeros(20, dtype=int)
    for query in queries:
        ranked = sorted((g for g in gallery if g != query), key=lambda g: (-matrix[query, g], g))
        for node in ranked[:3]:
            expected[node - 10] += 1
    found = hubness.occurrences(make_scorer(matrix), queries, gallery, "children", k=3)
    assert found.tolist() == expected.tolist()
    assert hubness.largest_share(found, 20) == expected.max() / 20
    assert hubness.skewness(found) == pytest.approx(skew(expected), abs=1e-12)


def test_one_item_that_serves_all() -> None:
    figures = hubness.hubness_figures(np.array([100] + [10] * 90), queries=100)
    assert figures["largest_share"]["value"] == 1
    assert figures["skewness"]["value"] > 5


def test_chance_is_what_random_rankings_reach() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = 60, 40
    largest, skews = [], []
    for _ in range(300):
        order = np.argsort(rng.random((queries, gallery)), axis=1)[:, :10]
        counts = np.bincount(order.ravel(), minlength=gallery)
        largest.append(counts.max() / queries)
        skews.append(skew(counts))
    figures = hubness.hubness_figures(np.full(gallery, 15), queries)
    # independent binomials stand in for counts that sum to a constant: right to a few per cent
    assert figures["largest_share"]["chance"] == pytest.approx(np.mean(largest), rel=0.03)
    assert figures["skewness"]["chance"] == pytest.approx(np.mean(skews), abs=0.1)


def test_ceiling_is_an_even_spread() -> None:
    queries, gallery = 60, 40
    counts = np.bincount((np.arange(queries * 10) % gallery), minlength=gallery)
    figures = hubness.hubness_figures(counts, queries)
    assert figures["largest_share"]["value"] == figures["largest_share"]["ceiling"] == 15 / 60
    assert figures["skewness"]["value"] == figures["skewness"]["ceiling"] == 0


def test_a_gallery_smaller_than_k_serves_everybody() -> None:
    figures = hubness.hubness_figures(np.full(4, 9), queries=9)
    assert figures["largest_share"] == {"value": 1.0, "low": None, "high": None, "chance": 1.0, "ceiling": 1.0}
    assert figures["skewness"]["chance"] == 0


def test_mean_cosine_equals_the_matrix() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 5)) + 1
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    expected = (cosines.sum() - 40) / (40 * 39)
    assert hubness.mean_cosine(torch.from_numpy(vectors)) == pytest.approx(expected, abs=1e-12)
    vectors[3] = 0
    assert np.isfinite(hubness.mean_cosine(torch.from_numpy(vectors)))
    assert hubness.mean_cosine(torch.ones(5, 3)) == pytest.approx(1, abs=1e-12)
    assert np.isnan(hubness.mean_cosine(torch.ones(1, 3)))
