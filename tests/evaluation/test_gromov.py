import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

from hf_hyperbolic import lorentz
from hf_hyperbolic.evaluation.gromov import delta_beside_random, gromov_delta, relative_delta


def tree_metric(parent, length):
    n = len(parent)
    weights = np.zeros((n, n))
    for v, p in enumerate(parent):
        if p >= 0:
            weights[p, v] = length[v]
    return shortest_path(weights, directed=False)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_a_tree_has_delta_zero(n, seed):
    rng = np.random.default_rng(seed)
    parent = [-1] + [int(rng.integers(0, v)) for v in range(1, n)]
    assert gromov_delta(tree_metric(parent, rng.uniform(0.1, 2, n))) == pytest.approx(0, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_equals_the_definition_triple_by_triple(n, seed):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    d = np.linalg.norm(points[:, None] - points[None], axis=-1)

    def product(x, y):
        return (d[x, 0] + d[y, 0] - d[x, y]) / 2

    expected = max(
        min(product(x, z), product(z, y)) - product(x, y) for x in range(n) for y in range(n) for z in range(n)
    )
    assert gromov_delta(d) == pytest.approx(expected, abs=1e-12)


def test_the_hyperbolic_plane_is_more_of_a_tree_than_the_flat_one():
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, 150), 8 * np.sqrt(rng.random(150))
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    euclidean = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    points = lorentz.exp_map0(torch.from_numpy(flat), 1.0)
    hyperbolic = lorentz.pairwise_distance(points, points, 1.0).numpy()
    # four points of H^2 of curvature -1 have delta log 2 at most from the best base, twice that from any
    assert gromov_delta(hyperbolic) <= 2 * np.log(2)
    assert relative_delta(hyperbolic) < 0.5 * relative_delta(euclidean)


def test_one_point_and_bad_input():
    assert relative_delta(np.zeros((3, 3))) == 0
    with pytest.raises(ValueError, match="square"):
        gromov_delta(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="symmetric"):
        gromov_delta(np.array([[0.0, 1.0], [2.0, 0.0]]))


def test_beside_random_directions_of_the_same_radii():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(60, 2))
    found = delta_beside_random(np.pad(flat, ((0, 0), (0, 100))), None, points=100)
    assert found["draws"] == 1
    assert found["points"] == 60
    d = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    # another base point changes delta by a factor of 2 at most
    assert 0.5 <= found["value"] / relative_delta(d) <= 2
    # points at right angles to each other are a star
    assert found["random_directions"] < 0.5 * found["value"]
    hyperbolic = delta_beside_random(lorentz.exp_map0(torch.from_numpy(6 * flat), 1.0).numpy(), 1.0, points=40)
    assert hyperbolic["metric"] == "hyperbolic"
    assert hyperbolic["draws"] == 5
    assert hyperbolic["smallest"] <= hyperbolic["value"] <= hyperbolic["largest"] < found["value"]
    assert delta_beside_random(flat[:3], None)["value"] is None
