"""What the page shows: places in the disk, and HTML in which nothing strange is run."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")  # the disk takes its projection from the report

from answers import Subject
from cards import examples_html, path_html, results_html
from disk import MOST_POINTS, Disk, sample_by_level
from PIL import Image

from hf_hyperbolic.lorentz import radius
from hf_hyperbolic.retrieval.index_results import Found, Results


@pytest.fixture(scope="module")
def disk(answers):
    return Disk.of(answers.index)


def test_every_point_lies_at_its_distance_from_the_origin(answers, disk):
    import torch

    points = np.array(disk.cloud["points"])
    assert 0 < len(points) <= min(MOST_POINTS, len(answers.index))
    embeddings = torch.from_numpy(answers.index.embeddings(points[:, 3].astype(int))).double()
    c = answers.index.curvature
    expected = np.tanh(np.sqrt(c) * radius(embeddings, c).numpy() / 2)
    assert np.allclose(np.linalg.norm(points[:, :2], axis=1), expected, atol=2e-4)


def test_the_way_leads_straight_from_the_query_to_the_origin(answers, disk):
    subject, box = answers.of_row(7)
    shown = disk.answer(answers.ask(subject, box, "parents", 4))
    way = np.array(shown["way"])
    assert np.allclose(way[0], shown["query"], atol=2e-4)
    assert np.array_equal(way[-1], [0, 0])
    x, y = shown["query"]
    assert np.abs(way[:, 0] * y - way[:, 1] * x).max() < 2e-4
    assert np.all(np.diff(np.linalg.norm(way, axis=1)) < 0)
    assert [item["row"] for item in shown["results"]] == [item.row for item in answers.index.parents(7, 4)]


def test_an_item_has_one_place_in_cloud_and_answer(answers, disk):
    place = {row: (x, y) for x, y, _, row in disk.cloud["points"]}
    subject, box = answers.of_row(7)
    shown = disk.answer(answers.ask(subject, box, "parents", 4))
    both = [item for item in shown["results"] if item["row"] in place]
    assert both
    assert all(np.allclose(place[item["row"]], (item["x"], item["y"]), atol=1e-3) for item in both)


def test_rare_levels_are_drawn_whole():
    levels = np.array([0] * 5 + [1] * 1000 + [2] * 3000)
    rows = sample_by_level(levels, 205)
    assert np.bincount(levels[rows]).tolist() == [5, 100, 100]
    assert np.array_equal(rows, np.unique(rows))
    assert len(sample_by_level(levels[:50], 200)) == 50


class Nasty:
    """Answers about one item with a name that would run."""

    name = "<img src=x onerror=alert(1)>"

    def names(self, rows):
        return [self.name for _ in rows]

    def thumbnails(self, rows):
        return [None for _ in rows]


def test_names_are_escaped():
    found = Results([Found(1.0, 3, '"><script>', Nasty.name, None, None, 0, None, None, 0.5)], "beta", "parents", 9)
    subject = Subject(Image.new("RGB", (9, 9)), (), Nasty.name)
    pages = [
        results_html(Nasty(), found, "t", "n"),
        path_html(Nasty(), subject, None, found),
        examples_html(Nasty(), [(3, "parents")]),
    ]
    for page in pages:
        assert "<img src=x" not in page
        assert "<script>" not in page
        assert "&lt;img src=x onerror" in page
        assert 'data-row="3"' in page


def test_an_empty_answer_says_so():
    empty = Results([], "beta", "parents", 0)
    assert "Nothing in the index" in results_html(Nasty(), empty, "t", "n")
    assert "no origin" in path_html(Nasty(), Subject(Image.new("RGB", (9, 9)), (), ""), None, None)
