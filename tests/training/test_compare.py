"""The comparison script, from its settings to its tables."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from hf_hyperbolic.data.batches import BatchPlan, BatchSampler
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.read import read_boxes
from hf_hyperbolic.data.relations import RelationIndex
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.compared_systems import INTRA_IMAGE, PAPER, SYSTEMS, settings_of
from hf_hyperbolic.training.systems import system_name

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compare_script", ROOT / "training" / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_one_that_can_be_trained(name):
    TrainArguments.parse(SYSTEMS[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"systems": ["sine"]}, "unknown systems sine"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "--seeds names one twice"),
        ({"which": "last"}, "--which must be"),
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"ood_data": "coco"}, "needs --ood true"),
        ({"split": "train", "zero_shot": True}, "another --split"),
        ({"rank_by": ["gamma"]}, "unknown measure 'gamma'"),
        ({"rank_by": ["beta", "beta"]}, "--rank_by names one twice"),
        ({"rank_by": ["beta"], "systems": [PAPER]}, "--rank_by is of 'recipe at hand': name it among --systems"),
    ],
)
def test_settings_that_make_no_sense(script, settings, message):
    with pytest.raises(ValueError, match=message):
        script.CompareArguments(**settings)


def test_a_recipe_may_stand_anywhere(script):
    for argv in (
        ["photographs.yaml", "--seeds", "0", "1", "--data", "x"],
        ["--data", "x", "--seeds", "0", "1", "photographs.yaml"],
        ["--seeds", "0", "1", "photographs.yaml", "--data", "x"],
    ):
        options, settings = script.parse(argv)
        assert options.seeds == [0, 1]
        assert settings == ["photographs.yaml", "--data", "x"]
    study = str(ROOT / "training" / "studies" / "recipe.yaml")
    options, settings = script.parse(["--variants", study, "--max_steps", "5"])
    assert (options.variants, settings) == (study, ["--max_steps", "5"])
    options, settings = script.parse([f"--variants={study}", "a.yaml", "--data", "b.yaml"])
    assert (options.variants, settings) == (study, ["a.yaml", "--data", "b.yaml"])
    options, settings = script.parse([study, "--variants", study])
    assert (options.variants, settings) == (study, [study])
    with pytest.raises(ValueError, match=r"one recipe at a time, got a.yaml and b.yaml; .*--variants"):
        script.parse(["a.yaml", "b.yaml"])


def test_a_euclidean_system_ranks_by_the_counterparts_of_its_recipe():
    twin = SYSTEMS["recipe at hand, Euclidean"]
    for recipe, measure in (([], None), (["training/configs/photographs.yaml"], "cosine")):
        recipe = [str(ROOT / word) for word in recipe]
        found = TrainArguments.parse(settings_of(recipe, twin))
        assert (found.geometry, found.children_measure, found.parents_measure) == ("euclidean", measure, measure)
        # what names its own keeps it
        assert settings_of(recipe, SYSTEMS["Euclidean angle"]) == [*recipe, *SYSTEMS["Euclidean angle"]]
    beta = settings_of(["--children_measure", "beta"], twin)
    assert TrainArguments.parse(beta).children_measure == "euclidean_beta"


def test_a_recipe_of_ones_own_leaves_the_other_systems_as_published():
    """What a recipe says of losses, weights and scores is of the recipe at hand, and of nothing beside it."""
    recipe = [str(ROOT / "training" / "configs" / "photographs.yaml")]
    for name in sorted(set(SYSTEMS) - {"recipe at hand", "recipe at hand, Euclidean"}):
        plain, found = (TrainArguments.parse(settings_of(base, SYSTEMS[name])) for base in ([], recipe))
        allowed = {"max_steps", "eval_steps"} | ({"similarity_weight"} if plain.loss != "angle" else set())
        assert {change.split()[0] for change in found.changes_since(plain, leaving_out=())} <= allowed, name


def test_a_score_of_hyperbolic_models_is_refused_before_training(script):
    options = script.CompareArguments(rank_by=["combined+csls"])
    options.check_ranking(TrainArguments())
    with pytest.raises(ValueError, match=r"--rank_by combined\+csls .*euclidean_combined"):
        options.check_ranking(TrainArguments(geometry="euclidean"))


def test_out_of_domain_is_the_scenes_own_split_or_a_set_that_is_named(script):
    scenes, photographs = TrainArguments(), TrainArguments(data="ccp")
    assert script.CompareArguments().other(scenes) is None
    own = script.CompareArguments(ood=True)
    assert own.other(scenes).name == "ood"
    with pytest.raises(ValueError, match="--ood_data"):
        own.other(photographs)
    other = script.CompareArguments(ood=True, ood_data="sets/lvis_v1", ood_image_folder="coco").other(photographs)
    assert (other.name, other.source, other.image_folder) == ("lvis-v1-val", "sets/lvis_v1", "coco")


def test_without_cross_image_pairs_they_are_neither_positive_nor_negative_nor_sought(data):
    hierarchy = build_hierarchy(read_boxes(data, "train"))
    args, alone_args = (
        TrainArguments.parse(["--mated_boxes_per_scene", "2", *SYSTEMS[name]]) for name in (PAPER, INTRA_IMAGE)
    )

    def images_without_scene(settings):
        plan = BatchPlan(8, settings.boxes_per_scene, settings.mated_boxes_per_scene, settings.mates_per_box)
        nodes = BatchSampler(hierarchy, plan, settings.seed).nodes(0)
        return set(hierarchy.node_image[nodes]) - set(nodes[nodes < hierarchy.num_images])

    assert images_without_scene(args), "mates bring boxes of further images"
    assert not images_without_scene(alone_args)
    nodes = np.arange(hierarchy.num_nodes)[hierarchy.active()]
    both, alone = (RelationIndex(hierarchy, settings.cross_parents).relations(nodes) for settings in (args, alone_args))
    assert both.cross.any()
    assert not alone.cross.any()
    assert np.array_equal(alone.own, both.own)
    assert (alone.ignored == (both.ignored | both.cross)).all(), "no positive any more, but no negative either"
    assert (system_name(args), system_name(alone_args)) == ("hyperbolic angle", "hyperbolic angle, intra-image")


def test_failed_runs_are_named(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run_jobs", lambda jobs, at_once: jobs[1:2])
    monkeypatch.setattr(script, "load_split", lambda *args: None)
    with pytest.raises(SystemExit, match="1 of 2 runs failed: hyperbolic angle, seed 4"):
        script.main(["--output_dir", str(tmp_path), "--systems", PAPER, "--seeds", "3", "4", "--jobs", "2"])


@pytest.mark.slow
def test_from_nothing_to_tables_and_again_without_any_work(data, tmp_path, train, small):
    command = [
        "--output_dir", tmp_path, "--systems", "cosine contrast", "hyperbolic angle", "--seeds", "0", "1", "--jobs",
        "2", "--data", data, *small, "--max_steps", "2", "--zero_shot", "true", "--ood", "true", "--ood_data", data,
    ]  # fmt: skip
    printed = train(*command, script="compare.py")
    assert "hyperbolic angle, seed 1 starts; its output goes to" in printed
    assert "done: " in (tmp_path / "hyperbolic-angle-seed-1" / "train.log").read_text()
    assert "the gallery holds 8 scenes: Top-10 means Top-8" in printed
    assert "cosine contrast (2)" in printed
    assert "untrained (2)" in printed
    assert f"Out of domain ({data.name}-val)" in printed
    document = json.loads((tmp_path / "comparison-val.json").read_text())
    nearer = next(claim for claim in document["claims"] if "nearer the origin" in claim["claim"])
    assert nearer["outcome"] in ("holds", "does not hold", "undecided")
    assert nearer["tests"][0]["seeds"] == [2, 1]
    zero_shot = document["tables"]["zero_shot val"]
    assert len(zero_shot["figures"]["zero_shot/accuracy"]["systems"]["untrained"]) == 2
    notes = " ".join(zero_shot["notes"])
    assert "not zero-shot (cosine contrast, hyperbolic angle)" in notes

    def times():
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("*-seed-*/*") if path.is_file()}

    before, first = times(), (tmp_path / "comparison-val.txt").read_text()
    assert {path.name for path in before if path.parent.name == "untrained-seed-1"} >= {
        "figures-untrained-val.json", "units-untrained-val.safetensors", "embeddings-untrained-val.safetensors",
    }  # fmt: skip
    # as the first comparisons kept them
    stale = tmp_path / "cosine-contrast-seed-0" / "figures-final-val.json"
    stale.write_text('{"P>C R@50%": {"value": 0}}')
    train(*command, script="compare.py")
    changed = {path for path, time in times().items() if before[path] != time}
    assert changed == {stale, stale.with_name("units-final-val.safetensors")}
    assert (tmp_path / "comparison-val.txt").read_text() == first


@pytest.mark.slow
def test_a_study_holds_variants_against_the_first(data, tmp_path, train_as_users_do, small):
    study = tmp_path / "study.yaml"
    study.write_text("plain:\n16 d: {projection_dim: 16}\n8 d: {projection_dim: 8}\n")
    command = [
        "--output_dir", tmp_path, "--variants", study, "--seeds", "0", "--jobs", "2", "--data", data, *small,
        "--max_steps", "2", "--rank_by", "combined", "distance+csls",
    ]  # fmt: skip
    printed = train_as_users_do(*command, script="compare.py")
    assert (tmp_path / "16-d-seed-0" / "final" / "model.safetensors").exists()
    ranked = json.loads((tmp_path / "comparison-val.json").read_text())["tables"]["ranked_by"]
    figures = ranked["figures"]["parent_to_child/ot@50%"]["systems"]
    assert list(figures) == ["own measures", "combined", "distance+csls"]
    assert figures["own measures"] == figures["combined"] != figures["distance+csls"]
    kept = {file.name for file in (tmp_path / "plain-seed-0").glob("figures-*.json")}
    assert kept == {f"figures-final-val{label}.json" for label in ("", "-by-combined", "-by-distance-csls")}
    assert "score less the first" in printed
    assert "--projection_dim 8" in printed
    assert "variant less the first" in printed
    assert "Hyperbolic angles retrieve better" not in printed, "claims of the paper are not about variants"
