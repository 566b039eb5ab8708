import dataclasses
import io
import json
import time

import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation import (
    EvaluationSettings,
    evaluate_embeddings,
    evaluate_per_query,
    format_table,
    load_per_query,
    paired_difference,
    save_per_query,
)
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot
from hf_hyperbolic.evaluation.zero_shot_task import draw_support

QUICK = EvaluationSettings(ks=(3, 0.5), top_ks=(5, 10), resamples=50)
PROTOCOLS = ("parent_to_child", "child_to_parent", "child_to_any_parent", "own_scene", "entailment")


def figures_of(result: dict) -> list[tuple[str, dict]]:
    found = [
        (f"{section}/{measure}/{name}", entry)
        for section in PROTOCOLS
        for measure, entries in result[section].items()
        for name, entry in entries.items()
    ]
    return found + [(f"radial/norm/{name}", entry) for name, entry in result["radial"].items()]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_where_it_is_asked_for_and_looked_at(make_hierarchy, make_embeds, monkeypatch) -> None:
    hierarchy = make_hierarchy(0)
    support = draw_support(hierarchy, hierarchy, shots=2, draws=1)
    embeds = make_embeds(hierarchy)

    def written(stream, progress):
        monkeypatch.setattr("sys.stderr", stream)
        evaluate_per_query(embeds, hierarchy, None, ["cosine"], settings=QUICK, progress=progress)
        evaluate_zero_shot(
            embeds, hierarchy, embeds[support.nodes], support, None, ["cosine"], resamples=2, map_resamples=2,
            progress=progress, name_embeds=make_embeds(hierarchy)[: hierarchy.num_classes],
        )  # fmt: skip
        return stream.getvalue()

    assert written(Terminal(), progress=False) == ""
    assert written(io.StringIO(), progress=True) == ""
    shown = written(Terminal(), progress=True)
    for name in ("evaluating: parent -> child", "evaluating: tree", "9/9", "zero shot by name: cosine", "2/2"):
        assert name in shown


def test_the_whole_result(make_hierarchy, make_embeds) -> None:
    hierarchy, train = make_hierarchy(0, empty=1, whole=1), make_hierarchy(1)
    measures = ("cosine", "euclidean_alpha", "euclidean_beta", "alpha", "beta", "distance", "beta+centred")
    result, values = evaluate_per_query(make_embeds(hierarchy), hierarchy, 1.0, measures, train, settings=QUICK)
    json.dumps(result, allow_nan=False)
    assert result["counts"]["boxes"] == 7 * 6 - 1
    assert result["counts"]["boxes_that_are_the_scene"] == result["counts"]["scenes_without_boxes"] == 1
    assert result["counts"]["ancestry_pairs"] == len(hierarchy.ancestry)
    for section in PROTOCOLS[:4]:
        assert tuple(result[section]) == measures
    assert tuple(result["entailment"]) == measures[:-1]
    for key, entry in figures_of(result):
        assert entry["low"] <= entry["value"] <= entry["high"], key
        assert None not in (entry["chance"], entry["ceiling"]), key
        if "median_rank" not in key:
            assert entry["value"] == pytest.approx(np.nanmean(values[key]), abs=1e-12), key
    for entry in result["entailment"]["beta"].values():
        assert 0 <= entry["oracles"]["scene_flag"] <= 1
        assert 0 <= entry["oracles"]["category_pair_frequency"] <= 1
    for section, oracle in (("parent_to_child", "class_prevalence"), ("child_to_parent", "class_count")):
        found = [{name: entry["oracles"] for name, entry in entries.items()} for entries in result[section].values()]
        assert all(other == found[0] for other in found)
        for name, oracles in found[0].items():
            assert list(oracles) == [oracle]
            assert 0 <= oracles[oracle] <= (1 if not name.startswith("ot@") else hierarchy.num_classes)
    assert not any("oracles" in e for section in PROTOCOLS[2:4] for m in result[section].values() for e in m.values())
    curve = result["precision_recall"]
    assert len(curve["recall"]) == len(curve["chance"]) == len(curve["measures"]["beta"]["high"])
    assert (np.diff(curve["measures"]["beta"]["value"]) <= 0).all()
    assert set(result["hubness"]) == {"parent_to_child", "child_to_parent"}
    assert -1 <= result["cone"]["mean_cosine"] <= 1
    assert len(result["mean_norm_by_level"]) == hierarchy.level.max() + 1


def test_clamped_cut_offs_and_skipped_queries_are_noted(make_hierarchy, make_embeds) -> None:
    hierarchy = make_hierarchy(0, images=8, empty=1)
    notes = evaluate_embeddings(make_embeds(hierarchy), hierarchy, None, settings=QUICK)["notes"]
    assert "child_to_parent: the gallery holds 8 items, so k = 10 means 8" in notes
    assert "parent_to_child: 1 scenes without a box are not queries" in notes


def test_a_euclidean_model_has_euclidean_measures_only(make_hierarchy, make_embeds) -> None:
    hierarchy = make_hierarchy(0)
    for curvature in (None, 0.0):
        result = evaluate_embeddings(make_embeds(hierarchy), hierarchy, curvature, settings=QUICK)
        assert result["settings"]["measures"] == ["cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined"]
    assert result["entailment"]["cosine"]["auc_random"]["oracles"]["category_pair_frequency"] is None
    assert result["parent_to_child"]["cosine"]["recall@50%"]["oracles"] == {"class_prevalence": None}
    assert result["child_to_parent"]["cosine"]["top_5"]["oracles"]["class_count"] > 0
    with pytest.raises(ValueError, match="needs a hyperbolic model"):
        evaluate_embeddings(make_embeds(hierarchy), hierarchy, None, ["alpha"])


def test_numpy_and_half_precision_are_welcome_and_the_seed_decides(make_hierarchy, make_embeds) -> None:
    hierarchy = make_hierarchy(0)
    embeds = make_embeds(hierarchy).bfloat16()
    first = evaluate_embeddings(embeds, hierarchy, 1.0, ["beta"], settings=QUICK)
    again = evaluate_embeddings(embeds.float().numpy(), hierarchy, 1.0, ["beta"], settings=QUICK)
    assert first == again
    other = evaluate_embeddings(embeds, hierarchy, 1.0, ["beta"], seed=1, settings=QUICK)
    figure, shifted = (r["parent_to_child"]["beta"]["recall@50%"] for r in (first, other))
    assert figure["value"] == shifted["value"]
    assert (figure["low"], figure["high"]) != (shifted["low"], shifted["high"])


def test_an_oracle_embedding_reaches_the_ceilings(make_hierarchy) -> None:
    # a dimension an image: scenes near the origin on their own axis, boxes far out on it
    hierarchy = make_hierarchy(0, images=6, boxes=3)
    embeds = np.eye(6, dtype=np.float32)[hierarchy.node_image] * (0.1 + hierarchy.level[:, None])
    result = evaluate_embeddings(embeds, hierarchy, 1.0, settings=QUICK)
    for measure in ("cosine", "alpha", "beta"):
        for name in ("recall@1", "recall@5", "median_rank"):
            entry = result["own_scene"][measure][name]
            assert entry["value"] == entry["ceiling"] == 1
    assert result["radial"]["all"]["value"] == pytest.approx(1)
    # the Euclidean angle, since pairs here are collinear, where the hyperbolic pairwise form is coarse
    for kind in ("random", "reversed"):
        assert result["entailment"]["euclidean_beta"][f"auc_{kind}"]["value"] > 0.9


def test_relabelling_images_changes_nothing(make_hierarchy, make_embeds) -> None:
    """Figures are symmetric in the images: an embedding permuted with its images gives the same means."""
    hierarchy = make_hierarchy(0, images=6, boxes=3)
    embeds = make_embeds(hierarchy)
    order = np.random.default_rng(0).permutation(6)
    boxes = np.concatenate([6 + 3 * i + np.arange(3) for i in order])
    nodes = np.concatenate([order, boxes])
    new = np.empty(len(nodes), dtype=np.int64)
    new[nodes] = np.arange(len(nodes))
    image = np.empty(6, dtype=np.int32)
    image[order] = np.arange(6)
    permuted = dataclasses.replace(
        hierarchy,
        node_image=image[hierarchy.node_image[nodes]],
        node_label=hierarchy.node_label[nodes],
        node_box=hierarchy.node_box[nodes],
        level=hierarchy.level[nodes],
        direct=new[hierarchy.direct],
        ancestry=new[hierarchy.ancestry],
        node_is_scene_duplicate=hierarchy.node_is_scene_duplicate[nodes],
    )
    first = evaluate_embeddings(embeds, hierarchy, 1.0, settings=QUICK)
    second = evaluate_embeddings(embeds[torch.from_numpy(nodes)], permuted, 1.0, settings=QUICK)
    for section in PROTOCOLS[:4]:
        for measure, entries in first[section].items():
            for name, entry in entries.items():
                other = second[section][measure][name]["value"]
                assert entry["value"] == pytest.approx(other, abs=1e-9), (section, measure, name)


def test_resampling_images_widens_intervals(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0, images=30, boxes=8)
    # every box of an image finds its scene, or none does
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(30, 6))
    found = rng.random(30) < 0.5
    embeds = direction[hierarchy.node_image] * np.where(found, 1, -1)[hierarchy.node_image][:, None]
    embeds[:30] = direction
    widths = []
    for by_image in (False, True):
        settings = dataclasses.replace(QUICK, resample_images=by_image, resamples=400)
        entry = evaluate_embeddings(embeds, hierarchy, None, ["cosine"], settings=settings)["own_scene"]["cosine"]
        widths.append(entry["recall@1"]["high"] - entry["recall@1"]["low"])
    assert widths[1] > 2 * widths[0]


def test_train_embeddings_are_the_references(make_hierarchy, make_embeds) -> None:
    hierarchy, train = make_hierarchy(0), make_hierarchy(1)
    embeds, train_embeds = make_embeds(hierarchy), make_embeds(train, seed=9)
    by_gallery = evaluate_embeddings(embeds, hierarchy, 1.0, ["beta+centred"], train, settings=QUICK)
    by_train = evaluate_embeddings(
        embeds, hierarchy, 1.0, ["beta+centred"], train, train_embeds=train_embeds, settings=QUICK
    )
    assert by_gallery["settings"]["correction_references"] == "gallery"
    assert by_train["settings"]["correction_references"] == "train"
    assert by_gallery["parent_to_child"] != by_train["parent_to_child"]
    with pytest.raises(ValueError, match="needs train_hierarchy"):
        evaluate_embeddings(embeds, hierarchy, 1.0, train_embeds=train_embeds)
    with pytest.raises(ValueError, match="3 dimensions and embeds 4"):
        evaluate_embeddings(embeds, hierarchy, 1.0, None, train, train_embeds=train_embeds[:, :3])


def test_bad_embeddings_are_named(make_hierarchy, make_embeds) -> None:
    hierarchy = make_hierarchy(0, whole=1)
    embeds = make_embeds(hierarchy)
    with pytest.raises(ValueError, match=r"expected \(56, D\): one row a node of hierarchy, 8 scenes .* 48 boxes"):
        evaluate_embeddings(embeds[:-1], hierarchy, 1.0)
    broken = embeds.clone()
    broken[[2, 20]] = torch.tensor([float("nan"), float("inf")])[:, None]
    with pytest.raises(ValueError, match="NaN or infinity in 2 of 56 rows: 2, 20"):
        evaluate_embeddings(broken, hierarchy, 1.0)
    with pytest.raises(ValueError, match="measures is empty"):
        evaluate_embeddings(embeds, hierarchy, 1.0, [])
    # a box that is the whole image takes no part, so nothing is asked of its embedding
    silent = embeds.clone()
    silent[hierarchy.num_images] = float("nan")
    assert hierarchy.node_is_scene_duplicate[hierarchy.num_images]
    evaluate_embeddings(silent, hierarchy, 1.0, ["cosine"], settings=QUICK)


def test_an_empty_split_is_said(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0, images=0, boxes=0)
    with pytest.raises(ValueError, match="hierarchy is empty"):
        evaluate_embeddings(torch.zeros(0, 4), hierarchy, 1.0)
    only_scenes = make_hierarchy(0, images=2, boxes=1, whole=2)
    with pytest.raises(ValueError, match="no query with a relevant box"):
        evaluate_embeddings(torch.zeros(4, 4), only_scenes, 1.0)


def test_one_image_with_one_box(make_hierarchy) -> None:
    hierarchy = make_hierarchy(0, images=1, boxes=1)
    result = evaluate_embeddings(torch.tensor([[0.1, 0.0], [1.0, 0.2]]), hierarchy, 1.0, settings=QUICK)
    json.dumps(result, allow_nan=False)
    assert result["child_to_parent"]["beta"]["top_5_other_images"]["value"] is None
    assert result["child_to_parent"]["beta"]["top_5_other_images"]["oracles"] == {"class_count": None}
    assert result["entailment"]["beta"]["auc_unrelated"]["value"] is None
    assert any("no unrelated pairs" in note for note in result["notes"])
    assert "-" in format_table({"tiny": result})


def test_table_and_values_for_paired_tests(make_hierarchy, make_embeds, tmp_path) -> None:
    hierarchy, train = make_hierarchy(0), make_hierarchy(1)
    results, values = {}, {}
    for seed, name in enumerate(("untrained", "trained")):
        results[name], values[name] = evaluate_per_query(
            make_embeds(hierarchy, seed), hierarchy, 1.0, ["beta", "beta+centred"], train, settings=QUICK
        )
        save_per_query(tmp_path / f"{name}.npz", values[name])
    text = format_table(results, intervals=True)
    for expected in ("chance", "ceiling", "oracle: category pair", "oracle: scene flag", "beta+centred", "P>C R@50%"):
        assert expected in text
    retrieval, entailment, classes, tree = text.split("\n\n")[1:]
    assert tree.startswith("Tree. ")
    prevalence = results["trained"]["parent_to_child"]["beta"]["recall@50%"]["oracles"]["class_prevalence"]
    (row,) = [line for line in retrieval.splitlines() if line.startswith("oracle: class prevalence")]
    assert row.split()[3] == f"{100 * prevalence:.1f}"
    assert len(row.split()) == 3 + 3, "blank where the oracle ranks nothing"
    assert retrieval.count("oracle:") == entailment.count("oracle:") == 2
    assert "oracle: class count" in retrieval
    assert "oracle:" not in classes
    entry = results["trained"]["parent_to_child"]["beta+centred"]["recall@50%"]
    assert f"{100 * entry['value']:.1f}" in text
    assert f"[{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]" in text
    stored = {name: load_per_query(tmp_path / f"{name}.npz") for name in values}
    for key, array in values["trained"].items():
        np.testing.assert_array_equal(stored["trained"][key], array)
        difference = paired_difference(stored["trained"][key], stored["untrained"][key])
        measured = np.nanmean(values["trained"][key]) - np.nanmean(values["untrained"][key])
        assert difference["value"] == pytest.approx(measured, abs=1e-9)


def test_the_measures_by_which_a_system_ranks_have_a_star(make_hierarchy, make_embeds) -> None:
    hierarchy = make_hierarchy(0)
    result = evaluate_embeddings(make_embeds(hierarchy, 0), hierarchy, 1.0, ["alpha", "beta", "distance"])
    results = {"ours": result, "other": result}
    assert "*" not in format_table(results)
    measures = {
        "ours": {"children": "beta", "parents": "distance", "pairs": "alpha"},
        "other": dict.fromkeys(("children", "parents", "pairs"), "beta"),
    }
    retrieval, entailment, classes, _ = format_table(results, measures=measures).split("\n\n")[1:]
    told = (
        "* ours ranks children (P>C, boxes, image) by beta, parents (C>P, own, scenes, caption) by distance and tells "
        "pairs by alpha.\n"
        "* other ranks by beta and tells pairs by beta.\n"
    )
    assert told in retrieval
    for block, expected in (
        (retrieval, {("ours", "beta*"), ("ours", "distance*"), ("other", "beta*")}),
        (entailment, {("ours", "alpha*"), ("other", "beta*")}),
        (classes, {("ours", "beta*"), ("ours", "distance*"), ("other", "beta*")}),
    ):
        rows = [tuple(line.split()[:2]) for line in block.splitlines()]
        assert {row for row in rows if row[-1:] and row[-1].endswith("*") and len(row) == 2} == expected


def test_tables_of_different_splits_are_refused(make_hierarchy, make_embeds) -> None:
    results = {}
    for images in (6, 7):
        hierarchy = make_hierarchy(0, images=images)
        results[str(images)] = evaluate_embeddings(make_embeds(hierarchy), hierarchy, 1.0, ["beta"], settings=QUICK)
    with pytest.raises(ValueError, match="'6' and '7' were evaluated on different splits"):
        format_table(results)
    hierarchy = make_hierarchy(0, images=6)
    more = evaluate_embeddings(make_embeds(hierarchy), hierarchy, 1.0, ["beta"])
    with pytest.raises(ValueError, match="different cut-offs"):
        format_table({"a": results["6"], "b": more})
    with pytest.raises(ValueError, match="at least one result"):
        format_table({})


@pytest.mark.slow
def test_a_real_size_takes_seconds(make_hierarchy, make_embeds) -> None:
    hierarchy = make_hierarchy(0, images=400, boxes=15, classes=55)
    start = time.perf_counter()
    evaluate_embeddings(make_embeds(hierarchy, dim=128), hierarchy, 1.0, train_hierarchy=make_hierarchy(1, images=400))
    # about 8 s alone on two cores; the margin is for a busy machine
    assert time.perf_counter() - start < 60
