"""A phrase as the query of an index."""

import json

import numpy as np
import pytest
from colour_encoder import ColourEncoder
from PIL import Image
from text_models import image_model, text_model, tokenizer

from hf_hyperbolic import make_image_processor
from hf_hyperbolic.cli.main import main
from hf_hyperbolic.phrases import save_processors
from hf_hyperbolic.retrieval import copy_to_qdrant
from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.index_build import build_index


class WordEncoder(ColourEncoder):
    def encode_text(self, phrases, batch_size=256):
        return np.array([[len(phrase), phrase.count("a"), 1, 0] for phrase in phrases], dtype=np.float32)


@pytest.fixture
def index(tmp_path, source):
    build_index(tmp_path / "index", WordEncoder(), source, "data", "val", progress=False)
    return Index.open(tmp_path / "index", WordEncoder())


def test_a_phrase_is_asked_for_by_its_embedding_in_every_direction(index):
    embedding = WordEncoder().encode_text(["a car"])[0]
    for ask in (index.children, index.parents):
        assert [*ask(text="a car", k=7)] == [*ask(embedding, k=7)]
    assert [*index.path(text="a car")] == [*index.path(embedding)]
    found = index.children(text="a car", where={"class": "door"})
    assert {item.label for item in found} == {"door"}


def test_what_is_embedded_may_be_asked_elsewhere(index, tmp_path, data):
    np.testing.assert_array_equal(index.embed(text="a car"), WordEncoder().encode_text(["a car"]))
    image, box = data / "images" / "val0.png", (10, 10, 22, 22)
    np.testing.assert_array_equal(index.embed(image, box), index.encoder.encode([Image.open(image)], [box]))
    with pytest.raises(ValueError, match="by an image or by a text"):
        index.embed()
    pytest.importorskip("qdrant_edge")
    with copy_to_qdrant(index, path=tmp_path / "collection") as copy:
        for direction, ask in (("children", index.children), ("parents", index.parents)):
            where = {"can_be_child" if direction == "children" else "can_be_parent": 1}
            measure = index.encoder.measures[direction]
            found = copy.search(index.embed(text="a car"), 4, measure, direction, where=where)
            expected = ask(text="a car", k=4)
            assert found.scores[0] == pytest.approx([item.score for item in expected], abs=1e-5)


def test_one_query_a_question(index):
    for arguments in ({}, {"image": 0, "text": "a car"}):
        with pytest.raises(ValueError, match="by an image or by a text"):
            index.children(**arguments)
    with pytest.raises(ValueError, match="a text has none"):
        index.parents(text="a car", box=(0, 0, 5, 5))


def test_an_encoder_that_takes_no_text_is_named(tmp_path, source):
    build_index(tmp_path / "index", ColourEncoder(), source, "data", "val", progress=False)
    with pytest.raises(ValueError, match="/once/here/colours takes no text"):
        Index.open(tmp_path / "index", ColourEncoder()).children(text="a car")


def test_an_index_made_before_there_were_words_answers_to_them(tmp_path, data, capsys):
    image_model().save_pretrained(tmp_path / "image")
    make_image_processor(32).save_pretrained(tmp_path / "image")
    words = text_model()
    words.save_pretrained(tmp_path / "text")
    save_processors(tmp_path / "text", make_image_processor(32), tokenizer())
    build = ["index", "build", str(tmp_path / "image"), str(data), str(tmp_path / "index"), "--split", "val"]
    assert main(build) == 0
    capsys.readouterr()

    search = ["index", "search", str(tmp_path / "index"), "--text", "a wheel"]
    assert main(search) == 2
    assert "has no text tower" in capsys.readouterr().err
    search += ["--model", str(tmp_path / "text")]
    found = {}
    for direction in ("children", "parents", "path"):
        assert main([*search, "--direction", direction, "--json", "-k", "3"]) == 0
        found[direction] = json.loads(capsys.readouterr().out)
        assert found[direction]["text"] == "a wheel"
    index = Index.open(tmp_path / "index", tmp_path / "text")
    assert [item["row"] for item in found["children"]["results"]] == [
        item.row for item in index.children(text="a wheel", k=3)
    ]
    assert {item["box"] is None for item in found["parents"]["results"]} <= {True, False}
    assert main([*search, "--sheet", str(tmp_path / "sheet.png")]) == 0
    # the phrase is written where a query's image would be
    cell = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))[40:200, 40:200]
    assert len(np.unique(cell.reshape(-1, 3), axis=0)) > 1
    capsys.readouterr()
    for more, message in (
        (["--text", "a harbour"], "does not know 'harbour'"),
        (["--box", "0,0,5,5"], "--box is of an image"),
    ):
        assert main([*search, *more]) == 2
        assert message in capsys.readouterr().err
    assert main(["index", "search", str(tmp_path / "index")]) == 2
    assert "give one query" in capsys.readouterr().err
