import numpy as np
import pytest
import torch

from hf_hyperbolic.ranking_scores import score_rows
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES
from hf_hyperbolic.retrieval.exact import Scoring, pair_scores


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_scores_of_rows(measure, direction):
    """Against the search's, which is float64 and has formulas of its own; `score_matrix` is tested as `scores`."""
    rng = np.random.default_rng(0)
    queries, items = (torch.tensor(rng.normal(size=(50, 6)) * rng.uniform(0.1, 3, (50, 1))) for _ in range(2))
    expected = pair_scores(queries, items, Scoring(measure, direction, 0.7))
    found = score_rows(queries.float(), items.float(), measure, direction, 0.7)
    assert (found.shape, found.dtype) == ((50,), torch.float32)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
