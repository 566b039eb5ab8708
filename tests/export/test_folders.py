import pytest

from hf_hyperbolic.export.folders import export_written_aside


def write(folder, text: str) -> None:
    with export_written_aside(folder, "mark") as aside:
        assert not any(aside.iterdir())
        (aside / "mark").write_text(text)


def test_an_export_replaces_an_earlier_one(tmp_path):
    folder = tmp_path / "below" / "out"
    write(folder, "first")
    (folder / "old").touch()
    write(folder, "second")
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("mark", "second")]
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_what_fails_leaves_the_earlier_one(tmp_path):
    write(tmp_path / "out", "first")
    with pytest.raises(TypeError):
        write(tmp_path / "out", 2)
    assert (tmp_path / "out" / "mark").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_else_is_replaced(tmp_path):
    (tmp_path / "photographs").mkdir()
    write(tmp_path / "photographs", "into an empty folder")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(FileExistsError, match=r"holds something else than an earlier export \(mark\)"):
        write(tmp_path / "thesis", "")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is no folder"):
        write(tmp_path / "file", "")
    assert (tmp_path / "thesis" / "chapter").exists()
