import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.evaluation.optimal_transport import ClassTree, label_distance, wasserstein_index, wasserstein_tree

SEEDS = st.integers(0, 2**32 - 1)


def distributions(rng: np.random.Generator, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    weights = rng.random((2, rows, classes)) * (rng.random((2, rows, classes)) < 0.6)
    weights[..., 0] += 0.1
    p, q = weights / weights.sum(-1, keepdims=True)
    return p, q


def path_lengths(parent: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """All-pairs path lengths of a tree by relaxation."""
    n = len(parent)
    cost = np.where(np.eye(n, dtype=bool), 0.0, np.inf)
    for child, up in enumerate(parent):
        if up >= 0:
            cost[child, up] = cost[up, child] = weight[child]
    for middle in range(n):
        cost = np.minimum(cost, cost[:, [middle]] + cost[[middle]])
    return cost


@settings(deadline=None)
@given(SEEDS, st.integers(1, 12))
def test_index_ground_equals_pot(seed: int, classes: int) -> None:
    p, q = distributions(np.random.default_rng(seed), 4, classes)
    found = label_distance(p, q)
    axis = np.arange(classes, dtype=np.float64)
    for row in range(4):
        one_dimensional = ot.emd2_1d(axis, axis, p[row], q[row], metric="euclidean")
        assert found[row] == pytest.approx(one_dimensional, abs=1e-9)
        programme = ot.emd2(p[row], q[row], np.abs(axis[:, None] - axis))
        assert found[row] == pytest.approx(programme, abs=1e-9)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 8), st.integers(0, 4))
def test_tree_ground_equals_pot_on_path_lengths(seed: int, classes: int, inner: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = classes + inner
    # a random tree over shuffled numbers: classes may be leaves, inner nodes, or the root
    number = rng.permutation(nodes)
    parent = np.full(nodes, -1)
    for position in range(1, nodes):
        parent[number[position]] = number[rng.integers(0, position)]
    weight = rng.random(nodes) + 0.1
    p, q = distributions(rng, 3, classes)
    cost = path_lengths(parent, weight)[:classes, :classes]
    expected = [ot.emd2(a, b, np.ascontiguousarray(cost)) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(label_distance(p, q, ClassTree(parent, weight)), expected, atol=1e-9)
    np.testing.assert_allclose(label_distance(p, q, cost), expected, atol=1e-9)


def test_a_chain_is_the_index_ground() -> None:
    p, q = distributions(np.random.default_rng(0), 5, 7)
    chain = ClassTree(np.arange(-1, 6))
    np.testing.assert_allclose(wasserstein_tree(p, q, chain), wasserstein_index(p, q), atol=1e-12)


@settings(deadline=None)
@given(SEEDS)
def test_it_is_a_metric(seed: int) -> None:
    p, q = distributions(np.random.default_rng(seed), 3, 6)
    r = q[::-1]
    assert (wasserstein_index(p, p) == 0).all()
    np.testing.assert_allclose(wasserstein_index(p, q), wasserstein_index(q, p), atol=1e-12)
    assert (wasserstein_index(p, r) <= wasserstein_index(p, q) + wasserstein_index(q, r) + 1e-12).all()


@pytest.mark.parametrize(
    ("parent", "message"),
    [([1, 0, -1], "circle"), ([0, 0, 1], "one -1"), ([-1, -1, 0], "one -1"), ([-1, 7, 0], "one -1")],
)
def test_a_tree_that_is_none_is_refused(parent: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassTree(np.array(parent)).preorder()


def test_a_ground_that_does_not_fit_is_refused() -> None:
    p, q = distributions(np.random.default_rng(0), 2, 3)
    with pytest.raises(ValueError, match="ground must be"):
        label_distance(p, q, "alphabet")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(2, 2\), expected \(3, 3\)"):
        label_distance(p, q, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="2 nodes for 3 classes"):
        label_distance(p, q, ClassTree(np.array([-1, 0])))
