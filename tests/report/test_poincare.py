"""The disk keeps radii, and its arcs are geodesics."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.offsetbox import AnnotationBbox

from hf_hyperbolic.lorentz import exp_map0
from hf_hyperbolic.report.poincare import (
    direction_frame,
    disk_positions,
    embedding_radii,
    geodesic_arc,
    plane_directions,
    poincare_disk,
)

inside = st.tuples(st.floats(-0.65, 0.65), st.floats(-0.65, 0.65)).map(np.array)


def disk_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Distance in the unit Poincare disk of curvature -1, by its usual formula."""
    gap = mpmath.mpf(1 - float(a @ a)) * mpmath.mpf(1 - float(b @ b))
    return float(mpmath.acosh(1 + 2 * float((a - b) @ (a - b)) / gap))


@pytest.mark.parametrize("curvature", [0.3, 1.0, 4.0])
def test_positions_keep_the_distance_from_the_origin(curvature):
    rng = np.random.default_rng(0)
    tangent = rng.normal(size=(50, 7))
    places = disk_positions(exp_map0(torch.from_numpy(tangent), curvature).numpy(), curvature)
    for vector, place in zip(tangent, places, strict=True):
        distance = disk_distance(np.zeros(2), place) / np.sqrt(curvature)
        assert distance == pytest.approx(np.linalg.norm(vector), rel=1e-6)


def test_directions_are_the_first_principal_axes():
    rng = np.random.default_rng(1)
    embeds = rng.normal(size=(80, 9)) * np.linspace(3, 0.2, 9) + 1
    units = embeds / np.linalg.norm(embeds, axis=1, keepdims=True)
    centred = units - units.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = plane_directions(embeds)
    # an axis has no sign: compare up to a flip of each
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


@pytest.mark.parametrize("embeds", [np.zeros((3, 4)), np.ones((3, 4)), np.array([[1.0], [2.0], [-1.0]])])
def test_directions_of_degenerate_embeddings_are_unit_vectors(embeds):
    np.testing.assert_allclose(np.linalg.norm(plane_directions(embeds), axis=1), 1)


@given(inside, inside)
def test_arcs_are_geodesics_of_even_steps(start, end):
    arc = geodesic_arc(start, end, steps=7)
    np.testing.assert_allclose(arc[[0, -1]], [start, end], atol=1e-9)
    whole = disk_distance(start, end)
    steps = [disk_distance(a, b) for a, b in pairwise(arc)]
    # only on a geodesic do the pieces add up to the distance
    assert sum(steps) == pytest.approx(whole, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(steps, whole / 6, rtol=1e-4, atol=1e-6)


def test_disk_holds_every_point_of_every_level(split):
    levels = split.hierarchy.level
    axes = poincare_disk(split.embeds.numpy(), levels, split.curvature).axes[0]
    drawn = {cloud.get_label(): len(cloud.get_offsets()) for cloud in axes.collections}
    assert drawn == {name: (levels == level).sum() for level, name in enumerate(("scene", "object", "part"))}


def test_disk_draws_the_trees_and_thumbnails_of_examples(split):
    asked = []

    def crop_of(node: int) -> np.ndarray:
        asked.append(node)
        return split.crop_of(node)

    h = split.hierarchy
    nodes = np.flatnonzero(h.active())
    args = (split.embeds.numpy()[nodes], h.level[nodes], split.curvature, h, nodes, [2], crop_of)
    axes = poincare_disk(*args).axes[0]
    arcs = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
    own = h.direct[h.node_image[h.direct[:, 0]] == 2]
    assert [len(c.get_segments()) for c in arcs] == [len(own)]
    pictures = [artist for artist in axes.artists if isinstance(artist, AnnotationBbox)]
    assert 1 <= len(pictures) == len(asked) <= 4
    assert {int(h.node_image[node]) for node in asked} == {2}


def test_euclidean_plane_keeps_the_order_of_radii(split):
    embeds = split.embeds.numpy()
    axes = poincare_disk(embeds, np.zeros(len(embeds), dtype=int), None).axes[0]
    drawn = np.linalg.norm(axes.collections[0].get_offsets(), axis=1)
    radii = embedding_radii(embeds, None)
    np.testing.assert_allclose(radii, np.linalg.norm(embeds, axis=1), rtol=1e-6)
    np.testing.assert_allclose(drawn / drawn.max(), radii / radii.max())


def test_with_one_frame_points_seen_later_lie_in_the_same_picture():
    embeds = np.random.default_rng(0).normal(size=(40, 6))
    frame = direction_frame(embeds)
    together = disk_positions(embeds, 0.7)
    assert np.allclose(disk_positions(embeds[7:9], 0.7, frame), together[7:9], atol=1e-12)
    # along a ray from the origin only the radius changes, whatever lies on it
    near, far = plane_directions(np.stack([0.1 * embeds[3], 9 * embeds[3]]), frame)
    assert np.allclose(near, far)
