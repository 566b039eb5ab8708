import json

import pytest

from hf_hyperbolic.data.json_lines import ResultLines

SETTINGS = {"depth": 2, "classes": ("car",)}


@pytest.fixture
def file(tmp_path):
    with ResultLines(tmp_path / "lines.jsonl", SETTINGS) as lines:
        lines.add("a.jpg", {"score": 0.1 + 0.2})
        lines.add("sub/é\r\n.jpg", [])
    return tmp_path / "lines.jsonl"


def test_results_come_back_exactly(file):
    with ResultLines(file, SETTINGS) as lines:
        assert lines.results == {"a.jpg": {"score": 0.1 + 0.2}, "sub/é\r\n.jpg": []}
        lines.add("c.jpg", 3)
    with ResultLines(file, SETTINGS) as lines:
        assert list(lines.results) == ["a.jpg", "sub/é\r\n.jpg", "c.jpg"]


def test_each_result_is_on_its_way_to_the_disk_at_once(tmp_path):
    lines = ResultLines(tmp_path / "lines.jsonl", SETTINGS)
    for number in range(3):
        lines.add(str(number), number)
        assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == 2 + number
    lines.__exit__(None, None, None)


def test_cut_anywhere_only_whole_lines_count(file, tmp_path):
    content = file.read_bytes()
    whole = content.splitlines(keepends=True)
    for length in range(len(content) + 1):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(content[:length])
        with ResultLines(cut, SETTINGS) as lines:
            complete = content[:length].count(b"\n")
            assert len(lines.results) == max(0, complete - 1)
        assert cut.read_bytes() == b"".join(whole[: max(1, complete)])


def test_other_settings_are_refused(file):
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"other settings: depth \(there 2, now 3\)\. Go on with"):
        ResultLines(file, SETTINGS | {"depth": 3})
    with pytest.raises(ValueError, match=r"new \(there None, now 1\)"):
        ResultLines(file, SETTINGS | {"new": 1})
    assert file.read_bytes() == before


@pytest.mark.parametrize("line", [0, 1])
def test_damage_in_the_middle_names_its_line(file, line):
    lines = file.read_text().splitlines(keepends=True)
    for damage in ("garbage\n", "[]\n", json.dumps({"result": 1}) + "\n"):
        file.write_text("".join([*lines[:line], damage, *lines[line + 1 :]]))
        with pytest.raises(ValueError, match=f"line {line + 1} is damaged: delete"):
            ResultLines(file, SETTINGS)
