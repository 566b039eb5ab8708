"""Formulas against the scores they stand for, candidates against what they are for, filters and their refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, scores
from hf_hyperbolic.retrieval.qdrant_requests import (
    COSH,
    KLEIN_SQUARED,
    Placed,
    candidates,
    condition,
    formula,
    place,
    requests,
    to_scores,
)

CURVATURE = 0.7


def evaluate(expression, variables):
    """What Qdrant documents for the expressions of a Formula Query, in float64."""
    if isinstance(expression, str):
        return variables[expression]
    if isinstance(expression, int | float):
        return float(expression)
    ((name, value),) = expression.items()
    if name == "sum":
        return sum(evaluate(part, variables) for part in value)
    if name == "mult":
        return math.prod(evaluate(part, variables) for part in value)
    if name == "div":
        return evaluate(value["left"], variables) / evaluate(value["right"], variables)
    if name == "pow":
        return evaluate(value["base"], variables) ** evaluate(value["exponent"], variables)
    return {"neg": lambda x: -x, "abs": abs, "sqrt": math.sqrt}[name](evaluate(value, variables))


def evaluated(queries, gallery, measure, direction, curvature):
    """(Q, G) scores by the formulas alone, with `p` in float64."""
    asked, stored = place(queries, curvature), place(gallery, curvature)
    p = asked.directions @ (stored.directions * stored.tanh[:, None]).T
    values = [
        [
            evaluate(
                formula(measure, direction, asked.sinh[i], asked.cosh[i]),
                {"$score": p[i, j], KLEIN_SQUARED: stored.tanh[j] ** 2, COSH: stored.cosh[j]},
            )
            for j in range(len(gallery))
        ]
        for i in range(len(queries))
    ]
    return to_scores(np.array(values), measure, curvature)


def points(seed, count, low=0.05, high=6.0, dim=5, curvature=CURVATURE):
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64))
    radii = low + (high - low) * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    return lorentz.exp_map0(directions * radii / math.sqrt(curvature), curvature).numpy()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), curvature=st.floats(0.1, 10), high=st.sampled_from([0.5, 3.0, 10.0]))
def test_a_formula_gives_the_scores_of_float64(measure, direction, seed, curvature, high):
    queries = points(seed, 4, high=high, curvature=curvature)
    gallery = points(seed + 1, 6, high=high, curvature=curvature)
    expected = scores(torch.from_numpy(queries), torch.from_numpy(gallery), measure, direction, curvature).numpy()
    result = evaluated(queries, gallery, measure, direction, curvature)
    assert result.dtype == np.float32
    # at radius 10 float64 itself leaves 1e-8 in |k|^2 - p^2
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6 if high < 10 else 1e-4)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("measure", MEASURES)
def test_points_at_the_origin_score_as_elsewhere(measure, direction):
    queries, gallery = points(0, 3), points(1, 3)
    queries[0] = 0
    gallery[1] = 0
    expected = scores(torch.from_numpy(queries), torch.from_numpy(gallery), measure, direction, CURVATURE).numpy()
    result = evaluated(queries, gallery, measure, direction, CURVATURE)
    defined = np.ones_like(expected, dtype=bool)
    defined[0, 1] = False  # both at the origin
    if measure not in ("cosine", "distance"):
        # the angle at an apex that is the origin is undefined
        apex_is_query = (direction == "children") != measure.endswith("alpha")
        defined[(0, slice(None)) if apex_is_query else (slice(None), 1)] = False
    np.testing.assert_allclose(result[defined], expected[defined], rtol=1e-5, atol=1e-5)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("measure", ["alpha", "beta", "euclidean_alpha", "euclidean_beta"])
def test_a_point_on_the_ray_beyond_and_one_on_the_opposite_ray(measure):
    ray = np.eye(3)[:1]
    gallery = np.concatenate([3 * ray, -3 * ray])
    beyond, opposite = evaluated(ray, gallery, measure, "children", 1.0)[0]
    assert beyond == pytest.approx(math.pi, abs=1e-5)
    assert opposite == pytest.approx(math.pi if measure.endswith("alpha") else 0, abs=1e-5)


def test_rounding_beyond_collinear_is_no_error():
    # the engine's float32 dot product may exceed |k|
    for measure in MEASURES:
        for direction in DIRECTIONS:
            expression = formula(measure, direction, math.sinh(1.0), math.cosh(1.0))
            for p in (1.0000002, -1.0000002, 0.0):
                value = evaluate(expression, {"$score": p * math.tanh(2), KLEIN_SQUARED: math.tanh(2) ** 2, COSH: 3.8})
                assert np.isfinite(to_scores(np.array([value]), measure, 1.0)).all()


def test_stored_vectors_are_klein_coordinates_on_a_unit_hemisphere():
    embeddings = points(2, 20)
    vectors = place(embeddings, CURVATURE).vectors()
    assert vectors.dtype == np.float32
    klein = lorentz.to_klein(torch.from_numpy(embeddings), CURVATURE)
    np.testing.assert_allclose(vectors[:, :-1], klein.numpy(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors[:, -1] > 0).all()


def test_a_radius_beyond_float32_klein_coordinates_is_kept():
    a = np.array([9.0, 12.0, 15.0])
    placed = place((np.sinh(a) / math.sqrt(CURVATURE))[:, None] * np.eye(3), CURVATURE)
    np.testing.assert_allclose(np.arccosh(placed.cosh), a, rtol=1e-12)


def test_the_candidate_ball_of_a_point_is_a_hyperbolic_ball():
    """`[k, m]` orders by a half-space of the hemisphere whose rim is a hyperbolic sphere around the query."""
    query, gallery = points(3, 1, low=1), points(4, 400)
    stored = place(gallery, CURVATURE).vectors().astype(np.float64)
    dot = stored @ candidates(place(query, CURVATURE), "distance", "parents")[0, 0].astype(np.float64)
    distance = lorentz.distance(torch.from_numpy(query), torch.from_numpy(gallery), CURVATURE).numpy()
    radius = lorentz.radius(torch.from_numpy(query), CURVATURE).item()
    # the sphere through the origin: its rim is where the dot product is that of the origin, [0, 1]
    of_origin = candidates(place(query, CURVATURE), "distance", "parents")[0, 0, -1]
    inside = distance < radius
    assert 10 < inside.sum() < 390
    np.testing.assert_array_equal(dot > of_origin, inside)


@pytest.mark.parametrize(
    ("measure", "direction", "exact", "sources"),
    [
        ("beta", "children", False, 0),
        ("beta", "parents", False, 1),
        ("alpha", "parents", False, 2),
        ("alpha", "parents", True, 0),
    ],
)
def test_requests_ask_for_candidates_then_the_dot_product_then_the_formula(measure, direction, exact, sources):
    placed = place(points(5, 2), CURVATURE)
    where = condition({"level": 1}, {"level": "integer"})
    for row, body in enumerate(requests(placed, 7, measure, direction, where, 50, exact)):
        assert body["limit"] == 7
        (stage,) = body["prefetch"]
        np.testing.assert_allclose(stage["query"], [*placed.directions[row], 0], atol=1e-7)
        if sources:
            assert "filter" not in stage
            assert stage["limit"] == 50 * sources
        innermost = stage["prefetch"] if sources else [stage]
        assert len(innermost) == max(sources, 1)
        for stage in innermost:
            assert "prefetch" not in stage
            assert stage["limit"] == 50
            assert stage["params"] == {"exact": exact}
            assert stage["filter"] == {"must": [{"key": "level", "match": {"value": 1}}]}
            assert np.linalg.norm(stage["query"]) == pytest.approx(1)


def test_conditions():
    fields = {"class": "keyword", "level": "integer"}
    assert condition(None, fields) is None
    assert condition({}, fields) is None
    assert condition({"class": ["car", "bus"], "level": np.int64(0)}, fields) == {
        "must": [{"key": "class", "match": {"any": ["car", "bus"]}}, {"key": "level", "match": {"value": 0}}]
    }


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"clas": "car"}, "cannot filter by 'clas'.*class, level"),
        ({"class": []}, r"where\['class'\] is empty"),
        ({"class": 3}, "holds 3.*keyword"),
        ({"level": "0"}, "holds '0'.*integer"),
        ({"level": True}, "holds True.*integer"),
    ],
)
def test_conditions_that_make_no_sense(where, message):
    with pytest.raises(ValueError, match=message):
        condition(where, {"class": "keyword", "level": "integer"})


def test_a_query_at_the_origin_has_candidates():
    placed = Placed(np.zeros((1, 3)), np.array([1e-8]), np.array([1.0]))
    for measure in MEASURES:
        for direction in DIRECTIONS:
            assert np.isfinite(candidates(placed, measure, direction)).all()
