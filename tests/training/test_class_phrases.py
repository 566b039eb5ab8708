import json

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from hf_hyperbolic.training.class_phrases import (
    ClassPhrases,
    called_alike,
    filled,
    phrase_of,
    read_aliases,
    word_tokenizer,
)


def test_names_become_words():
    assert phrase_of("Traffic_light ") == "traffic light"
    assert filled("a picture of a {}", "oven") == "a picture of an oven"
    assert filled("a {}", "wheel") == "a wheel"
    assert filled("a pizza, {}", "oven") == "a pizza, oven"


def test_phrases_are_drawn_from_all_names_and_templates():
    phrases = ClassPhrases(["sofa", "oven"], ["{}", "a {}"], {"sofa": ["couch"]})
    assert phrases.every() == ["sofa", "a sofa", "couch", "a couch", "oven", "an oven"]
    rng = np.random.default_rng(0)
    drawn = [phrases.draw(np.array([1, 0]), rng) for _ in range(200)]
    assert {first for first, _ in drawn} == {"oven", "an oven"}
    assert {second for _, second in drawn} == {"sofa", "a sofa", "couch", "a couch"}


def test_classes_that_are_the_same_in_words_share_a_phrase():
    classes = ["Traffic light", "oven", "traffic_light", "sofa"]
    phrases = ClassPhrases(
        classes, ["{}"], {"traffic_light": ["signal"], "Traffic light": ["signal", "traffic  Light"]}
    )
    assert phrases.names == [["traffic light", "signal"], ["oven"], ["sofa"]]
    assert phrases.called.tolist() == [0, 1, 0, 2]
    assert phrases.draw(np.array([1, 2]), np.random.default_rng(0)) == ["oven", "sofa"]
    # a box of either class, one of an oven, and a scene that holds both and a sofa
    categories = torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 1]]).bool()
    assert phrases.of_called(categories).int().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert called_alike(classes) == [["Traffic light", "traffic_light"]]
    with pytest.raises(ValueError, match="the data have 3 classes, and names were given to 4"):
        phrases.of_called(categories[:, :3])
    assert called_alike(["sofa", "oven"]) == []
    assert ClassPhrases(["sofa", "oven"]).of_called(categories[:, :2]) is not None


def test_the_tokenizer_is_saved_as_any_other(tmp_path):
    tokenizer = word_tokenizer(["a street lamp", "T-shirt"], 12)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    found = loaded(["A lamp", "t-shirt"], padding=True)
    assert found["input_ids"] == tokenizer(["A lamp", "t-shirt"], padding=True)["input_ids"]
    assert [loaded.decode(ids, skip_special_tokens=True) for ids in found["input_ids"]] == ["a lamp", "t - shirt"]
    ids = found["input_ids"][0]
    assert (ids[0], ids[3], ids[4]) == (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id)
    assert loaded.model_max_length == 12
    # 2 stands for something else in CLIP's text tower
    assert loaded.eos_token_id != 2
    assert loaded.unk_token_id in loaded("harbour")["input_ids"]


def test_what_makes_no_sense_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must hold \{\} once"):
        ClassPhrases(["sofa"], ["a thing"])
    with pytest.raises(ValueError, match="'couch', an alias of the class 'sofa', is a name of the class 'Couch' too"):
        ClassPhrases(["Couch", "sofa"], aliases={"sofa": ["couch"]})
    with pytest.raises(ValueError, match="class 1 has no name"):
        ClassPhrases(["sofa", " "])
    file = tmp_path / "aliases.json"
    for content, message in (
        ("{", "is not JSON"),
        (json.dumps({"sofa": "couch"}), "must map each class to a list"),
        (json.dumps({"boat": ["ship"]}), "names boat, which are no classes"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_aliases(file, ["sofa"])
    with pytest.raises(FileNotFoundError, match=r"nothing\.json: no such file"):
        read_aliases(tmp_path / "nothing.json", ["sofa"])
    file.write_text(json.dumps({"sofa": ["couch"]}))
    assert read_aliases(file, ["sofa", "oven"]) == {"sofa": ["couch"]}
