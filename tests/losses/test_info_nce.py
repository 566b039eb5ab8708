import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data.relations import Relations
from hf_hyperbolic.losses import PairMasks, bidirectional_info_nce, multi_positive_info_nce


def naive_info_nce(logits, positives, candidates):
    """The formula, pair by pair, in Python floats."""
    rows = []
    for x in range(len(logits)):
        relatives = [y for y in range(logits.shape[1]) if positives[x, y]]
        if not relatives:
            continue
        denominator = math.log(sum(math.exp(logits[x, z]) for z in range(logits.shape[1]) if candidates[x, z]))
        rows.append(sum(logits[x, y] - denominator for y in relatives) / len(relatives))
    return -sum(rows) / len(rows) if rows else 0.0


@st.composite
def batches(draw):
    n = draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = rng.integers(0, 4, (n, n))  # negative, own, cross, ignored
    np.fill_diagonal(kind, 3)
    return rng.normal(0, 3, (n, n)), kind


@settings(max_examples=50, deadline=None)
@given(batches())
def test_equals_the_formula_written_out(batch):
    logits, kind = batch
    positives, candidates = (kind == 1) | (kind == 2), kind != 3
    found = multi_positive_info_nce(*map(torch.from_numpy, (logits, positives, candidates)))
    assert found.item() == pytest.approx(naive_info_nce(logits, positives, candidates), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(batches())
def test_positives_inside_the_logarithm_equal_the_formula_and_have_a_gradient(batch):
    logits, kind = batch
    positives, candidates = (kind == 1) | (kind == 2), kind != 3
    rows = [
        math.log(sum(math.exp(z) for z in row[wanted])) - math.log(sum(math.exp(z) for z in row[among]))
        for row, wanted, among in zip(logits, positives, candidates, strict=True)
        if wanted.any()
    ]
    given_logits = torch.from_numpy(logits).requires_grad_()
    found = multi_positive_info_nce(given_logits, *map(torch.from_numpy, (positives, candidates)), "inside")
    assert found.item() == pytest.approx(-sum(rows) / len(rows) if rows else 0.0, abs=1e-9)
    found.backward()
    assert given_logits.grad.isfinite().all()


@settings(max_examples=50, deadline=None)
@given(batches(), st.sampled_from(["outside", "inside"]))
def test_importance_weighs_rows_and_positives_as_the_formula_says(batch, where):
    logits, kind = batch
    positives, candidates = (kind == 1) | (kind == 2), kind != 3
    weight = np.random.default_rng(len(logits)).uniform(0.2, 3, len(logits))
    total = value = 0.0
    for x, row in enumerate(logits):
        if not positives[x].any():
            continue
        denominator = math.log(sum(math.exp(z) for z in row[candidates[x]]))
        share, given_logits = weight[positives[x]], row[positives[x]]
        if where == "outside":
            of_row = sum(w * (z - denominator) for w, z in zip(share, given_logits, strict=True)) / sum(share)
        else:
            of_row = math.log(sum(w * math.exp(z - denominator) for w, z in zip(share, given_logits, strict=True)))
        total, value = total + weight[x], value + weight[x] * of_row
    leaf = torch.from_numpy(logits).requires_grad_()
    found = multi_positive_info_nce(
        leaf, *map(torch.from_numpy, (positives, candidates)), where, torch.from_numpy(weight)
    )
    assert found.item() == pytest.approx(-value / total if total else 0.0, abs=1e-9)
    found.backward()
    assert leaf.grad.isfinite().all()


def test_importance_of_one_changes_nothing():
    rng = np.random.default_rng(5)
    logits, kind = torch.from_numpy(rng.normal(0, 3, (6, 6))), torch.from_numpy(rng.integers(0, 4, (6, 6)))
    positives, candidates = (kind == 1) | (kind == 2), kind != 3
    plain = multi_positive_info_nce(logits, positives, candidates)
    weighed = multi_positive_info_nce(logits, positives, candidates, importance=torch.ones(6).double())
    assert weighed.item() == pytest.approx(plain.item(), abs=1e-12)


def test_relatives_as_negatives_ignores_only_a_node_itself():
    kind = np.array([[3, 1, 3], [0, 3, 2], [3, 0, 3]])
    masks = PairMasks.from_relations(Relations(own=kind == 1, cross=kind == 2, ignored=kind == 3))
    found = masks.relatives_as_negatives()
    assert found.ignored.tolist() == np.eye(3, dtype=bool).tolist()
    assert found.own.equal(masks.own)
    assert found.cross.equal(masks.cross)


@settings(max_examples=50, deadline=None)
@given(batches(), st.floats(0, 1))
def test_both_directions_and_the_own_image_share(batch, own_weight):
    logits, kind = batch
    masks = PairMasks.from_relations(Relations(own=kind == 1, cross=kind == 2, ignored=kind == 3))
    up_logits = logits[::-1].copy()
    found = bidirectional_info_nce(torch.from_numpy(logits), torch.from_numpy(up_logits), masks, own_weight)

    def expected(scores, kinds):
        everything = naive_info_nce(scores, (kinds == 1) | (kinds == 2), kinds != 3)
        own = naive_info_nce(scores, kinds == 1, (kinds == 0) | (kinds == 1))
        return (1 - own_weight) * everything + own_weight * own

    assert found.parent_to_child.item() == pytest.approx(expected(logits, kind), abs=1e-9)
    assert found.child_to_parent.item() == pytest.approx(expected(up_logits, kind.T), abs=1e-9)
    assert found.loss.item() == pytest.approx(found.parent_to_child.item() + found.child_to_parent.item())


def test_rows_without_positives_or_candidates_give_no_nan_gradient():
    logits = torch.randn(3, 3, requires_grad=True)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    loss = multi_positive_info_nce(logits, nothing, nothing)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 3))


def test_a_masked_pair_has_no_gradient():
    logits = torch.randn(4, 4, requires_grad=True)
    positives = torch.eye(4, dtype=torch.bool).roll(1, 0)
    candidates = ~torch.eye(4, dtype=torch.bool)
    candidates[0, 2] = False
    multi_positive_info_nce(logits, positives, candidates).backward()
    assert logits.grad[0, 2] == 0
    assert logits.grad[1, 2] != 0


def test_own_weight_out_of_range_is_refused():
    masks = PairMasks(*(torch.zeros(2, 2, dtype=torch.bool) for _ in range(3)))
    with pytest.raises(ValueError, match="own_weight"):
        bidirectional_info_nce(torch.zeros(2, 2), torch.zeros(2, 2), masks, own_weight=1.5)
