"""Captions of embedded scenes: what they name is what is annotated."""

import json
import re
from collections import Counter

import pytest

from hf_hyperbolic.data.captions import read_captions
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.scenes import OBJECT_CLASSES, SCENE_KINDS, write_scenes
from hf_hyperbolic.data.scenes.captions import captions_of, write_captions

NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5}
SINGULAR = {"people": "person", "buses": "bus", "benches": "bench", "bookshelves": "bookshelf"}


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), "train", 40, size=64)


def counted(text: str) -> Counter:
    """'two ships and a lighthouse' -> counts by class."""
    found: Counter = Counter()
    for phrase in re.split(r", | and ", text):
        number, _, name = phrase.partition(" ")
        name = name if NUMBERS[number] == 1 else SINGULAR.get(name, name.removesuffix("s"))
        assert name in OBJECT_CLASSES, phrase
        found[name] += NUMBERS[number]
    return found


def test_wording():
    things = ["ship", "lighthouse", "ship", "airplane"]
    assert captions_of("harbour", things) == [
        "a harbour with two ships, a lighthouse and an airplane",
        "a harbour with two ships and a lighthouse",
        "two ships and a lighthouse in a harbour",
    ]
    assert captions_of("street", ["person"] * 2 + ["bus"] * 11)[2] == "two people and many buses on a street"
    assert captions_of("farm", ["cow"])[0] == "a farm with a cow"
    assert captions_of("park", []) == ["a park"]


def test_what_is_named_is_what_is_annotated(annotations):
    file = write_captions(annotations)
    assert file.name == "captions_train.json"
    content = json.loads(annotations.read_text())
    label = {row["id"]: row["name"] for row in content["categories"]}
    kind = {row["id"]: row["scene_kind"] for row in content["images"]}
    table = read_coco(annotations)
    captions = read_captions(file, table)
    assert captions.problems == ()
    assert set(kind.values()) <= set(SCENE_KINDS)
    for row, image in enumerate(table.image_ids.tolist()):
        of_image = [one for one in content["annotations"] if one["image_id"] == int(image)]
        held = Counter(label[one["category_id"]] for one in of_image if label[one["category_id"]] in OBJECT_CLASSES)
        texts = [captions.texts[place] for place in (captions.image == row).nonzero()[0]]
        if not held:
            assert texts == [f"a {kind[int(image)]}"]
            continue
        scene, _, things = texts[0].partition(" with ")
        assert scene == f"a {kind[int(image)]}"
        assert counted(things) == held
        largest = max(
            (one for one in of_image if label[one["category_id"]] in OBJECT_CLASSES), key=lambda one: one["area"]
        )
        assert label[largest["category_id"]] == next(iter(counted(things)))
        few = texts[1].partition(" with ")[2]
        assert texts[2].startswith(few)
        assert counted(few).items() <= held.items()


def test_they_are_written_once_and_again_where_they_differ(annotations):
    file = write_captions(annotations)
    content, when = file.read_bytes(), file.stat().st_mtime_ns
    write_captions(annotations)
    assert file.stat().st_mtime_ns == when
    file.write_text("{}")
    assert write_captions(annotations).read_bytes() == content
    assert not [one for one in file.parent.iterdir() if one.name.startswith(".writing")]


def test_annotations_of_photographs_have_no_such_captions(tmp_path):
    file = tmp_path / "instances_val.json"
    file.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}))
    with pytest.raises(ValueError, match=r"instances_val\.json: not the annotations of embedded scenes"):
        write_captions(file)
    with pytest.raises(FileNotFoundError):
        write_captions(tmp_path / "instances_train.json")
