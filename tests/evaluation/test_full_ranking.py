"""Figures of whole rankings against sorting each query with numpy and counting along it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_hyperbolic.evaluation import full_ranking, nodes, ranking
from hf_hyperbolic.evaluation.parent_to_child import ParentToChild, per_query

LEVELS = (0.0, 0.1, 0.3, 0.5, 0.95, 1.0)


def random_task(seed: int, federated: bool, queries: int = 13, boxes: int = 90, classes: int = 7) -> ParentToChild:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, boxes)
    held = rng.random((queries, classes)) < 0.3
    held[np.arange(queries), labels[rng.integers(0, boxes, queries)]] = True
    known = held | (rng.random(held.shape) < 0.5) if federated else None
    return ParentToChild(np.arange(queries), np.arange(queries, queries + boxes), held, labels, known)


def tied_scores(task: ParentToChild, seed: int, dtype: torch.dtype, excluded: float) -> torch.Tensor:
    """Few distinct values, both zeros among them; for each query at least one relevant item stays in."""
    rng = np.random.default_rng(seed)
    shape = (len(task.queries), len(task.gallery))
    scores = rng.choice([-2.5, -1e-30, -0.0, 0.0, 1e-30, 0.1, 3.0, 1e30], shape)
    out = rng.random(shape) < excluded
    relevant = task.query_labels[:, task.gallery_labels]
    out[np.arange(shape[0]), relevant.argmax(1)] = False
    scores[out] = -np.inf
    return torch.from_numpy(scores).to(dtype)


def naive(task: ParentToChild, scores: np.ndarray, cut_of, name: str) -> dict[str, list]:
    """Figures at one cut by `np.argsort` for each query."""
    found: dict[str, list] = {key: [] for key in ("recall", "ot", "precision", "average_precision", "curve", "class")}
    classes = task.query_labels.shape[1]
    for query, row in enumerate(scores):
        held = task.query_labels[query]
        if task.query_known is not None:
            row = np.where(task.query_known[query][task.gallery_labels], row, -np.inf)
        order = np.argsort(-row, kind="stable")
        labels = task.gallery_labels[order[row[order] > -np.inf]]
        relevant = held[labels]
        hits, ranks = np.cumsum(relevant), np.arange(1, len(labels) + 1)
        cut = min(cut_of(query), len(labels))
        retrieved = np.bincount(labels[:cut], minlength=classes)
        wanted = np.bincount(task.gallery_labels[held[task.gallery_labels]], minlength=classes)
        found["recall"].append(hits[cut - 1] / hits[-1])
        found["precision"].append(hits[cut - 1] / cut)
        found["ot"].append(np.abs(np.cumsum(wanted / wanted.sum() - retrieved / cut)[:-1]).sum())
        precision = hits / ranks
        found["average_precision"].append(precision[relevant].mean())
        found["curve"].append([precision[hits >= level * hits[-1] - 1e-9].max() for level in LEVELS])
        found["class"].extend(retrieved[c] / max(1, (task.gallery_labels == c).sum()) for c in np.flatnonzero(held))
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("federated", [False, True])
@pytest.mark.parametrize("excluded", [0.0, 0.2])
def test_figures_equal_sorting_each_query(federated, excluded, dtype, threads, monkeypatch) -> None:
    task = random_task(3, federated)
    scores = tied_scores(task, 4, dtype, excluded)
    ks = (1, 4, 17, 90, 1000, 0.1, 0.5, 0.8, 1.0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        tiled = []
        for cells in (1, 200, 1 << 22):
            monkeypatch.setattr(nodes, "TILE_CELLS", cells)
            tiled.append(per_query(task, lambda q, g, d: scores[torch.from_numpy(q)], ks, LEVELS))
    finally:
        torch.set_num_threads(before)
    found = tiled[0]
    for other in tiled[1:]:
        assert other.curves.tobytes() == found.curves.tobytes()
        for name in found.figures:
            assert other.figures[name].tobytes() == found.figures[name].tobytes(), name
        for name in found.class_recall:
            assert other.class_recall[name].tobytes() == found.class_recall[name].tobytes(), name
    for k in ks:
        cuts, name = task.cuts(k), ranking.k_name(k)
        expected = naive(task, scores.double().numpy(), lambda query, cuts=cuts: cuts[query], name)

        def close(mine: np.ndarray, key: str, expected: dict = expected) -> None:
            np.testing.assert_allclose(mine, expected[key], rtol=0, atol=1e-12, err_msg=key)

        close(found.figures[f"recall@{name}"], "recall")
        close(found.figures[f"ot@{name}"], "ot")
        close(found.figures["average_precision"], "average_precision")
        close(found.curves, "curve")
        close(found.class_recall[f"recall@{name}"], "class")
        if isinstance(k, int):
            close(found.figures[f"precision@{name}"], "precision")
    if not excluded:
        assert (found.figures["recall@100%"] == 1).all()


@settings(deadline=None, max_examples=200)
@given(arrays.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 40), elements={"allow_nan": False}))
def test_order_is_that_of_a_stable_sort(scores: np.ndarray) -> None:
    expected = np.argsort(-scores, kind="stable")
    expected = expected[scores[expected] > -np.inf]
    assert full_ranking.descending_order(torch.from_numpy(scores)).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_order_of_a_row_long_enough_for_the_radix_sort(dtype: torch.dtype) -> None:
    scores = (torch.randn(70_000, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    scores[::7] = scores[3]
    scores[5::11] = -torch.inf
    expected = np.argsort(-scores.double().numpy(), kind="stable")
    expected = expected[scores.double().numpy()[expected] > -np.inf]
    assert len(scores.unique()) < len(scores) - 10_000  # premise: there are ties
    assert np.array_equal(full_ranking.descending_order(scores), expected)


def test_a_query_whose_gallery_is_empty_has_no_figures() -> None:
    task = random_task(0, False)
    found = per_query(task, lambda q, g, d: torch.full((len(q), len(g)), -torch.inf), (3,), LEVELS)
    assert np.isnan(found.figures["recall@3"]).all()
    assert np.isnan(found.figures["average_precision"]).all()
    assert np.isnan(found.curves).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 4), max_size=30), st.lists(st.integers(1, 40), max_size=5))
def test_label_counts_at_cuts_in_any_order(labels: list[int], cuts: list[int]) -> None:
    found = full_ranking.label_counts(np.array(labels, dtype=np.int16), cuts, 5)
    for row, cut in zip(found, cuts, strict=True):
        assert row.tolist() == [labels[:cut].count(c) for c in range(5)]


@pytest.mark.parametrize("k", [1, 7, 50])
def test_top_k_with_ties_within_and_across_the_cut(k: int) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(0, 30, (40, 300)).astype(np.float32))
    scores[::3] = torch.from_numpy(rng.random((14, 300), dtype=np.float32))
    expected = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :k]
    assert np.array_equal(ranking.top_k(scores, k).numpy(), expected)
