"""Prototypes, the draw of the support, and zero-shot accuracy and mAP against independent computations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.evaluation.nodes import active_boxes
from hf_hyperbolic.evaluation.prototypes import class_prototypes
from hf_hyperbolic.evaluation.zero_shot import FIGURES, evaluate_zero_shot
from hf_hyperbolic.evaluation.zero_shot_task import draw_support, prepare
from hf_hyperbolic.retrieval.measures import MEASURES, scores


def random_points(seed, n=12, dim=5, radius=2.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, dim)) * radius / np.sqrt(dim))


@given(seed=st.integers(0, 1000), curvature=st.sampled_from([0.1, 1.0, 7.0]), radius=st.sampled_from([0.1, 0.5, 1.5]))
@settings(max_examples=30, deadline=None)
def test_hyperbolic_prototype_is_the_einstein_midpoint_and_minimises_lorentzian_distance(seed, curvature, radius):
    points = lorentz.exp_map0(random_points(seed, radius=radius), curvature)
    found = class_prototypes(points, torch.zeros(len(points), dtype=torch.long), 1, "beta", curvature)
    klein = lorentz.to_klein(points, curvature)
    gamma = (1 - klein.square().sum(1)).rsqrt()  # |k| = tanh(radius), below 1 in any curvature
    midpoint = (gamma[:, None] * klein).sum(0) / gamma.sum()
    torch.testing.assert_close(lorentz.to_klein(found, curvature)[0], midpoint, rtol=1e-7, atol=1e-9)

    # Law et al. 2019: the centroid minimises the sum of squared Lorentzian distances, -2/c - 2 <x, mu>
    def cost(centre):
        return -lorentz.inner_product(points, centre, curvature).sum()

    best = cost(found)
    for nudge in random_points(seed + 1, 5, points.shape[1], 0.01 * radius):
        assert cost(found + nudge) >= best - 1e-9 * best.abs()


def test_hyperbolic_prototype_lies_nearer_the_origin_than_its_boxes_do_in_the_mean():
    points = lorentz.exp_map0(random_points(0, radius=3.0), 1.0)
    found = class_prototypes(points, torch.zeros(len(points), dtype=torch.long), 1, "alpha", 1.0)
    assert lorentz.radius(found, 1.0)[0] < lorentz.radius(points, 1.0).mean()


def test_cosine_prototype_is_blind_to_length_and_the_euclidean_is_not():
    points, labels = random_points(0), torch.arange(12) % 2
    longer = points * torch.linspace(1, 5, 12)[:, None]
    for measure, same in (("cosine", True), ("euclidean_beta", False)):
        one, other = (class_prototypes(x, labels, 2, measure) for x in (points, longer))
        assert torch.allclose(one, other) == same
    expected = torch.nn.functional.normalize(points, dim=1)[labels == 1].mean(0)
    found = class_prototypes(points, labels, 2, "cosine")[1]
    torch.testing.assert_close(found, expected / expected.norm())


def test_prototypes_refuse_what_makes_no_sense():
    points = random_points(0)
    with pytest.raises(ValueError, match="at least one embedding"):
        class_prototypes(points, torch.zeros(12, dtype=torch.long), 2, "cosine")
    with pytest.raises(ValueError, match="at least one embedding"):
        class_prototypes(points, torch.full((12,), 3), 2, "cosine")
    with pytest.raises(ValueError, match="hyperbolic"):
        class_prototypes(points, torch.zeros(12, dtype=torch.long), 1, "beta", None)
    with pytest.raises(ValueError, match="unknown measure"):
        class_prototypes(points, torch.zeros(12, dtype=torch.long), 1, "gamma")


def test_support_is_drawn_by_class_without_replacement(make_hierarchy):
    train, val = make_hierarchy(0, images=20, whole=3), make_hierarchy(1)
    support = draw_support(train, val, shots=4, draws=3, seed=0)
    boxes = active_boxes(train)
    assert np.isin(support.nodes, boxes).all()
    assert (support.labels == train.node_label[support.nodes]).all()
    for draw in support.draws:
        counts = np.bincount(support.labels[draw], minlength=5)
        assert counts.tolist() == np.minimum(np.bincount(train.node_label[boxes], minlength=5), 4).tolist()
        assert len(np.unique(draw)) == len(draw)
    assert not np.array_equal(support.draws[0], support.draws[1])
    again = draw_support(train, val, shots=4, draws=3, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(support.draws, again.draws, strict=True))
    every = draw_support(train, val, shots=None, draws=3)
    assert (len(every.draws), len(every.nodes)) == (1, len(boxes))


def test_every_box_of_a_class_is_as_likely_to_be_drawn(make_hierarchy):
    train = make_hierarchy(0, images=10, classes=2)
    support = draw_support(train, train, shots=5, draws=2000, seed=1)
    drawn = np.bincount(np.concatenate(support.draws), minlength=len(support.nodes))
    expected = 2000 * 5 / np.bincount(support.labels)[support.labels]
    assert (np.abs(drawn - expected) < 5 * np.sqrt(expected)).all()


def test_classes_are_matched_by_name(make_hierarchy):
    train, val = make_hierarchy(0, images=10), make_hierarchy(1)
    renamed = replace(train, class_names=("other", "class3", "class1", "else", "class0"))
    support = draw_support(renamed, val)
    names = [renamed.class_names[label] for label in renamed.node_label[support.nodes]]
    assert names == [f"class{label}" for label in support.labels]
    assert set(names) == {"class0", "class1", "class3"}
    queries = prepare(val, support)
    assert queries.classes.tolist() == [0, 1, 3]
    assert queries.left_out == np.isin(val.node_label[active_boxes(val)], [2, 4]).sum()
    with pytest.raises(ValueError, match="no box of a class of the evaluated split"):
        draw_support(replace(train, class_names=tuple("abcde")), val)


def embedded(hierarchy, seed, spread):
    """Embeddings that cluster by class, the same centres for every split."""
    centres = np.random.default_rng(99).normal(size=(hierarchy.num_classes, 6))
    noise = np.random.default_rng(seed).normal(size=(hierarchy.num_nodes, 6)) * spread
    return torch.from_numpy(centres[hierarchy.node_label] + noise).float()


@pytest.mark.parametrize("measure", MEASURES)
def test_accuracy_is_that_of_the_nearest_prototype_by_hand(make_hierarchy, measure):
    train, val = make_hierarchy(0, images=12, whole=2), make_hierarchy(1, images=10, whole=2)
    support = draw_support(train, val, shots=3, draws=2)
    embeds, reference = embedded(val, 3, 0.7), embedded(train, 4, 0.7)[support.nodes]
    result, per_unit = evaluate_zero_shot(
        embeds, val, reference, support, 0.8, measures=[measure], resamples=20, map_resamples=5
    )
    boxes = active_boxes(val)
    accuracies = []
    for draw in support.draws:
        right = []
        for box in boxes:
            best = []
            for label in range(5):
                of_class = draw[support.labels[draw] == label]
                centre = class_prototypes(reference[of_class], torch.zeros(3, dtype=torch.long), 1, measure, 0.8)
                best.append(scores(embeds[box][None], centre, measure, "parents", curvature=0.8).item())
            right.append(int(np.argmax(best)) == val.node_label[box])
        accuracies.append(np.mean(right))
    figure = result["zero_shot"][measure]["accuracy"]
    assert figure["value"] == pytest.approx(np.mean(accuracies))
    assert figure["draws"] == pytest.approx([min(accuracies), max(accuracies)])
    assert figure["low"] <= figure["value"] <= figure["high"]
    if not measure.endswith("alpha"):  # which prefers prototypes near the origin, whatever the crop
        assert 0.2 < figure["value"] < 1, "neither chance nor perfect, or the test tells little"
    assert per_unit[f"zero_shot/{measure}/accuracy"].mean() == pytest.approx(figure["value"])


def test_cosine_equals_sklearn_nearest_centroid(make_hierarchy):
    train, val = make_hierarchy(0, images=12), make_hierarchy(1, images=10)
    support = draw_support(train, val, shots=None)
    unit = [torch.nn.functional.normalize(embedded(h, 7, 0.9), dim=1) for h in (val, train)]
    result, _ = evaluate_zero_shot(unit[0], val, unit[1][support.nodes], support, None, resamples=5, map_resamples=2)
    assert set(result["zero_shot"]) == {"cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined"}
    # nearest by cosine is nearest by distance among centroids of length 1
    centroids = NearestCentroid().fit(unit[1][support.nodes], support.labels)
    centroids.centroids_ /= np.linalg.norm(centroids.centroids_, axis=1, keepdims=True)
    boxes = active_boxes(val)
    told = centroids.predict(unit[0][boxes].numpy())
    assert result["zero_shot"]["cosine"]["accuracy"]["value"] == pytest.approx((told == val.node_label[boxes]).mean())
    per_class = result["zero_shot_about"]["per_class"]
    for name, accuracy in zip(per_class["name"], per_class["measures"]["cosine"]["accuracy"], strict=True):
        of_class = val.node_label[boxes] == val.class_names.index(name)
        assert accuracy == pytest.approx((told == val.node_label[boxes])[of_class].mean())
    mean = np.mean(per_class["measures"]["cosine"]["accuracy"])
    assert result["zero_shot"]["cosine"]["class_accuracy"]["value"] == pytest.approx(mean)


def test_map_equals_pycocotools(make_hierarchy):
    pytest.importorskip("pycocotools")
    from test_detection import by_pycocotools

    train, val = make_hierarchy(0, images=12), make_hierarchy(1, images=10, boxes=9)
    support = draw_support(train, val, shots=2)
    embeds, reference = embedded(val, 3, 1.0), embedded(train, 4, 1.0)[support.nodes]
    result, _ = evaluate_zero_shot(embeds, val, reference, support, 1.3, ["beta"], resamples=5, map_resamples=20)
    prototypes = class_prototypes(reference, torch.from_numpy(support.labels), 5, "beta", 1.3)
    boxes = active_boxes(val)
    matrix = scores(embeds[boxes], prototypes, "beta", "parents", curvature=1.3).numpy()
    per_class, mean = by_pycocotools(
        val.node_box[boxes].astype(np.float64), val.node_image[boxes], val.node_label[boxes], matrix
    )
    figures = result["zero_shot"]["beta"]
    assert figures["map"]["value"] == pytest.approx(mean, abs=1e-12)
    assert figures["map_50"]["value"] == pytest.approx(np.nanmean(per_class[0]), abs=1e-12)
    assert figures["map"]["low"] < figures["map"]["value"] < figures["map"]["high"]
    found = result["zero_shot_about"]["per_class"]["measures"]["beta"]["average_precision"]
    assert found == pytest.approx(per_class.mean(0).tolist(), abs=1e-12)


def test_levels(make_hierarchy):
    """Perfect embeddings reach the ceiling, embeddings without content about chance."""
    train, val = make_hierarchy(0, images=12), make_hierarchy(1, images=40)
    support = draw_support(train, val)
    perfect, _ = evaluate_zero_shot(
        embedded(val, 3, 1e-3), val, embedded(train, 4, 1e-3)[support.nodes], support, 1.0, resamples=5, map_resamples=2
    )
    for measure in ("cosine", "distance"):
        for name in FIGURES:
            figure = perfect["zero_shot"][measure][name]
            assert figure["value"] == pytest.approx(figure["ceiling"])
    noise = torch.randn(val.num_nodes, 6, generator=torch.Generator().manual_seed(0))
    blind, _ = evaluate_zero_shot(
        noise, val, embedded(train, 4, 0.1)[support.nodes], support, 1.0, ["cosine"], resamples=200, map_resamples=50
    )
    for name, figure in blind["zero_shot"]["cosine"].items():
        # three widths: four figures are looked at, and noise is noise
        width = figure["high"] - figure["low"]
        assert abs(figure["value"] - figure["chance"]) < 1.5 * width, name
    counts = np.bincount(train.node_label[active_boxes(train)])
    share = (val.node_label[active_boxes(val)] == counts.argmax()).mean()
    assert blind["zero_shot"]["cosine"]["accuracy"]["oracles"]["most_common_class"] == pytest.approx(share)


def test_federated_labels_change_average_precision_alone(make_hierarchy):
    train, val = make_hierarchy(0, images=12), make_hierarchy(1, images=10)
    support = draw_support(train, val)
    given = (embedded(val, 3, 1.0), embedded(train, 4, 1.0)[support.nodes], support, 1.0, ["cosine"])
    nothing = np.zeros((0, 2), dtype=np.int32)
    federated = replace(val, federation=Federation(nothing, nothing))
    plain, known = (
        evaluate_zero_shot(given[0], hierarchy, *given[1:], resamples=5, map_resamples=2)[0]
        for hierarchy in (val, federated)
    )
    one, other = plain["zero_shot"]["cosine"], known["zero_shot"]["cosine"]
    assert one["accuracy"] == other["accuracy"]
    assert other["map"]["value"] > one["map"]["value"]  # images without the class no longer count against it
    assert any("federated" in note for note in known["zero_shot_about"]["notes"])


def test_many_classes_are_scored_in_blocks(make_hierarchy, monkeypatch):
    train, val = make_hierarchy(0, images=12), make_hierarchy(1, images=10)
    support = draw_support(train, val)
    given = (embedded(val, 3, 1.0), val, embedded(train, 4, 1.0)[support.nodes], support, 1.0)
    whole = evaluate_zero_shot(*given, resamples=5, map_resamples=2)
    monkeypatch.setattr("hf_hyperbolic.evaluation.zero_shot_judge._CLASS_BLOCK", 2)
    blocks = evaluate_zero_shot(*given, resamples=5, map_resamples=2)
    assert whole[0] == blocks[0]


def test_what_the_model_was_trained_on_is_said(make_hierarchy):
    val = make_hierarchy(1)
    support = draw_support(val, val)
    embeds = embedded(val, 3, 1.0)
    said = {}
    for here in (False, True, None):
        result, _ = evaluate_zero_shot(
            embeds, val, embeds[support.nodes], support, None, ["cosine"], resamples=5, map_resamples=2,
            trained_here=here,
        )  # fmt: skip
        assert result["zero_shot_about"]["trained_here"] is here
        said[here] = result["zero_shot_about"]["notes"]
    assert said[False] == []
    assert "not zero-shot" in said[True][0]
    assert "not known" in said[None][0]


def test_average_precision_has_an_interval_where_it_is_quoted_or_asked_for(make_hierarchy):
    val = make_hierarchy(1)
    support = draw_support(val, val)
    embeds = embedded(val, 3, 1.0)
    given = (embeds, val, embeds[support.nodes], support, 1.0)
    every = evaluate_zero_shot(*given, resamples=5, map_resamples=20)[0]["zero_shot"]
    named = evaluate_zero_shot(*given, ["beta"], resamples=5, map_resamples=20)[0]["zero_shot"]
    for measure, figures in every.items():
        assert figures["accuracy"]["low"] is not None
        assert (figures["map"]["low"] is not None) == (measure == "distance")
    assert every["beta"]["map"]["value"] == named["beta"]["map"]["value"]
    assert named["beta"]["map"]["low"] <= named["beta"]["map"]["value"] <= named["beta"]["map"]["high"]


def test_embeddings_that_do_not_fit_are_refused(make_hierarchy):
    val = make_hierarchy(1)
    support = draw_support(val, val)
    with pytest.raises(ValueError, match="one row for each"):
        evaluate_zero_shot(torch.zeros(3, 4), val, torch.zeros(len(support.nodes), 4), support, 1.0)
    with pytest.raises(ValueError, match="at least 1"):
        draw_support(val, val, shots=0)


def test_interval_of_average_precision_holds_its_value_though_resampling_raises_it(make_hierarchy):
    """Many classes of few boxes, no content: copies of a lucky box would lift every resample above the figure."""
    train, val = make_hierarchy(0, images=40, classes=40), make_hierarchy(1, images=25, classes=40)
    support = draw_support(train, val)
    noise = torch.randn(val.num_nodes, 6, generator=torch.Generator().manual_seed(0))
    result, _ = evaluate_zero_shot(noise, val, embedded(train, 4, 0.1)[support.nodes], support, 1.0, ["cosine"])
    for name in ("map", "map_50"):
        figure = result["zero_shot"]["cosine"][name]
        assert figure["low"] < figure["value"] < figure["high"]
