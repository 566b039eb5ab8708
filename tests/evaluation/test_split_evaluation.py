import dataclasses

import numpy as np
import pytest

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_per_query
from hf_hyperbolic.evaluation.split_evaluation import BOX_IMAGE, SplitEvaluation, fingerprint

MEASURES = {"children": "beta", "parents": "distance", "pairs": "cosine"}
SECTIONS = {
    "parent_to_child": "beta",
    "child_to_parent": "distance",
    "child_to_any_parent": "distance",
    "own_scene": "distance",
    "entailment": "cosine",
    "radial": "norm",
}


def test_figures_and_units_are_those_of_the_whole_evaluation(make_hierarchy, make_embeds):
    hierarchy, train = make_hierarchy(0, empty=1, whole=1), make_hierarchy(1)
    embeds = make_embeds(hierarchy)
    figures, units = SplitEvaluation(hierarchy, train)(embeds, 1.0, MEASURES)
    settings = EvaluationSettings(ks=(0.5, 0.8), resamples=2)
    whole, per_unit = evaluate_per_query(embeds, hierarchy, 1.0, list(MEASURES.values()), train, settings=settings)

    seen = set()
    for name, found in figures.items():
        section, _, figure = name.partition("/")
        if section in SECTIONS:
            measure = SECTIONS[section]
            np.testing.assert_array_equal(units[name], per_unit[f"{section}/{measure}/{figure}"])
            entry = whole[section] if section == "radial" else whole[section][measure]
            expected = entry[figure]
            if section in ("parent_to_child", "child_to_parent"):
                assert found["oracle"] == pytest.approx(*expected["oracles"].values())
        elif section == "precision_recall":
            drawn = whole[section]
            row = drawn["recall"].index(float(figure))
            expected = {
                "value": drawn["measures"]["beta"]["value"][row],
                "chance": drawn["chance"][row],
                "ceiling": drawn["ceiling"][row],
            }
            assert units[name].mean() == pytest.approx(expected["value"])
        else:
            expected = whole["hubness"]["child_to_parent"]["distance"]["largest_share"]
        assert {key: found[key] for key in ("value", "chance", "ceiling")} == pytest.approx(
            {key: expected[key] for key in ("value", "chance", "ceiling")}
        ), name
        seen.add(section)
    assert seen == {*SECTIONS, "precision_recall", "hubness"}
    assert len(units[BOX_IMAGE]) == len(units["child_to_parent/top_5"]) == len(units["own_scene/recall@1"]) == 41


def test_without_a_training_split_there_is_no_oracle_of_prevalence(make_hierarchy, make_embeds):
    hierarchy = make_hierarchy(0)
    figures, _ = SplitEvaluation(hierarchy)(make_embeds(hierarchy), None, dict.fromkeys(MEASURES, "cosine"))
    assert figures["parent_to_child/recall@50%"]["oracle"] is None
    assert figures["child_to_parent/top_5"]["oracle"] is not None


def test_what_does_not_depend_on_the_model_is_found_once(make_hierarchy, make_embeds, monkeypatch):
    from hf_hyperbolic.evaluation import parent_to_child

    calls, chance = [], parent_to_child.chance

    def counted(*args, **kwargs):
        calls.append(1)
        return chance(*args, **kwargs)

    monkeypatch.setattr(parent_to_child, "chance", counted)
    hierarchy = make_hierarchy(0)
    evaluation = SplitEvaluation(hierarchy)
    for seed in range(3):
        evaluation(make_embeds(hierarchy, seed), 1.0, MEASURES)
    assert calls == [1]


def test_clamped_cut_offs_are_named(make_hierarchy):
    about = SplitEvaluation(make_hierarchy(0, images=8)).about
    assert about["clamped"] == {f"child_to_parent/top_{k}": 8 for k in (10, 50, 100)}
    assert about["counts"]["boxes"] == 48


def test_the_fingerprint_tells_splits_apart(make_hierarchy):
    hierarchy = make_hierarchy(0)
    other = dataclasses.replace(hierarchy, class_names=(*hierarchy.class_names[:-1], "another"))
    federated = dataclasses.replace(hierarchy, federation=Federation(np.array([[0, 1]]), np.zeros((0, 2), np.int32)))
    prints = [fingerprint(one) for one in (hierarchy, other, federated, make_hierarchy(1))]
    assert len(set(prints)) == 4
    assert fingerprint(make_hierarchy(0)) == prints[0]


def test_embeddings_that_do_not_fit_are_refused(make_hierarchy, make_embeds):
    hierarchy = make_hierarchy(0)
    embeds = make_embeds(hierarchy)
    with pytest.raises(ValueError, match="expected"):
        SplitEvaluation(hierarchy)(embeds[:-1], 1.0, MEASURES)
    embeds[3, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinity"):
        SplitEvaluation(hierarchy)(embeds, 1.0, MEASURES)
