"""Galleries: the best come first, and the marks are those of a naive check."""

import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation.scorer import EmbeddingScorer
from hf_hyperbolic.report.gallery import galleries, render_gallery, score_text, search


def descendants(hierarchy, node):
    """Walks the direct tree."""
    below = [int(child) for parent, child in hierarchy.direct if parent == node]
    return below + [deeper for child in below for deeper in descendants(hierarchy, child)]


def is_right(hierarchy, query, found, direction):
    """What the protocols call right, one pair at a time."""
    parent, child = (query, found) if direction == "children" else (found, query)
    return hierarchy.node_label[child] in [hierarchy.node_label[node] for node in descendants(hierarchy, parent)]


@pytest.fixture
def found(split):
    ways = {"children": "beta", "parents": "alpha"}
    scorers = {way: EmbeddingScorer(split.embeds, measure, split.curvature) for way, measure in ways.items()}
    return galleries(split.hierarchy, scorers, ways, queries_per_level=3)


def test_every_level_is_asked_in_each_direction_it_has(found):
    assert [gallery.title for gallery in found] == [
        "Scene → children", "Object → parents", "Object → children", "Part → parents", "Part → parents, among boxes",
    ]  # fmt: skip
    assert all(len(gallery.rows) == 3 for gallery in found)


def test_marks_equal_a_naive_check(split, found):
    hits = [(row, hit) for gallery in found for row in gallery.rows for hit in row.hits]
    verdicts = {hit.right for _, hit in hits}
    assert verdicts == {True, False}, "with marks all alike this would check nothing"
    for row, hit in hits:
        assert hit.right == is_right(split.hierarchy, row.query, hit.node, row.direction)
        assert hit.own_image == (split.hierarchy.node_image[hit.node] == split.hierarchy.node_image[row.query])
        assert hit.node != row.query


def test_hits_are_the_best_and_chance_is_the_share_that_counts(split):
    h = split.hierarchy
    scorer = EmbeddingScorer(split.embeds, "alpha", split.curvature)
    query, scenes = h.num_images + 1, np.arange(h.num_images)
    row = search(h, scorer, query, scenes, "parents", top=5)
    scores = scorer(np.array([query]), scenes, "parents")[0].numpy()
    assert [hit.node for hit in row.hits] == np.argsort(-scores, kind="stable")[:5].tolist()
    assert [hit.score for hit in row.hits] == pytest.approx(sorted(scores, reverse=True)[:5])
    assert row.chance == np.mean([is_right(h, query, scene, "parents") for scene in scenes])


def test_queries_take_no_class_twice_while_others_are_left(split, found):
    among_parts = next(gallery for gallery in found if gallery.title == "Part → parents")
    labels = [int(split.hierarchy.node_label[row.query]) for row in among_parts.rows]
    # three rows, two classes of parts
    assert len(set(labels)) == 2
    assert len({row.query for row in among_parts.rows}) == 3


def test_html_says_right_and_wrong_in_words_and_escapes_names(split, found):
    for gallery in found:
        text = render_gallery(gallery, split.hierarchy, split.crop_of)
        hits = [hit for row in gallery.rows for hit in row.hits]
        assert text.count('aria-label="right"') == sum(hit.right for hit in hits)
        assert text.count('aria-label="wrong"') == sum(not hit.right for hit in hits)
        assert text.count("✓") == sum(hit.right for hit in hits)
        assert text.count(">own image<") == sum(hit.own_image for hit in hits)
        assert "<b>door" not in text
    together = "".join(render_gallery(gallery, split.hierarchy, split.crop_of) for gallery in found)
    assert "&lt;b&gt;door&lt;/b&gt;" in together


@pytest.mark.parametrize(
    ("score", "measure", "expected"),
    [(np.pi, "beta", "180.0°"), (np.pi / 2, "euclidean_alpha", "90.0°"), (-1.5, "distance", "1.500"),
     (-0.25, "cosine", "-0.250"), (0.5, "alpha+centred", "0.500")],
)  # fmt: skip
def test_scores_as_they_are_written(score, measure, expected):
    assert score_text(score, measure) == expected


def test_whole_image_boxes_are_never_retrieved(split):
    h = split.hierarchy
    marked = h.__class__(**{**vars(h), "node_is_scene_duplicate": np.arange(h.num_nodes) == h.num_images})

    def scorer(queries, gallery, direction):
        return torch.from_numpy((gallery == h.num_images).astype(np.float32))[None]

    row = search(marked, scorer, 0, np.arange(h.num_images, h.num_nodes), "children")
    assert h.num_images not in [hit.node for hit in row.hits]
