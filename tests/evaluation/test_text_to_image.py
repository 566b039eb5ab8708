from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.evaluation import evaluate_per_query, format_table
from hf_hyperbolic.evaluation.nodes import active_boxes
from hf_hyperbolic.evaluation.text_to_image import GALLERIES, TOP, evaluate_text_to_image
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot
from hf_hyperbolic.evaluation.zero_shot_task import draw_support
from hf_hyperbolic.retrieval.measures import scores

CURVATURE = 0.6


@pytest.fixture
def hierarchy(make_hierarchy):
    return make_hierarchy(images=14, boxes=4, classes=6)


def names(hierarchy, seed=7):
    return torch.randn(hierarchy.num_classes, 4, generator=torch.Generator().manual_seed(seed))


def gallery_of(hierarchy, gallery):
    """Nodes and, pair by pair, whether one answers a class."""
    if gallery == "boxes":
        nodes = active_boxes(hierarchy)
        held = [{int(hierarchy.node_label[node])} for node in nodes]
    else:
        nodes = np.arange(hierarchy.num_images)
        below = [hierarchy.ancestry[hierarchy.ancestry[:, 0] == node, 1] for node in nodes]
        held = [{*hierarchy.node_label[nodes_below].tolist()} for nodes_below in below]
    return nodes, held


@pytest.mark.parametrize("measure", ["combined", "distance", "cosine", "alpha"])
def test_figures_against_a_loop_over_names(measure, hierarchy, make_embeds):
    embeds, asked = make_embeds(hierarchy), names(hierarchy)
    table, values = evaluate_text_to_image(embeds, hierarchy, asked, CURVATURE, [measure])
    for gallery, direction in GALLERIES.items():
        nodes, held = gallery_of(hierarchy, gallery)
        top, precision, chance, ceiling = [], [], [], []
        for name in range(hierarchy.num_classes):
            relevant = np.array([name in classes for classes in held])
            if not relevant.any():
                continue
            found = scores(asked[name : name + 1], embeds[nodes], measure, direction, CURVATURE)[0].numpy()
            best = np.argsort(-found, kind="stable")[:TOP]
            top.append(relevant[best].mean())
            precision.append(average_precision_score(relevant, found))
            chance.append(relevant.mean())
            ceiling.append(min(TOP, relevant.sum()) / min(TOP, len(nodes)))
        figures = table[measure]
        assert figures[f"{gallery}_top_10"]["value"] == pytest.approx(np.mean(top))
        assert figures[f"{gallery}_average_precision"]["value"] == pytest.approx(np.mean(precision), abs=1e-6)
        assert figures[f"{gallery}_top_10"]["chance"] == pytest.approx(np.mean(chance))
        assert figures[f"{gallery}_top_10"]["ceiling"] == pytest.approx(np.mean(ceiling))
        np.testing.assert_allclose(values[f"text_to_image/{measure}/{gallery}_top_10"], top)


def test_classes_of_one_name_are_one_query(hierarchy, make_embeds):
    embeds, asked = make_embeds(hierarchy), names(hierarchy)
    # classes 1 and 4, as if they were one class to begin with
    called = np.array([0, 1, 2, 3, 1, 4])
    asked[4] = asked[1]
    found, values = evaluate_text_to_image(embeds, hierarchy, asked, CURVATURE, ["distance"], called=called)
    merged = replace(
        hierarchy,
        node_label=np.where(hierarchy.node_label == 4, 1, hierarchy.node_label).astype(hierarchy.node_label.dtype),
    )
    expected, each = evaluate_text_to_image(embeds, merged, asked, CURVATURE, ["distance"])
    assert found == expected
    assert len(values["text_to_image/distance/boxes_top_10"]) == 5
    for name, row in each.items():
        np.testing.assert_array_equal(values[name], row)
    # the two are not one by what their embeddings are: a text tower that says the same of everything is no good one
    apart = evaluate_text_to_image(embeds, hierarchy, torch.ones(6, 4), CURVATURE, ["distance"])[1]
    assert len(apart["text_to_image/distance/boxes_top_10"]) == 6


def test_chance_is_what_random_rankings_reach_and_the_ceiling_what_the_best_do(hierarchy, make_embeds):
    rng = np.random.default_rng(0)
    embeds, drawn = make_embeds(hierarchy), []
    for seed in range(150):
        random = torch.from_numpy(rng.normal(size=(hierarchy.num_nodes, 64)).astype(np.float32))
        asked = torch.from_numpy(rng.normal(size=(hierarchy.num_classes, 64)).astype(np.float32))
        drawn.append(evaluate_text_to_image(random, hierarchy, asked, None, ["cosine"], seed, resamples=2)[0]["cosine"])
    for name, figure in drawn[0].items():
        values = [one[name]["value"] for one in drawn]
        assert figure["chance"] == pytest.approx(np.mean(values), abs=4 * np.std(values) / 150**0.5)
    # boxes that are their class's name, to the last digit
    asked = torch.eye(hierarchy.num_classes)
    embeds = torch.ones(hierarchy.num_nodes, hierarchy.num_classes)
    boxes = torch.from_numpy(active_boxes(hierarchy))
    embeds[boxes] = asked[torch.from_numpy(hierarchy.node_label[boxes].astype(np.int64))]
    found = evaluate_text_to_image(embeds, hierarchy, asked, None, ["cosine"])[0]["cosine"]
    for name in ("boxes_top_10", "boxes_average_precision"):
        assert found[name]["value"] == pytest.approx(found[name]["ceiling"])


def test_what_is_unknown_is_left_out(hierarchy, make_embeds):
    from dataclasses import replace

    # no class was looked for in an image beyond those that are in it, and these not in full
    held = [*map(list, gallery_of(hierarchy, "scenes")[1])]
    pairs = np.array([[image, label] for image, labels in enumerate(held) for label in labels])
    federation = Federation(verified_absent=np.zeros((0, 2), np.int64), not_exhaustive=pairs)
    embeds, asked = make_embeds(hierarchy), names(hierarchy)
    table, _ = evaluate_text_to_image(embeds, replace(hierarchy, federation=federation), asked, CURVATURE, ["cosine"])
    # all that is left is right
    assert table["cosine"]["scenes_average_precision"]["value"] == 1
    assert table["cosine"]["scenes_top_10"]["chance"] == 1
    assert evaluate_text_to_image(embeds, hierarchy, asked, CURVATURE, ["cosine"])[0]["cosine"][
        "scenes_average_precision"
    ]["value"] < 1  # fmt: skip


def test_boxes_are_told_by_names_as_by_prototypes(hierarchy, make_hierarchy, make_embeds):
    support_split = make_hierarchy(seed=3, images=10, boxes=5, classes=6)
    support = draw_support(support_split, hierarchy, shots=4)
    embeds, asked = make_embeds(hierarchy), names(hierarchy)
    reference = make_embeds(support_split, 1)[torch.from_numpy(support.nodes)]
    result, values = evaluate_zero_shot(
        embeds, hierarchy, reference, support, CURVATURE, resamples=20, map_resamples=3, name_embeds=asked
    )
    plain, _ = evaluate_zero_shot(embeds, hierarchy, reference, support, CURVATURE, resamples=20, map_resamples=3)
    assert result["zero_shot"] == plain["zero_shot"]
    assert "zero_shot_by_name" not in plain
    boxes = active_boxes(hierarchy)
    classes = np.unique(support.labels)
    boxes = boxes[np.isin(hierarchy.node_label[boxes], classes)]
    for measure, direction in (("distance", "parents"), ("combined", "parents")):
        right = []
        for box in boxes:
            found = [
                scores(embeds[box : box + 1], asked[c : c + 1], measure, direction, CURVATURE).item() for c in classes
            ]
            right.append(classes[int(np.argmax(found))] == hierarchy.node_label[box])
        assert result["zero_shot_by_name"][measure]["accuracy"]["value"] == pytest.approx(np.mean(right))
        np.testing.assert_array_equal(values[f"zero_shot_by_name/{measure}/accuracy"], right)

    found, _ = evaluate_per_query(embeds, hierarchy, CURVATURE)
    by_text, _ = evaluate_text_to_image(embeds, hierarchy, asked, CURVATURE)
    text = format_table({"ours": found | result | {"text_to_image": by_text}, "image only": found | plain}, True)
    named = text[text.index("Zero-shot by the names") :]
    assert "Text to image" in named
    assert "ours" in named
    assert "image only" not in named
    shown = f"{100 * by_text['combined']['boxes_top_10']['value']:.1f}"
    assert shown in named[named.index("Text to image") :]


def test_what_does_not_fit_is_named(hierarchy, make_embeds):
    embeds, asked = make_embeds(hierarchy), names(hierarchy)
    with pytest.raises(ValueError, match=r"name_embeds \(5, 4\) one for each of 6 classes"):
        evaluate_text_to_image(embeds, hierarchy, asked[:5], CURVATURE)
    support = draw_support(hierarchy, hierarchy)
    with pytest.raises(ValueError, match="name_embeds has 5 rows"):
        evaluate_zero_shot(embeds, hierarchy, embeds[support.nodes], support, CURVATURE, name_embeds=asked[:5])
