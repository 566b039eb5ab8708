import pytest

from hf_hyperbolic.data.files import replace_folder, write_text


def test_text_is_whole_or_as_before(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    (tmp_path / "writing-a.txt").write_text("somebody's")
    write_text(file, "one")
    write_text(file, "two")
    assert file.read_text() == "two"

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(file, "three")
    assert file.read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "writing-a.txt"]


@pytest.mark.parametrize("before", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, before):
    aside, final = tmp_path / "aside", tmp_path / "final"
    aside.mkdir()
    (aside / "new").touch()
    if before:
        final.mkdir()
        (final / "old").touch()
    replace_folder(aside, final)
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert [path.name for path in final.iterdir()] == ["new"]


def test_a_folder_that_happens_to_be_called_old_is_nobody_elses_business(tmp_path):
    for name in ("aside", "final", "old-final"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    replace_folder(tmp_path / "aside", tmp_path / "final")
    assert (tmp_path / "old-final" / "file").read_text() == "old-final"
    assert (tmp_path / "final" / "file").read_text() == "aside"
