import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from hf_hyperbolic.evaluation import full_ranking, ranking

# few distinct scores, so that ties and exclusions abound
SCORES = st.sampled_from([0.0, 0.25, 0.5, 1.0, float("-inf")])


def tile(queries: int, gallery: int):
    return st.tuples(
        st.lists(st.lists(SCORES, min_size=gallery, max_size=gallery), min_size=queries, max_size=queries),
        st.lists(st.lists(st.booleans(), min_size=gallery, max_size=gallery), min_size=queries, max_size=queries),
    )


TILES = st.tuples(st.integers(1, 4), st.integers(1, 9)).flatmap(lambda shape: tile(*shape))


def naive_order(scores: list[float]) -> list[int]:
    eligible = [g for g, score in enumerate(scores) if score > -np.inf]
    return sorted(eligible, key=lambda g: (-scores[g], g))


def naive_figures(scores: list[float], relevance: list[bool], ks: list[int], levels: list[float]) -> dict:
    order = naive_order(scores)
    total = sum(relevance[g] for g in order)
    precisions, recalls, average, hits = [], [], 0.0, 0
    for position, g in enumerate(order, start=1):
        hits += relevance[g]
        precisions.append(hits / position)
        recalls.append(hits / total if total else np.nan)
        if relevance[g]:
            average += hits / position
    found = {"average_precision": average / total if total else np.nan}
    for k in ks:
        head = order[:k]
        found[f"precision@{k}"] = sum(relevance[g] for g in head) / len(head) if head else np.nan
    for level in levels:
        reaching = [p for p, r in zip(precisions, recalls, strict=True) if total and r >= level - 1e-12]
        found[f"level{level}"] = max(reaching) if reaching else np.nan
    return found


def relevant_ranks(scores: torch.Tensor, relevance: np.ndarray) -> np.ndarray:
    return np.flatnonzero(relevance[full_ranking.descending_order(scores)]) + 1


@settings(deadline=None, max_examples=200)
@given(TILES)
def test_every_figure_equals_a_naive_loop(drawn) -> None:
    rows, relevance = drawn
    gallery = len(rows[0])
    ks, levels = [1, 2, 5, gallery], [0.0, 0.1, 0.3, 0.5, 1.0]
    full = ranking.rank(torch.tensor(rows), torch.tensor(relevance))
    ranks = [relevant_ranks(row, flags) for row, flags in zip(torch.tensor(rows), np.array(relevance), strict=True)]
    expected = [naive_figures(scores, flags, ks, levels) for scores, flags in zip(rows, relevance, strict=True)]

    def check(name: str, found: np.ndarray) -> None:
        np.testing.assert_allclose(found, [e[name] for e in expected], rtol=0, atol=1e-12, err_msg=name)

    check("average_precision", [full_ranking.average_precision(each) for each in ranks])
    curve = np.stack([full_ranking.precision_at_recall(each, levels) for each in ranks])
    for column, level in enumerate(levels):
        check(f"level{level}", curve[:, column])
    for k in ks:
        check(f"precision@{k}", ranking.precision_at(full, k))
        # the short ranking says the same of what it holds
        short = ranking.rank(torch.tensor(rows), torch.tensor(relevance), depth=k)
        check(f"precision@{k}", ranking.precision_at(short, k))


@settings(deadline=None)
@given(TILES, st.integers(1, 10))
def test_top_k_breaks_ties_by_gallery_index(drawn, k: int) -> None:
    rows, _ = drawn
    order = ranking.top_k(torch.tensor(rows), k)
    assert order.shape == (len(rows), min(k, len(rows[0])))
    for found, scores in zip(order.tolist(), rows, strict=True):
        wanted = naive_order(scores)[:k]
        assert found[: len(wanted)] == wanted


def test_ties_at_the_cut_go_to_the_lower_index() -> None:
    # premise: torch.topk alone need not do this, so the row must hold a tie that straddles k
    scores = torch.zeros(3, 5000)
    scores[1, 4000] = 1.0
    order = ranking.top_k(scores, 4)
    assert order.tolist() == [[0, 1, 2, 3], [4000, 0, 1, 2], [0, 1, 2, 3]]


def test_average_precision_equals_sklearn_without_ties() -> None:
    rng = np.random.default_rng(1)
    scores, relevance = rng.random((20, 50)), rng.random((20, 50)) < 0.2
    relevance[:, 0] = True
    rows = zip(torch.from_numpy(scores), relevance, strict=True)
    found = [full_ranking.average_precision(relevant_ranks(*row)) for row in rows]
    expected = [average_precision_score(flags, row) for flags, row in zip(relevance, scores, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("relevant", "gallery"), [(1, 1), (1, 7), (3, 7), (7, 7), (4, 12)])
def test_expected_average_precision_is_the_mean_over_random_rankings(relevant: int, gallery: int) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.random((20_000, gallery)))
    flags = np.arange(gallery) < relevant
    simulated = np.array([full_ranking.average_precision(relevant_ranks(row, flags)) for row in scores])
    expected = ranking.expected_average_precision(np.array([relevant]), gallery)[0]
    assert abs(simulated.mean() - expected) <= 4 * simulated.std() / np.sqrt(20_000) + 1e-12


@pytest.mark.parametrize(
    ("k", "size", "expected", "name"),
    [(10, 100, 10, "10"), (500, 100, 100, "500"), (0.5, 101, 50, "50%"), (1.0, 7, 7, "100%"), (0.001, 7, 1, "0.1%")],
)
def test_cut_offs(k: float, size: int, expected: int, name: str) -> None:
    assert ranking.resolve_k(k, size) == expected
    assert ranking.k_name(k) == name


@pytest.mark.parametrize("k", [0, -3, 0.0, 1.5, True, "10"])
def test_impossible_cut_offs_are_named(k: object) -> None:
    with pytest.raises(ValueError, match="cut-off"):
        ranking.resolve_k(k, 10)  # type: ignore[arg-type]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"NaN.*rows \[1\]"):
        ranking.top_k(torch.tensor([[0.0, 1.0], [0.0, float("nan")]]), 1)
    with pytest.raises(ValueError, match="k must be at least 1"):
        ranking.top_k(torch.zeros(1, 2), 0)
    with pytest.raises(ValueError, match="must both be"):
        ranking.rank(torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="recall levels"):
        full_ranking.precision_at_recall(np.array([1, 2]), [1.5])


@settings(deadline=None, max_examples=200)
@given(TILES, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_leaving_out_equals_masking_scores(drawn, depth: int, seed: int) -> None:
    rows, flags = drawn
    scores, relevance = torch.tensor(rows), torch.tensor(flags)
    rng = np.random.default_rng(seed)
    masks = [torch.from_numpy(rng.random(scores.shape) < share) for share in (0.0, 0.3)]
    for found, mask in zip(ranking.rank_leaving_out(scores, relevance, masks, depth), masks, strict=True):
        expected = ranking.rank(scores.masked_fill(mask, -torch.inf), relevance, depth)
        assert torch.equal(found.eligible, expected.eligible)
        assert torch.equal(found.total, expected.total)
        for k in range(1, depth + 1):
            mine, theirs = ranking.precision_at(found, k), ranking.precision_at(expected, k)
            torch.testing.assert_close(mine, theirs, equal_nan=True)


def test_cut_offs_of_one_name_are_one_or_refused():
    assert ranking.named_cuts((10, 10, np.int64(10), 0.5, np.float32(0.5))) == {"10": 10, "50%": 0.5}
    assert all(type(k) in (int, float) for k in ranking.named_cuts((np.int64(3), np.float64(0.2))).values())
    with pytest.raises(ValueError, match="would both be called"):
        ranking.named_cuts((0.3333331, 0.3333332))
