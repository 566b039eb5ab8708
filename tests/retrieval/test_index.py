from io import BytesIO

import numpy as np
import pytest
import torch
from colour_encoder import ColourEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import MEASURES, index_filter, scores
from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.index_build import build_index
from hf_hyperbolic.retrieval.qdrant_requests import condition

CURVATURE = 0.5


def points(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def make(path, rows, shard_rows=7, dtype="float32", labels=None, encoder=None):
    with Index.create(path, encoder or ColourEncoder(), dtype, shard_rows=shard_rows) as writer:
        if len(rows):
            writer.add(ids=[f"i{n}" for n in range(len(rows))], embeddings=rows, labels=labels)
    return Index.open(path)


def naive(queries, gallery, k, measure, direction, rows=None):
    """Score all, sort, ties to the lower row."""
    rows = np.arange(len(gallery)) if rows is None else np.asarray(rows)
    found = scores(torch.from_numpy(queries), torch.from_numpy(gallery[rows]), measure, direction, CURVATURE).numpy()
    order = np.argsort(-found, axis=1, kind="stable")[:, :k]
    return rows[order], np.take_along_axis(found, order, 1)


@pytest.fixture
def scenes(tmp_path, encoder, source):
    build_index(tmp_path / "index", encoder, source, "data", "val", shard_rows=14, batch_size=7, progress=False)
    return Index.open(tmp_path / "index", encoder)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("direction", ["children", "parents"])
def test_search_over_shards_is_that_of_one_gallery(tmp_path, measure, direction):
    gallery, queries = points(40), points(3, 1)
    results = make(tmp_path / "index", gallery).search(queries, 9, measure, direction)
    rows, expected = naive(queries, gallery, 9, measure, direction)
    for query, found in enumerate(results):
        assert [item.row for item in found] == rows[query].tolist()
        np.testing.assert_allclose([item.score for item in found], expected[query], atol=1e-5)
        assert [item.id for item in found] == [f"i{row}" for row in rows[query]]
        assert (found.measure, found.direction, found.candidates) == (measure, direction, 40)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(0, 30), shard_rows=st.integers(1, 31), k=st.integers(1, 40))
def test_shards_make_no_difference(tmp_path_factory, rows, shard_rows, k):
    gallery = points(rows)
    # ties, in one shard and across shards
    gallery[rows // 2 :] = gallery[: rows - rows // 2]
    found = make(tmp_path_factory.mktemp("index") / "index", gallery, shard_rows).search(points(2, 3), k, "distance")
    expected, _ = naive(points(2, 3), gallery, k, "distance", "children")
    assert [[item.row for item in one] for one in found] == expected.tolist()
    assert {len(one) for one in found} == {min(k, rows)}


def test_an_empty_index(tmp_path):
    index = make(tmp_path / "index", points(0), encoder=ColourEncoder())
    (found,) = index.search(points(1), 5)
    assert (len(index), len(found), found.candidates, index.classes()) == (0, 0, 0, {})
    assert repr(found) == "no item competes as children"
    index = Index.open(tmp_path / "index", ColourEncoder())
    image = Image.new("RGB", (20, 20), "red")
    assert len(index.parents(image)) == len(index.children(image)) == len(index.path(image)) == 0
    with pytest.raises(ValueError, match="unknown measure 'nearness'"):
        index.search(points(1), 5, "nearness")


def test_more_asked_for_than_there_is(tmp_path):
    index = make(tmp_path / "index", points(10))
    assert sorted(item.row for item in index.search(points(1), 500)[0]) == list(range(10))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="k must be at least 1"):
            index.search(points(1), wrong)
        with pytest.raises(ValueError, match="k must be at least 1"):
            index.children(3, wrong)


def test_queries_that_make_no_sense(tmp_path):
    index = make(tmp_path / "index", points(10))
    with pytest.raises(ValueError, match=r"shape \(1, 3\), expected \(n, 4\)"):
        index.search(points(1)[:, :3])
    with pytest.raises(ValueError, match="NaN or infinite"):
        index.search(np.full((1, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="unknown direction 'siblings'"):
        index.search(points(1), direction="siblings")
    with pytest.raises(IndexError, match=r"rows must lie in \[0, 10\), got 10 to 10"):
        index.children(10)
    with pytest.raises(KeyError, match="no item with the id 'i10'"):
        index.row("i10")
    assert index.row("i9") == 9
    with pytest.raises(ValueError, match="box is of an image"):
        index.children(3, box=(0, 0, 1, 1))
    with pytest.raises(ValueError, match="an embedding is of one box"):
        index.children(points(1)[0], box=(0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"shape \(1, 4\), expected \(4,\)"):
        index.children(points(1))
    with pytest.raises(ValueError, match="NaN or infinite"):
        index.parents(np.full(4, np.nan, np.float32))


def test_an_embedding_is_a_query_like_a_row_but_leaves_nothing_out(tmp_path):
    index = make(tmp_path / "index", points(10))
    embedding = index.embeddings([3])[0]
    for ask in (index.parents, index.children):
        found = {item.row: item.score for item in ask(embedding, 20)}
        assert 3 in found
        assert {row: score for row, score in found.items() if row != 3} == {item.row: item.score for item in ask(3, 20)}
    assert index.path(embedding)[0].row == 3


def test_nan_of_the_query_image_is_named(tmp_path, data):
    make(tmp_path / "index", points(10))
    index = Index.open(tmp_path / "index", ColourEncoder())
    index.encoder.encode_crops = lambda crops, batch_size=0: np.full((1, 4), np.nan, np.float32)
    with pytest.raises(ValueError, match=r"NaN or infinite embeddings for 1 of 1 items: '.*val0\.png'"):
        index.children(data / "images" / "val0.png")


def test_float16_is_searched_as_stored(tmp_path):
    gallery = points(30)
    index = make(tmp_path / "index", gallery, dtype="float16")
    rows, _ = naive(points(1, 5), gallery.astype(np.float16).astype(np.float32), 30, "distance", "children")
    assert [item.row for item in index.search(points(1, 5), 30, "distance")[0]] == rows[0].tolist()
    with pytest.raises(ValueError, match=r"beyond the range of float16 \(the largest component is 1e\+06\)"):
        make(tmp_path / "far", np.full((1, 4), 1e6, np.float32), dtype="float16")


def test_candidates_by_direction(scenes, encoder, source):
    hierarchy_size = len(scenes)
    items = scenes.items(range(hierarchy_size))
    embeddings = scenes.embeddings(range(hierarchy_size))
    image = Image.new("RGB", (50, 50), (200, 30, 60))
    query = encoder.encode([image])
    parents = [row for row, item in enumerate(items) if item["label"] in (None, "house", "door")]
    children = [row for row, item in enumerate(items) if item["label"] is not None]
    for found, rows, measure, direction in (
        (scenes.parents(image, 5), parents, "distance", "parents"),
        (scenes.children(image, 5), children, "beta", "children"),
        (scenes.children(image, 5, measure="cosine"), children, "cosine", "children"),
    ):
        expected, values = naive(query, embeddings, 5, measure, direction, rows)
        assert [item.row for item in found] == expected[0].tolist()
        np.testing.assert_allclose([item.score for item in found], values[0], atol=1e-5)
        assert (found.measure, found.direction, found.candidates) == (measure, direction, len(rows))
        assert found[0].label == items[found[0].row]["label"]


def test_where(scenes):
    image = Image.new("RGB", (50, 50), (200, 30, 60))
    assert {item.label for item in scenes.children(image, 50, where={"class": "door"})} == {"door"}
    assert {item.label for item in scenes.children(image, 50, where={"class": ["door", "tree"]})} == {"door", "tree"}
    assert {item.level for item in scenes.children(image, 50, where={"level": "part"})} == {2}
    assert {item.level for item in scenes.children(image, 50, where={"level": [1, "3"]})} == {1, 3}
    both = scenes.children(image, 50, where={"class": ["house", "door"], "level": 1})
    assert {item.label for item in both} == {"house"}
    assert len(both) == both.candidates == 12
    assert len(scenes.parents(image, where={"class": "tree"})) == 0  # trees hold nothing
    assert len(scenes.children(image, 50, where={"split": "val"})) == 48
    assert [item.id for item in scenes.parents(image, where={"id": "val/val3"})] == ["val/val3"]
    for where, message in (
        ({"colour": "red"}, "no column 'colour': choose from class, label, level, split, id, image"),
        ({"class": "hose"}, "no item has class 'hose': did you mean house?"),
        ({"class": ["door", "zebra"]}, "no item has class 'zebra': there is door, handle, house, tree"),
        ({"split": "train"}, "no item has split 'train': there is val"),
        ({"level": 9}, "no item has level 9: there is 0, 1, 2, 3"),
        ({"level": "objects"}, "level is a number from 0 or one of scene, object, part"),
    ):
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            scenes.children(image, where=where)


def test_the_item_itself_is_no_answer(scenes):
    row = scenes.row("val/val2#0")
    assert row not in [item.row for item in scenes.parents(row, 100)]
    assert len(scenes.parents(row, 100)) == 35  # scenes, houses and doors, less this house
    item = scenes.items([row])[0]
    by_file = scenes.parents(item["image"], 100, box=item["box"])
    assert [found.row for found in by_file] == [found.row for found in scenes.parents(row, 100)]
    with Image.open(item["image"]) as image:
        assert [found.row for found in scenes.parents(image, 100, box=item["box"])] == [found.row for found in by_file]
        # a picture that is nowhere may well be in the index
        assert len(scenes.parents(image.copy().convert("RGB"), 100, box=item["box"])) == 36
    assert scenes.parents(item["image"], 100).candidates == 35  # not that scene


def test_path_is_the_nearest_item_at_each_step(scenes):
    row, steps = scenes.row("val/val5#1"), 30
    found = scenes.path(row, steps=steps)
    embeddings = torch.from_numpy(scenes.embeddings(range(len(scenes))))
    points_on_it = lorentz.geodesic_to_origin(embeddings[row], steps, CURVATURE)
    met = {}
    for step, point in enumerate(points_on_it[:-1]):
        distance = lorentz.distance(point, embeddings, CURVATURE)
        distance[row] = torch.inf
        met.setdefault(int(distance.argmin()), (step / (steps - 1), -float(distance.min())))
    assert [item.row for item in found] == list(met)
    np.testing.assert_allclose([(item.at, item.score) for item in found], list(met.values()), atol=1e-4)
    assert found[0].at == 0
    assert f"{found[-1].at:.2f}" in repr(found)
    assert {item.label for item in scenes.path(row, where={"class": "house"})} == {"house"}
    with pytest.raises(ValueError, match="steps must be at least 2"):
        scenes.path(row, steps=1)


def test_no_path_without_curvature(tmp_path):
    make(tmp_path / "index", points(3), encoder=ColourEncoder(curvature=None))
    with pytest.raises(ValueError, match="a model without curvature"):
        Index.open(tmp_path / "index").path(0)


def test_results_print_and_slice(scenes):
    found = scenes.children(scenes.row("val/val0"), 4)
    lines = repr(found).splitlines()
    assert lines[0].split() == ["beta", "what", "level", "box", "id", "image"]
    assert len(lines) == 5
    assert found[0].id in lines[1]
    assert [*found[1:3]] == [*found][1:3]
    assert repr(found[1:3]).count("\n") == 2
    assert found.as_dict()["results"][0]["row"] == found[0].row


def test_opening_reads_no_shard_and_loads_no_model(scenes, monkeypatch):
    from hf_hyperbolic.retrieval import index_rows as module

    monkeypatch.setattr(module, "map_shard", lambda *arguments: pytest.fail("a shard was read"))
    opened = Index.open(scenes.folder)
    assert "60 items, curvature -0.5, of /once/here/colours" in repr(opened)
    assert len(opened) == 60


def test_a_model_that_has_moved(scenes):
    with pytest.raises(FileNotFoundError, match=r"model /once/here/colours that made .* cannot be loaded: give"):
        Index.open(scenes.folder).children(Image.new("RGB", (9, 9)))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Index.open(scenes.folder, "/no/where").children(Image.new("RGB", (9, 9)))


def test_add_images_in_python(tmp_path, data, encoder):
    files = sorted((data / "images").glob("val*.png"))[:3]
    with Index.create(tmp_path / "index", encoder, thumbnails=16) as writer:
        writer.add(files, ids=["a", "b", "c"], labels=["x", None, "x"])
        writer.add([Image.open(files[0])], ids=["d"], boxes=[(10, 10, 50, 60)], files=[files[0]])
        with pytest.raises(ValueError, match="id 'a' is in the index already"):
            writer.add(files[:1], ids=["a"])
        with pytest.raises(ValueError, match="labels: 1 for 2 ids"):
            writer.add(files[:2], ids=["e", "f"], labels=["x"])
        with pytest.raises(ValueError, match="either images or embeddings"):
            writer.add(ids=["e"])
        with pytest.raises(ValueError, match=r"embeddings have shape \(1, 3\), expected \(n, 4\)"):
            writer.add(ids=["e"], embeddings=np.zeros((1, 3)))
        with pytest.raises(ValueError, match="NaN or infinite embeddings for 1 of 2 items: 'f'"):
            writer.add(ids=["e", "f"], embeddings=np.array([[0, 0, 0, 1], [0, np.nan, 0, 0]]))
    index = Index.open(tmp_path / "index", encoder)
    assert index.classes() == {"x": 2}
    items = index.items(range(4))
    assert [item["image"] for item in items] == [str(file) for file in (*files, files[0])]
    assert items[3]["box"] == [10, 10, 50, 60]
    assert all(item["thumbnail"][:2] == b"\xff\xd8" for item in items)
    np.testing.assert_array_equal(
        index.embeddings(range(4)),
        encoder.encode([Image.open(file) for file in (*files, files[0])], [None, None, None, (10, 10, 50, 60)]),
    )
    with Index.append(tmp_path / "index", encoder) as writer, pytest.raises(ValueError, match="id 'd' is in"):
        writer.add(files[:1], ids=["d"])


def test_candidates_are_those_that_compete_beside_the_query(scenes):
    embeddings = scenes.embeddings(range(len(scenes)))
    items = scenes.items(range(len(scenes)))
    scene, tree, door = scenes.row("val/val2"), scenes.row("val/val2#3"), scenes.row("val/val2#1")
    for row in (scene, tree, door):
        for direction, flag in (("children", "can_be_child"), ("parents", "can_be_parent")):
            for where in (None, {"class": "door"}, {"class": ["tree", "house"]}):
                competing = [
                    other
                    for other, item in enumerate(items)
                    if other != row and item[flag] and (where is None or item["label"] in np.atleast_1d(where["class"]))
                ]
                found = getattr(scenes, direction)(row, 100, where=where)
                assert found.candidates == len(competing), (row, direction, where)
                assert sorted(item.row for item in found) == competing
    assert scenes.path(scene, where={"class": "door"}).candidates == 12
    assert scenes.path(door, where={"class": "door"}).candidates == 11
    assert scenes.path(door).candidates == len(embeddings) - 1


def test_what_competes_is_found_once_and_all_rows_are_none(scenes, monkeypatch):
    calls = []
    passing = index_filter.passing
    monkeypatch.setattr(index_filter, "passing", lambda *arguments: calls.append(1) or passing(*arguments))
    first = scenes.children(0, 5, where={"class": "door"})
    shards = len(scenes.manifest.shards)
    assert len(calls) == shards
    again = scenes.children(0, 5, where={"class": ["door"]})
    assert ([item.row for item in again], len(calls)) == ([item.row for item in first], shards)
    scenes.parents(0, 5, where={"class": "door"})
    assert len(calls) == 2 * shards
    for number in range(9):
        scenes.children(0, 5, where={"id": f"val/val{number}"})
    assert [item.row for item in scenes.children(0, 5, where={"class": "door"})] == [item.row for item in first]
    # of a filter that everything passes, nothing is gathered
    assert set(scenes._competing.rows({"split": "val"}, None).values()) == {None}


def test_a_filter_without_values(scenes):
    for empty in ([], (), np.array([])):
        with pytest.raises(ValueError, match=r"where\['class'\] is empty: give the values to keep"):
            scenes.children(0, where={"class": empty})
        with pytest.raises(ValueError, match=r"where\['class'\] is empty: give the values to keep"):
            condition({"class": empty}, {"class": "keyword"})


def test_boxes_of_an_image_that_exif_turns(tmp_path, encoder):
    pixels = np.zeros((60, 40, 3), np.uint8)
    pixels[5:25, 5:25] = (250, 20, 20)
    shown = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    shown.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    with Index.create(tmp_path / "index", encoder, thumbnails=16) as writer:
        turned = Image.open(tmp_path / "turned.png")
        assert turned.size == (60, 40)
        writer.add([turned, tmp_path / "turned.png"], ids=["object", "file"], boxes=[(5, 5, 25, 25)] * 2)
        writer.add([turned], ids=["whole"])
    index = Index.open(tmp_path / "index", encoder)
    for item in index.items([0, 1]):
        small = Image.open(BytesIO(item["thumbnail"]))
        assert np.abs(np.asarray(small).astype(int) - [250, 20, 20]).max() < 12
    whole = Image.open(BytesIO(index.items([2])[0]["thumbnail"]))
    assert whole.size[0] < whole.size[1]
    np.testing.assert_array_equal(index.embeddings([0, 1]), np.repeat(encoder.encode([shown], [(5, 5, 25, 25)]), 2, 0))


def test_an_item_with_a_box_is_no_scene(tmp_path, encoder):
    with Index.create(tmp_path / "index", encoder) as writer:
        writer.add(ids=["a", "b", "c"], embeddings=points(3), boxes=[None, (0, 0, 5, 5), None])
    index = Index.open(tmp_path / "index", encoder)
    assert [item["level"] for item in index.items(range(3))] == [0, 1, 0]
    assert [item.id for item in index.children(0, where={"level": "object"})] == ["b"]


@pytest.mark.parametrize("where", [{"colour": "red"}, {"class": "hose"}])
def test_a_wrong_filter_is_an_error_before_the_model_is_loaded(tmp_path, encoder, source, data, where):
    build_index(tmp_path / "index", encoder, source, "data", "val", progress=False)
    # the model that made it is nowhere
    index = Index.open(tmp_path / "index")
    image = data / "images" / "val0.png"
    for ask in (index.children, index.parents, index.path):
        for query in ({"image": image}, {"text": "a door"}):
            with pytest.raises(ValueError, match=r"where: no (column|item)"):
                ask(**query, where=where)
    with pytest.raises(OSError, match="cannot be loaded"):
        index.children(image, where={"class": "door"})
