import pytest

from hf_hyperbolic.data.open_images import read_open_images

BOXES = """ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf
a,/m/cat,0.1,0.5,0.2,0.6,0
b,/m/dog,0.1,0.5,0.2,0.6,1
b,/m/cat,0.1,0.5,0.2,0.6,1
b,/m/cat,0.3,0.4,0.2,0.6,0
"""
LABELS = """ImageID,Source,LabelName,Confidence
a,verification,/m/dog,0
a,verification,/m/dog,0.0
a,verification,/m/cat,1
b,verification,/m/axe,0
other,verification,/m/dog,0
b,verification,/m/dog,0
"""


@pytest.fixture
def files(tmp_path):
    def write(labels=LABELS):
        (tmp_path / "boxes.csv").write_text(BOXES)
        (tmp_path / "labels.csv").write_text(labels)
        return tmp_path / "boxes.csv", tmp_path / "labels.csv"

    return write


@pytest.mark.parametrize("include_group_of", [False, True])
def test_absences_and_groups(files, include_group_of):
    boxes, labels = files()
    table = read_open_images(boxes, image_labels=labels, include_group_of=include_group_of)
    assert table.class_names == ("/m/cat", "/m/dog")
    # the group of dogs in b is a box, kept or not: it contradicts the last label; axes are no class, "other" no image
    assert table.federation.verified_absent.tolist() == [[0, 1]]
    assert table.federation.not_exhaustive.tolist() == [[1, 0], [1, 1]]
    assert table.skipped()["absent_but_boxed"] == 1
    problem = next(problem for problem in table.problems if problem.reason == "absent_but_boxed")
    assert "image b" in problem.where
    assert "/m/dog" in problem.detail


def test_rows_follow_the_images_that_are_there(files, tmp_path):
    boxes, labels = files(LABELS + "b,verification,/m/cat,0\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.jpg").touch()
    table = read_open_images(boxes, tmp_path / "images", image_labels=labels)
    assert table.image_ids.tolist() == ["b"]
    assert table.federation.verified_absent.tolist() == []
    assert table.federation.not_exhaustive.tolist() == [[0, 0], [0, 1]]


def test_bad_rows_are_counted_and_bad_files_named(files):
    boxes, labels = files(LABELS + "a,verification,/m/dog,maybe\na,verification\n")
    table = read_open_images(boxes, image_labels=labels)
    assert table.skipped()["no_confidence"] == 1
    assert table.skipped()["wrong_length"] == 1
    assert {problem.reason: problem.where.rsplit(": ")[-1] for problem in table.problems} | {
        "no_confidence": "line 8",
        "wrong_length": "line 9",
    } == {problem.reason: problem.where.rsplit(": ")[-1] for problem in table.problems}
    boxes, labels = files("ImageID,LabelName\na,/m/dog\n")
    with pytest.raises(ValueError, match=r"labels\.csv: line 1 lacks the column Confidence"):
        read_open_images(boxes, image_labels=labels)
