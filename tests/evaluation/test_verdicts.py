import json

import numpy as np
import pytest

from hf_hyperbolic.evaluation.claims import compare_seeds
from hf_hyperbolic.evaluation.verdict_text import verdicts_markdown, verdicts_text
from hf_hyperbolic.evaluation.verdicts import Claim, Test, Verdict, judge, per_image, systems_of

RECALL, TRANSPORT = "parent_to_child/recall@50%", "parent_to_child/ot@50%"
TOP, NEARER = "child_to_parent/top_10", "radial/all"
IMAGES = np.repeat(np.arange(40), 5)
CEILINGS = {RECALL: 1.0, TRANSPORT: 2.0, TOP: 0.9}


def runs(mean: float, units: int = 200, seeds: int = 3) -> np.ndarray:
    """Units that differ far more from each other than systems do, the same way for all."""
    shape = np.sin(np.arange(units) * 7.0) * 0.2
    return mean + shape - shape.mean() + np.linspace(-0.002, 0.002, seeds)[:, None]


def found(*tests: Test, **systems: dict) -> Verdict:
    sections = {"child_to_parent": IMAGES}
    return judge([Claim("A sentence.", "a source", tests)], systems, sections, CEILINGS)[0]


def test_higher_and_lower():
    a, b = {RECALL: runs(0.8), TRANSPORT: runs(3.0)}, {RECALL: runs(0.7), TRANSPORT: runs(4.0)}
    both = (Test(RECALL, "a", "b"), Test(TRANSPORT, "a", "b", lower=True))
    verdict = found(*both, a=a, b=b)
    assert verdict.outcome == "holds"
    assert [test.comparison.difference for test in verdict.found] == pytest.approx([0.1, -1.0])
    assert found(*both, a=b, b=a).outcome == "does not hold"
    assert found(both[0], a=a, b=a).outcome == "undecided"


def test_a_claim_holds_only_if_all_its_tests_do():
    a, b = {RECALL: runs(0.8), TOP: runs(0.5)}, {RECALL: runs(0.7), TOP: runs(0.5)}
    assert found(Test(RECALL, "a", "b"), Test(TOP, "a", "b"), a=a, b=b).outcome == "undecided"
    assert found(Test(RECALL, "a", "b"), Test(RECALL, "b", "a"), a=a, b=b).outcome == "does not hold"
    assert found(Test(RECALL, "a", "b"), Test(RECALL, "a", "c"), a=a, b=b).outcome == "not run"


def test_against_a_level():
    verdict = found(Test(NEARER, "a", 0.5), a={NEARER: runs(0.7)})
    assert verdict.outcome == "holds"
    assert verdict.found[0].comparison.difference == pytest.approx(0.2)
    assert found(Test(NEARER, "a", 0.5), a={NEARER: runs(0.3)}).outcome == "does not hold"


@pytest.mark.parametrize(("figure", "lower", "second"), [(RECALL, False, 0.5), (TRANSPORT, True, 4.0)])
def test_a_share_of_the_way_to_the_ceiling(figure, lower, second):
    """A tenth of the way: .05 of .5 for recall (ceiling 1), .2 of 2 for OT (ceiling 2)."""
    step, sign = abs(second - CEILINGS[figure]) / 10, -1 if lower else 1
    test = Test(figure, "a", "b", lower, share=0.1)
    b = {figure: runs(second)}
    ahead, short = ({figure: runs(second + sign * step * way)} for way in (1.5, 0.5))
    reached = found(test, a=ahead, b=b)
    assert reached.outcome == "holds"
    # what is beyond the mark
    assert reached.found[0].comparison.difference == pytest.approx(sign * 0.5 * step)
    assert found(test, a=short, b=b).outcome == "does not hold"


def test_nothing_is_said_of_a_way_that_does_not_exist():
    verdict = found(Test(TRANSPORT, "a", "b", True, 0.1), a={TRANSPORT: runs(1.0)}, b={TRANSPORT: runs(1.9)})
    assert verdict.outcome == "no room"
    assert "b is not short of the ceiling" in verdict.found[0].why
    assert found(Test(NEARER, "a", "b", share=0.1), a={NEARER: runs(1.0)}, b={NEARER: runs(0.5)}).outcome == "no room"


def test_boxes_of_an_image_are_drawn_together():
    """Five copies of each unit are no more than one: as many images, the same interval."""
    once_a, once_b = runs(0.5, 40, 1), np.random.default_rng(0).random((1, 40))
    a, b = (np.repeat(values, 5, axis=1) for values in (once_a, once_b))
    got = found(Test(TOP, "a", "b"), a={TOP: a}, b={TOP: b}).found[0].comparison
    expected = compare_seeds(once_a, once_b)
    assert (got.difference, got.low, got.high) == pytest.approx((expected.difference, expected.low, expected.high))
    assert got.units == 40
    apart = compare_seeds(a, b)
    assert apart.high - apart.low < 0.6 * (got.high - got.low)


def test_the_mean_over_images_is_that_over_queries():
    rng = np.random.default_rng(0)
    values, images = rng.random((2, 30)), rng.choice([2, 5, 9, 11], 30)
    values[:, 3] = np.nan
    values[1, images == 9] = np.nan
    pseudo = per_image(values, images)
    assert pseudo.shape == (2, 4)
    np.testing.assert_allclose(np.nanmean(pseudo, axis=1), np.nanmean(values, axis=1))
    assert np.isnan(pseudo[1, 2])
    assert np.isnan(per_image(np.full(30, np.nan), images)).all()


def test_systems_with_other_units_are_refused():
    with pytest.raises(ValueError, match="same units"):
        found(Test(RECALL, "a", "b"), a={RECALL: runs(0.5, 10)}, b={RECALL: runs(0.5, 11)})
    with pytest.raises(ValueError, match="10 units"):
        found(Test(TOP, "a", "b"), a={TOP: runs(0.5, 10)}, b={TOP: runs(0.5, 10)})


def test_as_read_and_as_json():
    a, b = {RECALL: runs(0.8), NEARER: runs(0.9)}, {RECALL: runs(0.7)}
    claims = [
        Claim("One is better.", "here", (Test(RECALL, "a", "b"), Test(RECALL, "a", "c"))),
        Claim("It is structured.", "there", (Test(NEARER, "a", 0.5), Test(RECALL, "a", "b", share=0.1))),
        Claim("It was not tried.", "nowhere", (Test(RECALL, "c", "d"),)),
    ]
    assert list(systems_of(claims)) == ["a", "b", "c", "d"]
    verdicts = judge(claims, {"a": a, "b": b}, {}, CEILINGS)
    text, marked = verdicts_text(verdicts), verdicts_markdown(verdicts)
    assert "NOT RUN: One is better. [here]" in text
    assert "+10.00" in text
    assert "HOLDS: It is structured. [there]" in text
    assert "a against 50.0" in text
    assert "a against b and 10 % of its way to the ceiling" in text
    assert text.endswith("NOT RUN\n    It was not tried. [nowhere]: without c and d")
    assert "| a against b | parent to child, Recall@50 % | +10.00 |" in marked
    assert "- It was not tried." in marked
    documents = [verdict.as_dict() for verdict in verdicts]
    json.dumps(documents, allow_nan=False)
    assert documents[0]["tests"][0]["outcome"] == "holds"
    assert documents[0]["tests"][1]["why"] == "without c"
