import pytest

from hf_hyperbolic.data.vocabulary import Vocabulary, read_vocabulary


def test_no_choice():
    vocabulary = read_vocabulary(None, 3)
    assert vocabulary == Vocabulary()
    assert vocabulary.whole_image() is None
    assert vocabulary.within(1, "car") is None
    assert vocabulary.names() == ()


def test_the_same_names_at_every_depth():
    vocabulary = read_vocabulary(["car", "wheel", "car"], 3)
    assert vocabulary.whole_image() == vocabulary.within(1, "car") == vocabulary.within(2, "x") == ("car", "wheel")
    assert vocabulary.names() == ("car", "wheel")


def test_a_list_for_each_depth():
    vocabulary = read_vocabulary([["car"], ["wheel", "window"]], 2)
    assert vocabulary.whole_image() == ("car",)
    assert vocabulary.within(1, "car") == ("wheel", "window")
    assert vocabulary.names() == ("car", "wheel", "window")


def test_parts_of_each_class():
    vocabulary = read_vocabulary({"car": ["wheel", "car"], "wheel": ["hub"], "tree": []}, 3)
    assert vocabulary.whole_image() == ("car", "tree")
    assert vocabulary.within(1, "car") == ("wheel", "car")
    assert vocabulary.within(2, "wheel") == ("hub",)
    assert vocabulary.within(1, "tree") == vocabulary.within(2, "hub") == ()
    assert vocabulary.names() == ("car", "tree", "wheel", "hub")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("car,wheel", "the text 'car,wheel': split it first"),
        ([], "classes is empty"),
        (["car", ""], "classes must hold names, got ''"),
        (["car", 3], "classes must hold names, got 3"),
        ([["car"]], "lists for 1 depths but depth is 2"),
        ([["car"], []], r"classes\[1\] is empty"),
        ({}, "no class to look for in the whole image"),
        ({"car": ["wheel"], "wheel": ["car"]}, "each of 'car', 'wheel' is a part of another"),
        ({"car": "wheel"}, "the parts of 'car' must be a list of names, got 'wheel'"),
        ({"car": [None]}, "the parts of 'car' must hold names, got None"),
    ],
)
def test_what_cannot_be_looked_for(classes, message):
    with pytest.raises(ValueError, match=message):
        read_vocabulary(classes, 2)
