"""Tables, verdicts and curves of made-up runs."""

import json

import numpy as np
import pytest

from hf_hyperbolic.evaluation.seed_tables import SHOWN
from hf_hyperbolic.evaluation.split_evaluation import BOX_IMAGE, BOX_SECTIONS, ORACLES, RECALL_LEVELS
from hf_hyperbolic.report.figures import precision_recall
from hf_hyperbolic.report.style import SYSTEM_COLOURS
from hf_hyperbolic.training.compared_systems import CURVES, SYSTEMS
from hf_hyperbolic.training.comparison_report import Comparison, draw_curves, write_comparison
from hf_hyperbolic.training.kept_figures import Kept
from hf_hyperbolic.training.systems import UNTRAINED

FIGURES = {*SHOWN, *(f"precision_recall/{level}" for level in RECALL_LEVELS)}


def run(mean: float, fingerprint: str = "one", notes: tuple[str, ...] = ()) -> Kept:
    """40 scenes of two boxes each; every figure has the same mean."""
    units = {}
    for name in FIGURES:
        if not name.startswith("hubness"):
            count = 80 if name.partition("/")[0] in BOX_SECTIONS else 40
            units[name] = mean + 0.1 * np.where(np.arange(count) % 4 < 2, 1, -1)
    figures = {name: {"value": mean, "chance": 0.1, "ceiling": 1.0} for name in FIGURES}
    for name in figures:
        if name.partition("/")[0] in ORACLES:
            figures[name]["oracle"] = 0.2
    about = {"clamped": {"child_to_parent/top_100": 40}, "notes": list(notes), "fingerprint": fingerprint}
    return Kept(figures, {**units, BOX_IMAGE: np.arange(80) // 2}, about)


SEEDS = {
    UNTRAINED: [run(0.2), run(0.21)],
    "HCL": [run(0.4), run(0.41)],
    "hyperbolic angle": [run(0.6), run(0.62)],
    "recipe at hand": [run(0.8), run(0.81)],
}


def test_another_score_is_held_against_the_own_one_model_by_model(tmp_path):
    # models far apart, and each gains as much: between models it would be undecided
    ranked = {"own measures": [run(0.4), run(0.8)], "better": [run(0.43), run(0.83)], "same": [run(0.4), run(0.8)]}
    write_comparison(Comparison("test", SEEDS, ranked=ranked), [0, 1], tmp_path)
    document = json.loads((tmp_path / "comparison-test.json").read_text())
    assert "ranked_by" in document["tables"]
    better, same = document["rankings"]
    assert {test["first"] for test in better["tests"]} == {"better"}
    for test in better["tests"]:
        assert test["difference"] == pytest.approx(0.03)
        assert test["outcome"] == ("does not hold" if test["figure"] == "parent_to_child/ot@50%" else "holds")
    assert all(test["difference"] == 0 and test["outcome"] == "undecided" for test in same["tests"])


def test_everything_is_written_and_agrees(tmp_path):
    out = {"zero_shot/accuracy": 0.7, "zero_shot/class_accuracy": 0.6, "zero_shot/map": 0.5, "zero_shot/map_50": 0.4}
    told = {name: {"value": value, "chance": 0.1, "ceiling": 1.0, "oracle": None} for name, value in out.items()}
    zero_shot = {
        system: [Kept(told, {}, {"notes": ["seen in training"]} if system == "HCL" else {})] for system in SEEDS
    }
    comparison = Comparison("test", SEEDS, SEEDS, "elsewhere", {"test": zero_shot})
    text = write_comparison(comparison, [0, 1], tmp_path)
    assert (tmp_path / "comparison-test.txt").read_text() == text
    marked = (tmp_path / "comparison-test.md").read_text()
    for printed in (text, marked):
        for heading in ("Child to parent (test)", "Parent to child (test)", "Out of domain (elsewhere)"):
            assert heading in printed
        assert "80.5 (80.0-81.0)" in printed
        assert "the gallery holds 40 scenes: Top-100 means Top-40" in printed
        assert "HCL: the object is the root" in printed
        assert "seen in training (HCL)" in printed
        assert "Spread over seeds" in printed
    assert "HOLDS: HCL retrieves better than the untrained start." not in text, "its OT is not lower"
    assert "DOES NOT HOLD: HCL retrieves better than the untrained start." in text
    document = json.loads((tmp_path / "comparison-test.json").read_text())
    assert set(document["tables"]) == {
        "child_to_parent", "parent_to_child", "structure", "precision_recall", "out_of_domain", "zero_shot test",
    }  # fmt: skip
    top = document["tables"]["child_to_parent"]["figures"]["child_to_parent/top_10"]
    assert top == {"chance": 0.1, "ceiling": 1.0, "oracle": 0.2, "systems": {
        system: [one.figures["child_to_parent/top_10"]["value"] for one in runs] for system, runs in SEEDS.items()
    }}  # fmt: skip
    outcomes = {claim["claim"]: claim for claim in document["claims"]}
    nearer = "Parents come to lie nearer the origin than children though no term of the loss asks for it."
    assert outcomes[nearer]["outcome"] == "holds"
    assert outcomes[nearer]["tests"][0]["difference"] == pytest.approx(0.11)
    assert outcomes["Euclidean angles retrieve better than HCL."]["outcome"] == "not run"
    ahead = outcomes["The default recipe is ahead of the paper's by a tenth of what that lacks to the ceiling."]
    # .805 less .61 less a tenth of .39
    assert ahead["tests"][0]["difference"] == pytest.approx(0.195 - 0.039)


def test_runs_on_other_boxes_are_not_compared():
    with pytest.raises(ValueError, match="HCL, run 2 were evaluated on different boxes"):
        Comparison("val", {UNTRAINED: [run(0.2)], "HCL": [run(0.4), run(0.4, "another")]})


def test_no_more_curves_are_drawn_than_can_be_told_apart(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "hf_hyperbolic.training.comparison_report.precision_recall",
        lambda curves, *levels: drawn.extend(curves) or precision_recall(curves, *levels),
    )
    draw_curves({system: [run(0.5)] for system in (UNTRAINED, *SYSTEMS)}, tmp_path / "curves.svg")
    assert drawn == [*CURVES, UNTRAINED]
    assert len(drawn) <= len(SYSTEM_COLOURS)


def test_curves_of_seeds_are_drawn_as_mean_and_range(tmp_path, monkeypatch):
    drawn = {}

    def draw(curves, chance, ceiling):
        drawn.update(curves=curves, chance=chance, ceiling=ceiling)
        return precision_recall(curves, chance, ceiling)

    monkeypatch.setattr("hf_hyperbolic.training.comparison_report.precision_recall", draw)
    draw_curves({UNTRAINED: [run(0.3)], "two": [run(0.8), run(0.6)]}, tmp_path / "curves.svg")
    assert list(drawn["curves"]) == ["two", UNTRAINED], "the start comes last"
    two, one = drawn["curves"].values()
    levels = len(RECALL_LEVELS)
    np.testing.assert_allclose([two.precision, two.low, two.high], np.repeat([[0.7], [0.6], [0.8]], levels, 1))
    # of one run the interval over its scenes: 40 values of .2 and .4, standard deviation of the mean .1 / root of 40
    assert one.precision == pytest.approx([0.3] * levels)
    np.testing.assert_allclose([one.low[0], one.high[0]], [0.3 - 0.031, 0.3 + 0.031], atol=0.008)
    assert drawn["chance"] == (RECALL_LEVELS, [0.1] * levels)
    assert "best possible" in (tmp_path / "curves.svg").read_text()
