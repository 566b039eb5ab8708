"""The list of claims fits the systems and the figures, without any training."""

import numpy as np
import pytest

from hf_hyperbolic.evaluation.seed_tables import COLUMNS, SHOWN
from hf_hyperbolic.evaluation.verdicts import judge, systems_of
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.compared_systems import (
    DEFAULT,
    INTRA_IMAGE,
    ONE_DIRECTION,
    PAPER,
    SYSTEMS,
    check_systems,
    run_folder,
)
from hf_hyperbolic.training.paper_claims import (
    LOWER_IS_BETTER,
    PAPER_CLAIMS,
    RECALL,
    SPREAD_FIGURES,
    SPREAD_SYSTEMS,
    goals,
)
from hf_hyperbolic.training.systems import UNTRAINED

EVERY = (*PAPER_CLAIMS, *goals(list(SYSTEMS)))


def test_claims_are_about_systems_and_figures_that_exist():
    assert set(systems_of(EVERY)) == {UNTRAINED, *SYSTEMS}
    assert {test.figure for claim in EVERY for test in claim.tests} <= set(SHOWN)
    assert set(SPREAD_SYSTEMS) <= set(SYSTEMS)
    assert set(SPREAD_FIGURES) <= set(SHOWN)
    assert len({claim.sentence for claim in EVERY}) == len(EVERY)
    assert all(claim.source for claim in EVERY)


def test_lower_is_claimed_where_lower_is_better():
    """But for the costs of cross-image pairs, which are claimed though they are none of a figure's good."""
    for claim in EVERY:
        for test in claim.tests:
            assert COLUMNS[test.figure].lower == (test.figure in LOWER_IS_BETTER)
            assert test.lower == (COLUMNS[test.figure].lower or "cost" in claim.sentence)


def test_the_default_is_held_against_every_other_system():
    found = goals(["cosine contrast", DEFAULT])
    against = [{test.second for test in claim.tests} for claim in found]
    assert against == [{UNTRAINED}, {"cosine contrast"}, {PAPER}]
    assert all(test.first == DEFAULT for claim in found for test in claim.tests)
    assert {test.share for test in found[-1].tests} == {0.1}
    assert {len(claim.tests) for claim in found} == {4}


def test_made_up_figures_get_the_verdicts_they_were_made_for():
    noise = np.sin(np.arange(100)) * 0.1
    noise -= noise.mean()
    means = {PAPER: 0.8, "Euclidean angle": 0.7, ONE_DIRECTION[0]: 0.8, ONE_DIRECTION[1]: 0.9}
    units = {
        system: {RECALL: mean + noise + np.array([[-0.001], [0.001]]), "child_to_parent/top_10": mean + noise[None]}
        for system, mean in means.items()
    }
    verdicts = {verdict.claim.sentence: verdict for verdict in judge(PAPER_CLAIMS, units, {}, {})}
    hyperbolic = verdicts["Hyperbolic angles retrieve better than Euclidean angles."]
    assert [found.outcome for found in hyperbolic.found] == ["holds", "not run", "holds"]
    directions = verdicts["Both directions of the loss do better than one alone."]
    assert [found.outcome for found in directions.found] == ["undecided", "undecided"] + ["does not hold"] * 2
    assert directions.outcome == "does not hold"


def test_folders_of_runs_do_not_collide_and_keep_their_names(tmp_path):
    folders = {name: run_folder(tmp_path, name, 0).name for name in (*SYSTEMS, UNTRAINED)}
    assert len({name.casefold() for name in folders.values()}) == len(folders)
    assert folders[DEFAULT] == "recipe-at-hand-seed-0"
    assert folders["cosine contrast, own share"] == "cosine-contrast-own-share-seed-0"
    assert folders[INTRA_IMAGE] == "hyperbolic-angle-intra-image-only-seed-0"


def test_the_ablations_change_nothing_else_of_the_papers_recipe():
    recipe = TrainArguments.parse(SYSTEMS[PAPER])
    assert (recipe.loss, recipe.upward_angle, recipe.temperature_init) == ("angle", "alpha", 0.07)
    assert (recipe.own_weight, recipe.proxy_weight, recipe.similarity_weight) == (0, 0, 0)
    more = {name: SYSTEMS[name][len(SYSTEMS[PAPER]) :] for name in (*ONE_DIRECTION, INTRA_IMAGE)}
    assert all(SYSTEMS[name][: len(SYSTEMS[PAPER])] == SYSTEMS[PAPER] for name in more)
    assert more == {
        "parent to child only": ["--directions", "parent_to_child"],
        "child to parent only": ["--directions", "child_to_parent"],
        "hyperbolic angle, intra-image only": ["--cross_parents", "none", "--mated_boxes_per_scene", "0"],
    }


def test_unknown_and_repeated_systems_are_named():
    with pytest.raises(ValueError, match=r"unknown systems sine; known: cosine contrast, "):
        check_systems(["sine", PAPER])
    with pytest.raises(ValueError, match="names hyperbolic angle twice"):
        check_systems([PAPER, PAPER])
