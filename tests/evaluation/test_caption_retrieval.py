"""Recall@k of captions against a naive loop, its chance against random rankings, its ceiling against perfect ones."""

import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation import evaluate_per_query, format_table
from hf_hyperbolic.evaluation.captions import evaluate_captions
from hf_hyperbolic.retrieval.measures import scores

CURVATURE = 0.6
# images 1 and 4 have none; two wordings stand under several images, one twice under the same
OWNER = np.array([0, 0, 0, 2, 2, 3, 5, 5, 6, 7])
TEXTS = ["a", "b", "a", "c", "a", "d", "c", "e", "f", "c"]


@pytest.fixture
def hierarchy(make_hierarchy):
    return make_hierarchy(images=8, boxes=4, classes=6)


def embedded(texts, dim=4, seed=3):
    known = {
        text: torch.randn(dim, generator=torch.Generator().manual_seed(seed + number))
        for number, text in enumerate(sorted({*texts}))
    }
    return torch.stack([known[text] for text in texts])


@pytest.mark.parametrize("measure", ["combined", "distance", "cosine", "alpha", "beta"])
def test_figures_against_a_loop_over_queries(measure, hierarchy, make_embeds):
    embeds, asked = make_embeds(hierarchy), embedded(TEXTS)
    table, values = evaluate_captions(embeds, hierarchy, TEXTS, asked, OWNER, CURVATURE, [measure], ks=(1, 2, 5))
    images = embeds[: hierarchy.num_images]
    down = [
        [float(scores(text[None], image[None], measure, "children", CURVATURE)) for image in images] for text in asked
    ]
    up = [[float(scores(image[None], text[None], measure, "parents", CURVATURE)) for text in asked] for image in images]
    for k in (1, 2, 5):
        right = []
        for caption, row in enumerate(down):
            best = sorted(range(8), key=lambda image: (-round(row[image], 5), image))[:k]
            right.append(float(OWNER[caption] in best))
        np.testing.assert_array_equal(values[f"captions/{measure}/images_recall@{k}"], right)
        assert table[measure][f"images_recall@{k}"]["value"] == pytest.approx(np.mean(right))
        right = []
        for image in (0, 2, 3, 5, 6, 7):
            best = sorted(range(10), key=lambda caption: (-round(up[image][caption], 5), caption))[:k]
            right.append(float(any(OWNER[caption] == image for caption in best)))
        np.testing.assert_array_equal(values[f"captions/{measure}/captions_recall@{k}"], right)
        figure = table[measure][f"captions_recall@{k}"]
        assert figure["value"] == pytest.approx(np.mean(right))
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_chance_is_what_random_rankings_reach(hierarchy):
    rng, drawn = np.random.default_rng(0), []
    texts = [f"caption {number}" for number in range(len(OWNER))]
    for seed in range(200):
        random, asked = (
            torch.from_numpy(rng.normal(size=(rows, 64)).astype(np.float32))
            for rows in (hierarchy.num_nodes, len(OWNER))
        )
        drawn.append(evaluate_captions(random, hierarchy, texts, asked, OWNER, None, ["cosine"], (1, 3), seed, 2)[0])
    for name, figure in drawn[0]["cosine"].items():
        values = [one["cosine"][name]["value"] for one in drawn]
        assert figure["chance"] == pytest.approx(np.mean(values), abs=4 * np.std(values) / 200**0.5)
        assert figure["ceiling"] == 1


def test_a_perfect_model_reaches_the_ceiling_which_captions_of_the_same_words_lower(hierarchy):
    images, wordings = hierarchy.num_images, sorted({*TEXTS})
    own = np.zeros((len(wordings), images))
    np.add.at(own, ([wordings.index(text) for text in TEXTS], OWNER), 1)
    # by cosine an image answers a wording the better, the more often it has it
    asked = torch.from_numpy(own[[wordings.index(text) for text in TEXTS]]).float()
    embeds = torch.zeros(hierarchy.num_nodes, images)
    embeds[:images] = torch.eye(images)
    table, _ = evaluate_captions(embeds, hierarchy, TEXTS, asked, OWNER, None, ["cosine"], ks=(1, 2, 3))
    for k in (1, 2, 3):
        figure = table["cosine"][f"images_recall@{k}"]
        assert figure["value"] == pytest.approx(figure["ceiling"])
    # a: 0, 0, 2; b: 0; c: 2, 5, 7; d: 3; e: 5; f: 6
    assert table["cosine"]["images_recall@1"]["ceiling"] == pytest.approx((2 + 1 + 1 + 1 + 1 + 1) / 10)
    assert table["cosine"]["images_recall@2"]["ceiling"] == pytest.approx(9 / 10)
    # image 7 has c alone, and of three the last
    assert table["cosine"]["captions_recall@1"]["ceiling"] == pytest.approx(5 / 6)
    assert table["cosine"]["captions_recall@2"]["ceiling"] == pytest.approx(5 / 6)
    assert table["cosine"]["captions_recall@3"]["ceiling"] == 1
    # each image ranks captions that are its own, unshared ones first
    alone = torch.zeros(hierarchy.num_nodes, len(wordings))
    best = {0: "b", 2: "c", 3: "d", 5: "e", 6: "f", 7: "c"}
    for image, text in best.items():
        alone[image, wordings.index(text)] = 1
    asked = torch.eye(len(wordings))[[wordings.index(text) for text in TEXTS]]
    found, _ = evaluate_captions(alone, hierarchy, TEXTS, asked, OWNER, None, ["cosine"], ks=(1, 2, 3))
    for k in (1, 2, 3):
        figure = found["cosine"][f"captions_recall@{k}"]
        assert figure["value"] == pytest.approx(figure["ceiling"])


def test_images_are_resampled_with_all_their_captions(hierarchy, make_embeds):
    # one caption repeated is no more evidence than once
    owner, texts = np.repeat(np.arange(8), 5), [str(image) for image in range(8) for _ in range(5)]
    embeds = make_embeds(hierarchy)
    many, _ = evaluate_captions(embeds, hierarchy, texts, embedded(texts), owner, None, ["cosine"])
    once, _ = evaluate_captions(
        embeds, hierarchy, texts[::5], embedded(texts)[::5], np.arange(8), None, ["cosine"]
    )  # fmt: skip
    for k in (1, 5):
        for bound in ("value", "low", "high"):
            name = f"images_recall@{k}"
            assert many["cosine"][name][bound] == pytest.approx(once["cosine"][name][bound])


def test_a_cut_off_beyond_the_gallery(hierarchy, make_embeds):
    found, _ = evaluate_captions(
        make_embeds(hierarchy), hierarchy, ["x", "y"], embedded(["x", "y"]), np.array([1, 3]), None, ["cosine"]
    )
    for name in ("images_recall@10", "captions_recall@5"):
        assert (found["cosine"][name]["value"], found["cosine"][name]["chance"]) == (1, 1)


def test_the_table_has_a_block_of_them(hierarchy, make_embeds):
    embeds = make_embeds(hierarchy)
    result, _ = evaluate_per_query(embeds, hierarchy, CURVATURE)
    found, _ = evaluate_captions(embeds, hierarchy, TEXTS, embedded(TEXTS), OWNER, CURVATURE)
    text = format_table({"ours": result | {"captions": found}, "image only": result}, True)
    block = text[text.index("Captions: ") :]
    assert "image R@1" in block
    assert f"{100 * found['combined']['captions_recall@5']['value']:.1f}" in block
    assert "image only" not in block
    assert "Captions: " not in format_table({"image only": result})


def test_what_does_not_fit_is_named(hierarchy, make_embeds):
    embeds, asked = make_embeds(hierarchy), embedded(TEXTS)
    with pytest.raises(ValueError, match=r"caption_embeds \(9, 4\) and caption_image \(10,\) one for each of 10"):
        evaluate_captions(embeds, hierarchy, TEXTS, asked[:9], OWNER, CURVATURE)
    with pytest.raises(ValueError, match="must have one row for each"):
        evaluate_captions(embeds[1:], hierarchy, TEXTS, asked, OWNER, CURVATURE)
    with pytest.raises(ValueError, match=r"caption_image must lie in \[0, 8\)"):
        evaluate_captions(embeds, hierarchy, TEXTS, asked, OWNER + 1, CURVATURE)
    with pytest.raises(ValueError, match="there is no caption"):
        evaluate_captions(embeds, hierarchy, [], asked[:0], OWNER[:0], CURVATURE)
