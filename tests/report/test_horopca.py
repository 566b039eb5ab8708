import numpy as np
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.report.horopca import Kept, fit_frame, horopca, horospherical_projection, kept
from hf_hyperbolic.report.poincare import plane_to_disk


def points_of(rng, count, dim, radius):
    tangent = rng.normal(size=(count, dim))
    tangent *= rng.uniform(0, radius, (count, 1)) / np.linalg.norm(tangent, axis=1, keepdims=True)
    return lorentz.exp_map0(torch.from_numpy(tangent), 1.0)


def frame_of(rng, dim):
    return torch.from_numpy(np.linalg.qr(rng.normal(size=(dim, 2)))[0])


def busemann(points, direction, far=12.0):
    """By its definition: d(x, gamma(t)) - t far out on the ray towards the direction."""
    end = lorentz.exp_map0(far * direction, 1.0)
    return lorentz.distance(points, end.expand_as(points), 1.0) - far


def test_both_busemann_functions_are_kept():
    rng = np.random.default_rng(0)
    points, frame = points_of(rng, 40, 7, 2.5), frame_of(rng, 7)
    flat = horospherical_projection(points, frame)
    for axis in range(2):
        kept_value = busemann(flat, torch.eye(2, dtype=torch.float64)[axis])
        torch.testing.assert_close(kept_value, busemann(points, frame[:, axis]), atol=1e-6, rtol=0)


def test_points_of_the_plane_stay_on_both_sides_of_the_axis():
    rng = np.random.default_rng(1)
    flat, frame = points_of(rng, 200, 2, 3.0), frame_of(rng, 5)
    beyond = flat.sum(1) > (1 + flat.square().sum(1)).sqrt()
    assert 0 < beyond.sum() < 200, "one side only: the test would say less than its name"
    torch.testing.assert_close(horospherical_projection(flat @ frame.T, frame), flat, atol=1e-6, rtol=0)


def test_no_distance_on_the_side_of_the_origin_grows():
    rng = np.random.default_rng(2)
    points, frame = points_of(rng, 150, 6, 2.0), frame_of(rng, 6)
    points = points[(points @ frame).sum(1) < (1 + points.square().sum(1)).sqrt()]
    before = lorentz.pairwise_distance(points, points, 1.0)
    flat = horospherical_projection(points, frame)
    assert (lorentz.pairwise_distance(flat, flat, 1.0) <= before + 1e-6).all()
    assert (lorentz.radius(flat, 1.0) <= lorentz.radius(points, 1.0) + 1e-6).all()


# the axis between the ideal points passes the origin at acosh(sqrt(2)) = 0.88; points may lie beyond it or not
@pytest.mark.parametrize(("curvature", "radius", "within"), [(0.3, 0.85, 1e-3), (1.0, 0.85, 1e-3), (2.0, 1.5, 2e-2)])
def test_a_hyperbolic_plane_among_many_dimensions_is_found_with_its_distances(curvature, radius, within):
    rng = np.random.default_rng(3)
    flat, frame = points_of(rng, 120, 2, radius).numpy() / np.sqrt(curvature), frame_of(rng, 16).numpy()
    embeds = flat @ frame.T
    found = horopca(embeds, curvature)
    share = kept(embeds, found, curvature)
    assert share.variance == pytest.approx(1, abs=within)
    assert share.distortion < within
    before, after = (lorentz.pairwise_distance(torch.from_numpy(x), torch.from_numpy(x), curvature)
                     for x in (embeds, found))  # fmt: skip
    torch.testing.assert_close(after, before, atol=5 * within, rtol=0)


def test_the_search_beats_the_principal_axes_and_random_frames():
    rng = np.random.default_rng(4)
    points = points_of(rng, 150, 10, 1.5) * torch.linspace(1.5, 0.3, 10, dtype=torch.float64) + 0.2

    def spread(frame):
        flat = horospherical_projection(points, frame)
        return float(lorentz.pairwise_distance(flat, flat, 1.0).square().mean())

    best = spread(fit_frame(points))
    assert best >= spread(fit_frame(points, steps=0))
    assert best > max(spread(frame_of(rng, 10)) for _ in range(50))


def test_what_is_kept_against_a_naive_loop():
    rng = np.random.default_rng(5)
    embeds, flat = points_of(rng, 6, 4, 1.0).numpy(), points_of(rng, 6, 2, 1.0).numpy()
    true, shown = [], []
    for i in range(6):
        for j in range(i):
            for rows, into in ((embeds, true), (flat, shown)):
                product = rows[i] @ rows[j] - np.sqrt((0.5**-1 + rows[i] @ rows[i]) * (0.5**-1 + rows[j] @ rows[j]))
                into.append(np.arccosh(-0.5 * product) / np.sqrt(0.5))
    true, shown = np.array(true), np.array(shown)
    found = kept(embeds, flat, 0.5)
    assert found.variance == pytest.approx((shown**2).mean() / (true**2).mean())
    assert found.distortion == pytest.approx((np.abs(shown - true) / true).mean())
    assert kept(np.zeros((3, 4)), np.zeros((3, 2)), 1.0) == Kept(1.0, 0.0)


def test_odd_input():
    with pytest.raises(ValueError, match="two dimensions"):
        horopca(np.zeros((3, 1)), 1.0)
    assert np.isfinite(horopca(np.zeros((4, 3)), 1.0)).all()
    assert np.isfinite(horopca(np.ones((1, 2)), 1.0)).all()


def test_disk_places_have_the_poincare_radius():
    flat = points_of(np.random.default_rng(6), 20, 2, 3.0).numpy() / np.sqrt(0.7)
    radii = lorentz.radius(torch.from_numpy(flat), 0.7).numpy()
    places = plane_to_disk(flat, 0.7)
    assert np.linalg.norm(places, axis=1) == pytest.approx(np.tanh(np.sqrt(0.7) * radii / 2))
    assert np.cross(np.c_[places, np.zeros(20)], np.c_[flat, np.zeros(20)]) == pytest.approx(0, abs=1e-9)
