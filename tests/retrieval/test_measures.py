"""Scores against naive loops over the elementwise geometry and against sklearn, and the refusals."""

import math

import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, scores

CURVATURE = 0.8


@pytest.fixture
def embeddings():
    generator = torch.Generator().manual_seed(0)
    queries = lorentz.exp_map0(torch.randn(6, 16, generator=generator), CURVATURE)
    gallery = lorentz.exp_map0(torch.randn(9, 16, generator=generator), CURVATURE)
    return queries, gallery


def naive_score(parent, child, measure):
    if measure == "cosine":
        return cosine_similarity(parent[None].numpy(), child[None].numpy()).item()
    if measure == "distance":
        return -lorentz.distance(parent, child, CURVATURE).item()
    geometry = euclidean if measure.startswith("euclidean") else lorentz
    if measure.endswith("alpha"):
        return geometry.exterior_angle(child, parent, CURVATURE).item()
    if measure.endswith("combined"):
        angle = geometry.exterior_angle(parent, child, CURVATURE).item()
        return math.cos(angle) + 2 * naive_score(parent, child, "cosine")
    return math.pi - geometry.exterior_angle(parent, child, CURVATURE).item()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("measure", MEASURES)
def test_scores_agree_with_a_naive_loop(embeddings, measure, direction):
    queries, gallery = embeddings
    expected = torch.tensor(
        [
            [naive_score(*((q, g) if direction == "children" else (g, q)), measure) for g in gallery.double()]
            for q in queries.double()
        ]
    )
    result = scores(queries, gallery, measure, direction, CURVATURE)
    assert result.shape == (6, 9)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("measure", ["alpha", "beta", "euclidean_alpha", "euclidean_beta"])
def test_a_child_further_out_on_the_ray_of_its_parent_scores_highest(measure):
    directions = torch.eye(8)
    parents, children = directions, 3 * directions
    for queries, gallery, direction in ((parents, children, "children"), (children, parents, "parents")):
        result = scores(queries, gallery, measure, direction, 1.0)
        assert result.argmax(1).tolist() == list(range(8))
        torch.testing.assert_close(result.diagonal(), torch.full((8,), math.pi), rtol=0, atol=1e-4)
    # turned around, the interior angle at the "parent" is 0: entailment has a direction
    if measure.endswith("beta"):
        assert scores(children, parents, measure, "children", 1.0).diagonal().max() < 1e-4


def test_the_two_directions_are_transposes_of_each_other(embeddings):
    queries, gallery = embeddings
    for measure in MEASURES:
        down = scores(queries, gallery, measure, "children", CURVATURE)
        up = scores(gallery, queries, measure, "parents", CURVATURE)
        torch.testing.assert_close(down, up.T)
    assert not torch.allclose(
        scores(queries, gallery, "beta", "children", CURVATURE), scores(queries, gallery, "beta", "parents", CURVATURE)
    )


def test_alpha_is_never_below_beta(embeddings):
    for direction in DIRECTIONS:
        alpha = scores(*embeddings, "alpha", direction, CURVATURE)
        assert (alpha >= scores(*embeddings, "beta", direction, CURVATURE)).all()


def test_a_tensor_curvature_and_half_precision_are_accepted(embeddings):
    queries, gallery = embeddings
    expected = scores(queries.bfloat16().float(), gallery.bfloat16().float(), "beta", "children", CURVATURE)
    result = scores(queries.bfloat16(), gallery.bfloat16(), "beta", "children", torch.tensor(CURVATURE))
    torch.testing.assert_close(result, expected)


def test_cosine_of_a_zero_vector_is_zero():
    assert scores(torch.zeros(1, 4), torch.ones(2, 4), "cosine", "children").tolist() == [[0.0, 0.0]]


def test_combined_has_a_direction_and_tells_apart_what_lies_equally_straight_behind():
    parent, behind = torch.eye(8)[:1], 3 * torch.eye(8)[:1]
    for measure in ("combined", "euclidean_combined"):
        torch.testing.assert_close(scores(parent, behind, measure, "children", 1.0), torch.tensor([[3.0]]))
        # straight in front of it, as alike as before
        torch.testing.assert_close(scores(behind, parent, measure, "children", 1.0), torch.tensor([[1.0]]))
    # at a parent near the origin beta tells little of where a child lies
    children = 3 * torch.eye(8)[:2]
    near = scores(0.01 * parent, children, "combined", "children", 1.0)
    assert near[0, 0] - near[0, 1] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("measure", ["alpha", "beta", "combined", "distance"])
def test_hyperbolic_measures_need_a_curvature(embeddings, measure):
    with pytest.raises(ValueError, match=r"hyperbolic: pass curvature="):
        scores(*embeddings, measure, "children")


@pytest.mark.parametrize("curvature", [math.inf, math.nan, 0.0, -1.0])
@pytest.mark.parametrize("measure", ["alpha", "beta", "combined", "distance"])
def test_curvatures_of_no_space_are_refused(embeddings, measure, curvature):
    with pytest.raises(ValueError, match="give a finite c > 0"):
        scores(*embeddings, measure, "children", curvature)


@pytest.mark.parametrize("measure", ["cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined"])
def test_flat_measures_need_none(embeddings, measure):
    result = scores(*embeddings, measure, "children")
    assert torch.equal(result, scores(*embeddings, measure, "children", CURVATURE))


def test_unknown_names_are_refused_with_the_choices(embeddings):
    with pytest.raises(ValueError, match=r"unknown measure 'gamma'.*euclidean_beta"):
        scores(*embeddings, "gamma", "children", CURVATURE)
    with pytest.raises(ValueError, match=r"unknown direction 'down'.*'children'.*'parents'"):
        scores(*embeddings, "beta", "down", CURVATURE)


def test_shapes_that_do_not_match_are_refused(embeddings):
    queries, gallery = embeddings
    with pytest.raises(ValueError, match="queries have 15 dimensions and the gallery 16"):
        scores(queries[:, :15], gallery, "beta", "children", CURVATURE)
    with pytest.raises(ValueError, match=r"queries has shape \(16,\)"):
        scores(queries[0], gallery, "beta", "children", CURVATURE)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", ["queries", "gallery"])
@pytest.mark.parametrize("measure", MEASURES)
def test_rows_that_are_not_finite_are_named(embeddings, measure, side, value):
    queries, gallery = (rows.clone() for rows in embeddings)
    (queries if side == "queries" else gallery)[[1, 4], 3] = value
    with pytest.raises(ValueError, match=rf"{side} holds NaN or infinite values in 2 of \d rows \(rows 1, 4\)"):
        scores(queries, gallery, measure, "children", CURVATURE)
