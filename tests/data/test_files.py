import shutil

import pytest

from hf_hyperbolic.data.files import (
    finish_replacing,
    folder_written_aside,
    replace_folder,
    sha256,
    swapped_out,
    weights_digest,
    write_text,
)


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


def test_weights_are_known_by_their_bytes(tmp_path):
    assert weights_digest(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    one = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert weights_digest(tmp_path) == sha256(tmp_path / "model.safetensors") == one
    (tmp_path / "model-2.safetensors").write_bytes(b"abc")
    two = weights_digest(tmp_path)
    assert two not in (None, one)
    (tmp_path / "model-2.safetensors").write_bytes(b"abd")
    assert weights_digest(tmp_path) != two


def test_a_replacement_that_was_cut_off_is_finished(tmp_path):
    for name in ("gone", "there"):  # killed before and after the new folder took the name
        swapped_out(tmp_path / name).mkdir()
        (swapped_out(tmp_path / name) / "old").touch()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "new").touch()
    finish_replacing(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "gone", "gone/old", "there", "there/new",
    ]  # fmt: skip


def test_a_folder_is_whole_or_not_there_and_takes_nothing_of_a_killed_process(tmp_path):
    final = tmp_path / "model"

    def fail():
        with folder_written_aside(final) as aside:
            (aside / "half").touch()
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert not [*tmp_path.iterdir()]
    with folder_written_aside(final) as aside:
        left = aside
    shutil.copytree(final, left)
    (left / "of-a-killed-process").touch()
    with folder_written_aside(final) as aside:
        (aside / "new").touch()
        assert not (final / "new").exists()
    assert [path.name for path in final.iterdir()] == ["new"]
    assert [*tmp_path.iterdir()] == [final]
