import numpy as np
import pytest
import torch

from hf_hyperbolic.export.agreement import NEIGHBOURS, compare
from hf_hyperbolic.retrieval import scores

MEASURES = {"children": "beta", "parents": "combined"}


@pytest.fixture
def embeddings():
    return np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


def test_embeddings_agree_with_themselves(embeddings):
    found = compare(embeddings, embeddings, MEASURES, 1.0)
    assert (found.count, found.largest_difference, found.kept) == (40, 0.0, {"children": 1.0, "parents": 1.0})
    assert found.mean_cosine == pytest.approx(1)
    assert "100.0 % of the top-10 parents kept" in str(found)


def test_against_a_loop(embeddings):
    other = embeddings + 0.3 * np.random.default_rng(1).normal(size=embeddings.shape).astype(np.float32)
    other[0] *= -50
    embeddings[1] *= 100
    found = compare(embeddings, other, MEASURES, 0.7)
    worst, cosines = 0.0, []
    for a, b in zip(embeddings.astype(float), other.astype(float), strict=True):
        worst = max(worst, max(abs(a - b)) / max(1, max(abs(a))))
        cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.largest_difference == pytest.approx(worst)
    assert (found.mean_cosine, found.least_cosine) == (pytest.approx(np.mean(cosines)), pytest.approx(min(cosines)))
    for direction, measure in MEASURES.items():
        best = []
        for rows in (embeddings, other):
            table = scores(torch.tensor(rows).double(), torch.tensor(rows).double(), measure, direction, 0.7).numpy()
            np.fill_diagonal(table, -np.inf)
            best.append([set(np.argsort(-row)[:NEIGHBOURS]) for row in table])
        share = np.mean([len(a & b) / NEIGHBOURS for a, b in zip(*best, strict=True)])
        assert 0.2 < share < 0.95
        assert found.kept[direction] == pytest.approx(share)


def test_too_few_for_neighbours(embeddings):
    assert compare(embeddings[:11], embeddings[:11], MEASURES, 1.0).kept is None
    assert compare(embeddings[:12], embeddings[:12], MEASURES, 1.0).kept is not None


def test_what_cannot_be_compared(embeddings):
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(embeddings, embeddings[1:])
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(embeddings[:0], embeddings[:0])
    broken = embeddings.copy()
    broken[[3, 5], 0] = np.nan
    with pytest.raises(ValueError, match="2 of 40 embeddings are NaN or infinite"):
        compare(embeddings, broken)
