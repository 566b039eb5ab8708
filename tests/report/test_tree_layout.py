import numpy as np
import pytest

from hf_hyperbolic.report.tree_layout import depth_first, depths, tidy_positions

#      0
#    1   2
#  3 4   5
#  6
PARENT = np.array([-1, 0, 0, 1, 1, 2, 3])


def test_parents_come_before_what_hangs_below_them_and_small_subtrees_first():
    assert depth_first(PARENT) == [0, 2, 5, 1, 4, 3, 6]
    assert depths(PARENT).tolist() == [0, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_leaves_stand_apart_and_subtrees_do_not_cross(seed):
    rng = np.random.default_rng(seed)
    parent = np.array([-1] + [int(rng.integers(0, v)) for v in range(1, 20)])
    shuffle = rng.permutation(20)
    moved = np.empty(20, dtype=int)
    moved[shuffle] = [-1 if p < 0 else shuffle[p] for p in parent]
    places, depth = tidy_positions(moved), depths(moved)
    assert (places[:, 1] == -depth).all()
    for level in range(depth.max() + 1):
        assert np.diff(np.sort(places[depth == level, 0])).min(initial=1) >= 0.5
    leaves = np.setdiff1d(np.arange(20), moved)
    assert sorted(places[leaves, 0]) == list(range(len(leaves)))
    # the leaves below a node are neighbours
    for node in range(20):
        below = {node}
        while grown := {v for v in range(20) if moved[v] in below} - below:
            below |= grown
        xs = sorted(places[v, 0] for v in below & {*leaves.tolist()})
        assert xs == list(np.arange(xs[0], xs[0] + len(xs)))


def test_one_node():
    assert tidy_positions(np.array([-1])).tolist() == [[0.0, 0.0]]
