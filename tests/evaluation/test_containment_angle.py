import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.evaluation.containment_angle import RIGHT_ANGLE, fitted_angles, separating_angle


def balanced_accuracy(angles, holds, cut):
    told = angles >= cut
    return (told[holds].mean() + (~told[~holds]).mean()) / 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30))
def test_no_other_cut_off_separates_better(pairs):
    angles, holds = np.array([p[0] / 2 for p in pairs]), np.array([p[1] for p in pairs])
    found = separating_angle(angles, holds)
    if holds.all() or not holds.any():
        assert found == RIGHT_ANGLE
        return
    best = max(balanced_accuracy(angles, holds, cut) for cut in {*angles.tolist()})
    assert balanced_accuracy(angles, holds, found) == pytest.approx(best)


def image_specific(hierarchy, cut):
    """Angles that tell whole from part exactly, each image by a cut-off of its own."""
    holds = {*map(tuple, hierarchy.ancestry.tolist())}

    def score(first, second):
        wide = np.array([(u, v) in holds for u, v in zip(first.tolist(), second.tolist(), strict=True)])
        return cut[hierarchy.node_image[first]] + np.where(wide, 0.1, -0.1)

    return score


def test_each_half_is_fitted_on_the_other(make_hierarchy):
    hierarchy = make_hierarchy(seed=1, images=4, boxes=6)
    cut = np.array([0.5, 1.0, 2.0, 2.5])
    found = fitted_angles(image_specific(hierarchy, cut), hierarchy, [0, 1, 2, 3])
    of_image = [np.unique(found[hierarchy.image_nodes(image)]) for image in range(4)]
    assert all(len(angles) == 1 for angles in of_image)
    halves = {round(float(angles[0]), 6) for angles in of_image}
    assert len(halves) == 2
    for image, (angle,) in enumerate(of_image):
        mates = [i for i in range(4) if of_image[i][0] == angle]
        others = [i for i in range(4) if i not in mates]
        assert len(mates) == len(others) == 2
        # the angle is one of the pairs that hold in an image of the other half, none of its own
        assert any(angle == pytest.approx(cut[i] + 0.1) for i in others), image
        assert not any(angle == pytest.approx(cut[i] + 0.1) for i in mates), image


def test_images_left_out_are_fitted_on_all_and_nothing_gives_a_right_angle(make_hierarchy):
    hierarchy = make_hierarchy(seed=1, images=4, boxes=6)
    score = image_specific(hierarchy, np.array([1.0, 1.0, 1.0, 1.0]))
    found = fitted_angles(score, hierarchy, [0, 1])
    assert found[hierarchy.image_nodes(3)] == pytest.approx(1.1)
    assert (fitted_angles(score, hierarchy, []) == RIGHT_ANGLE).all()
    one = fitted_angles(score, hierarchy, [2])
    assert one[hierarchy.image_nodes(2)] == pytest.approx(RIGHT_ANGLE)
    assert one[hierarchy.image_nodes(0)] == pytest.approx(1.1)
