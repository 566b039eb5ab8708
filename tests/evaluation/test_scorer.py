import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation.calibration import centre
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer, applicable_measures, split_measure
from hf_hyperbolic.retrieval.measures import MEASURES, scores


@pytest.fixture
def embeds() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("direction", ["children", "parents"])
def test_scores_are_those_of_the_measure(embeds: torch.Tensor, measure: str, direction: str) -> None:
    queries, gallery = np.array([3, 1, 7]), np.arange(10, 30)
    found = EmbeddingScorer(embeds, measure, 1.0)(queries, gallery, direction)  # type: ignore[arg-type]
    expected = scores(embeds[queries], embeds[gallery], measure, direction, curvature=1.0)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_pairs_are_entries_of_the_matrix(embeds: torch.Tensor, measure: str) -> None:
    ancestors, descendants = np.arange(0, 150), np.arange(149, 299)
    scorer = EmbeddingScorer(embeds, measure, 1.0)
    found = scorer.pairs(ancestors, descendants)
    downwards = scores(embeds[:150], embeds[149:299], measure, "children", curvature=1.0).diagonal().numpy()
    upwards = scores(embeds[149:299], embeds[:150], measure, "parents", curvature=1.0).diagonal().numpy()
    np.testing.assert_allclose(found, downwards, atol=2e-5)
    np.testing.assert_allclose(found, upwards, atol=2e-5)
    assert len(scorer.pairs(ancestors[:0], descendants[:0])) == 0


def test_correction_by_the_gallery_leaves_each_item_out_of_its_own_mean(embeds: torch.Tensor) -> None:
    queries, gallery = np.arange(5), np.arange(20, 60)
    found = EmbeddingScorer(embeds, "beta+centred", 1.0)(queries, gallery, "children")
    plain = scores(embeds[queries], embeds[gallery], "beta", "children", curvature=1.0)
    among = scores(embeds[gallery], embeds[gallery], "beta", "children", curvature=1.0).numpy()
    for g in range(40):
        offset = np.delete(among[:, g], g).mean()
        np.testing.assert_allclose(found[:, g], plain[:, g] - offset, atol=1e-5)


def test_correction_by_training_queries(embeds: torch.Tensor) -> None:
    queries, gallery = np.arange(5), np.arange(20, 60)
    references = {"children": embeds[100:200]}
    found = EmbeddingScorer(embeds, "alpha+zscored", 1.0, references)(queries, gallery, "children")  # type: ignore[arg-type]
    reference_scores = scores(embeds[100:200], embeds[gallery], "alpha", "children", curvature=1.0)
    plain = scores(embeds[queries], embeds[gallery], "alpha", "children", curvature=1.0)
    torch.testing.assert_close(found, centre(plain, reference_scores, scale=True))


def test_correction_does_not_look_at_the_queries_and_is_per_direction(embeds: torch.Tensor) -> None:
    scorer = EmbeddingScorer(embeds, "beta+centred", 1.0)
    gallery = np.arange(20, 60)
    together = scorer(np.arange(5), gallery, "children")
    for query in range(5):
        alone = EmbeddingScorer(embeds, "beta+centred", 1.0)(np.array([query]), gallery, "children")
        torch.testing.assert_close(alone[0], together[query], atol=2e-5, rtol=0)
    assert not torch.allclose(scorer(np.arange(5), gallery, "parents"), together)


def test_references_are_bounded_and_seeded(embeds: torch.Tensor) -> None:
    queries, gallery = np.arange(5), np.arange(20, 260)
    few = [
        EmbeddingScorer(embeds, "cosine+centred", max_references=30, seed=s)(queries, gallery, "children")
        for s in (0, 0, 1)
    ]
    assert torch.equal(few[0], few[1])
    assert not torch.equal(few[0], few[2])


def test_measures_that_do_not_apply_are_named(embeds: torch.Tensor) -> None:
    flat = ("cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined")
    assert applicable_measures(None) == applicable_measures(0) == flat
    assert applicable_measures(0.5) == tuple(MEASURES)
    with pytest.raises(ValueError, match="'beta' needs a hyperbolic model, and curvature is None"):
        EmbeddingScorer(embeds, "beta")
    with pytest.raises(ValueError, match="unknown measure 'gamma'"):
        split_measure("gamma")
    for name in ("beta+", "beta+whitened", "beta+centred+csls"):
        with pytest.raises(ValueError, match="unknown correction"):
            split_measure(name)
