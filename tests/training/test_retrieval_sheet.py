"""The sheet of what is retrieved shows what is best by the score, framed by whether it counts."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.draw import Sheet
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.sources import load_split

pytest.importorskip("matplotlib")
from hf_hyperbolic.training import retrieval_sheet as module
from hf_hyperbolic.training.retrieval_sheet import retrieval_sheet

MEASURES = {"children": "cosine", "parents": "cosine"}


@pytest.fixture
def split(data):
    return load_split(TrainArguments(data=str(data)), "val")


def drawn(split, embeds, monkeypatch, **settings):
    added = []
    monkeypatch.setattr(Sheet, "add", lambda self, place, picture, caption: added.append((place, picture, caption)))
    sheet = retrieval_sheet(embeds, split.hierarchy, split.images(1 << 20), MEASURES, None, **settings)
    return sheet, added


def test_rows_are_queries_and_their_best(split, monkeypatch):
    embeds = np.random.default_rng(0).normal(size=(split.hierarchy.num_nodes, 8)).astype(np.float32)
    sheet, added = drawn(split, embeds, monkeypatch, top=3, cell=48)
    assert isinstance(sheet, Image.Image)
    assert [place for place, _, _ in added] == list(range(len(added)))  # no gap: each has three results
    titles = [caption for place, _, caption in added if place % 4 == 0]
    assert titles[0] == "children of scene"
    assert [title.split(" of ")[0] for title in titles[1:4]] == ["parents", "children", "parents"]
    assert any(title.startswith("wholes of ") for title in titles)
    # the first row against a ranking by a plain loop
    query = next(
        node
        for node in range(split.hierarchy.num_images)
        if np.array_equal(inner(added[0][1]), inner(crop(split, node, 48)))
    )
    boxes = [
        node
        for node in range(split.hierarchy.num_images, split.hierarchy.num_nodes)
        if split.hierarchy.active()[node]
    ]  # fmt: skip

    def cosine(node):
        return embeds[query] @ embeds[node] / np.linalg.norm(embeds[query]) / np.linalg.norm(embeds[node])

    best = sorted(boxes, key=cosine, reverse=True)[:3]
    held = split.hierarchy.ancestry[split.hierarchy.ancestry[:, 0] == query, 1]
    wanted = set(split.hierarchy.node_label[held].tolist())
    for (_, picture, caption), node in zip(added[1:4], best, strict=True):
        assert np.array_equal(inner(picture), inner(crop(split, node, 48)))
        colour = module._RIGHT if split.hierarchy.node_label[node] in wanted else module._WRONG
        assert picture.getpixel((0, 0)) == ImageColor.getrgb(colour)
        assert caption.startswith(split.hierarchy.class_names[split.hierarchy.node_label[node]])


def test_the_same_queries_each_time(split, monkeypatch):
    rng = np.random.default_rng(0)
    sheets = [
        drawn(split, rng.normal(size=(split.hierarchy.num_nodes, 8)).astype(np.float32), monkeypatch, top=3, cell=32)[1]
        for _ in range(2)
    ]
    queries = [[np.asarray(picture) for place, picture, _ in added if place % 4 == 0] for added in sheets]
    assert all(np.array_equal(first, second) for first, second in zip(*queries, strict=True))


def crop(split, node, cell):
    crops, _, _ = node_crops(split.images(0), split.hierarchy, np.array([node]), cell, mode="pad")
    return Image.fromarray(crops[0])


def inner(picture):
    """Without the frame."""
    return np.asarray(picture)[4:-4, 4:-4]
