"""What the demo answers is what the index answers, in both directions, beside cosine."""

import numpy as np
import pytest
from answers import Answers, QuestionError, Subject, checked_box, parse_box, plain
from PIL import Image

from hf_hyperbolic.retrieval import Index


def some_part(answers):
    """A row at level 2 or below."""
    levels = np.concatenate([table["level"].to_numpy() for table in answers.index.tables()])
    return int(np.flatnonzero(levels >= 2)[0])


@pytest.mark.parametrize("direction", ["parents", "children"])
def test_an_item_is_answered_as_the_index_answers_it(answers, direction):
    row = some_part(answers)
    subject, box = answers.of_row(row)
    answer = answers.ask(subject, box, direction, 5)
    assert answer.row == row
    expected = getattr(answers.index, direction)(row, 5)
    assert [(item.row, item.score) for item in answer.hierarchy] == [(item.row, item.score) for item in expected]
    assert [item.row for item in answer.path] == [item.row for item in answers.index.path(row)]


def test_plain_similarity_is_cosine_over_all_other_items(answers):
    row = some_part(answers)
    subject, box = answers.of_row(row)
    answer = answers.ask(subject, box, "parents", 6)
    every = answers.index.embeddings(np.arange(len(answers.index)))
    units = every / np.linalg.norm(every, axis=1, keepdims=True)
    cosines = units @ units[row]
    cosines[row] = -2
    best = np.argsort(-cosines, kind="stable")[:6]
    assert np.allclose([item.score for item in answer.similarity], cosines[best], atol=1e-5)
    assert answer.similarity.candidates == len(every) - 1


def test_the_same_items_may_compete_in_both(answers):
    subject, box = answers.of_row(some_part(answers))
    answer = answers.ask(subject, box, "parents", 6, same_candidates=True)
    assert answer.similarity.candidates == answer.hierarchy.candidates < len(answers.index) - 1
    assert answer.similarity.measure == "cosine"


def test_a_box_of_a_picture_that_is_not_in_the_index_is_embedded(answers):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60, 3)).astype(np.uint8))
    answer = answers.ask(Subject(image, (), "mine"), (5, 5, 40, 300), "children", 4)
    assert answer.row is None
    expected = answers.index.children(image, 4, (5, 5, 40, 80))
    assert [item.row for item in answer.hierarchy] == [item.row for item in expected]
    assert np.allclose(answer.embedding, answers.index.encoder.encode([image], [(5, 5, 40, 80)])[0])


def test_every_box_of_an_items_picture_is_known(answers):
    row = some_part(answers)
    subject, box = answers.of_row(row)
    items = answers.index.items(range(len(answers.index)))
    image = items[row]["image"]
    assert {known.row for known in subject.known} == {n for n, item in enumerate(items) if item["image"] == image}
    assert subject.row(box) == row
    assert subject.row(None) == next(known.row for known in subject.known if known.box is None)
    assert subject.row((0, 0, 3, 3.5)) is None
    assert subject.image.size == (192, 192)


def test_without_its_images_the_thumbnail_is_the_picture(index_folder, tmp_path):
    import shutil

    import pyarrow as pa

    from hf_hyperbolic.retrieval.index_manifest import Manifest
    from hf_hyperbolic.retrieval.index_shards import map_shard, write_shard

    manifest = Manifest.read(index_folder)
    shard = map_shard(index_folder, manifest, 0)
    images = pa.array([f"test/{image.rpartition('/')[2]}" for image in shard.items["image"].to_pylist()])
    moved = shard.items.set_column(shard.items.schema.get_field_index("image"), "image", images)
    embeddings, manifest.shards = shard.embeddings.float().numpy(), []
    (tmp_path / "index").mkdir()
    manifest.shards.append(write_shard(tmp_path / "index", manifest, embeddings, moved))
    manifest.write(tmp_path / "index")

    bare = Answers(Index.open(tmp_path / "index"))
    subject, box = bare.of_row(5)
    assert box is None
    assert max(subject.image.size) <= 48
    assert bare.ask(subject, None, "parents", 3).row == 5
    shutil.copytree(index_folder.parent / "scenes" / "test", tmp_path / "images" / "test")
    beside = Answers(bare.index, tmp_path / "images")
    subject, box = beside.of_row(5)
    assert subject.image.size == (192, 192)
    assert subject.row(box) == 5


def test_examples_show_both_directions_and_no_class_twice(answers):
    examples = answers.examples()
    assert len(examples) == 8
    assert {direction for _, direction in examples} == {"parents", "children"}
    items = answers.index.items([row for row, _ in examples])
    classes = [item["label"] for item in items if item["label"]]
    assert len(classes) == len(set(classes)) >= 5
    assert all(item["level"] >= 2 for item, (_, way) in zip(items, examples, strict=True) if way == "parents")


def test_a_whole_image_is_called_by_what_is_in_it(answers):
    items = answers.index.items(range(len(answers.index)))
    whole = next(row for row, item in enumerate(items) if item["box"] is None)
    inside = {item["label"] for item in items if item["image"] == items[whole]["image"] and item["level"] == 1}
    (name,) = answers.names([whole])
    assert name
    assert set(name.split(", ")) <= inside


@pytest.mark.parametrize(
    ("text", "box"), [("", None), (None, None), ("1, 2,3 4.5", (1, 2, 3, 4.5)), ("-5,0,3,3", (-5, 0, 3, 3))]
)
def test_boxes_are_read(text, box):
    assert parse_box(text) == box


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "3,0,1,9", "0,0,nan,9", "0,0,inf,9", "1,1,1,1", "1,2,3,4,5"])
def test_other_texts_are_refused(text):
    with pytest.raises(QuestionError, match="x0, y0, x1, y1"):
        parse_box(text)


def test_boxes_outside_and_slivers_are_refused():
    assert checked_box((-5, -5, 20, 500), (100, 60)) == (0, 0, 20, 60)
    assert checked_box((0, 0, 1, 1), (1, 1)) == (0, 0, 1, 1)
    for box in ((200, 0, 300, 50), (10, 10, 11, 50), (-9, -9, 1, 1)):
        with pytest.raises(QuestionError, match="100 x 60"):
            checked_box(box, (100, 60))


@pytest.mark.parametrize(("direction", "k"), [("sideways", 5), ("parents", 0), ("parents", 51)])
def test_questions_out_of_range_are_refused(answers, direction, k):
    subject, box = answers.of_row(3)
    with pytest.raises(QuestionError):
        answers.ask(subject, box, direction, k)


@pytest.mark.parametrize("row", [-1, 10**9])
def test_rows_that_are_not_there_are_refused(answers, row):
    with pytest.raises(QuestionError, match="no item"):
        answers.of_row(row)


def test_plain_results_do_not_say_where_images_lie(answers, index_folder):
    found = plain(answers.index.parents(some_part(answers), 3))
    assert str(index_folder.parent) not in str(found)
    assert found["results"][0]["image"].endswith(".jpg")
