import pytest

from hf_hyperbolic.data.class_descriptions import read_class_descriptions


@pytest.mark.parametrize("header", ["", "label,name\r\n", "LabelName,DisplayName\n", "\ufeffLabelName,DisplayName\n"])
def test_with_and_without_header(tmp_path, header):
    file = tmp_path / "classes.csv"
    file.write_bytes(f'{header}/m/b,Bee\n\n/m/a,"Ant, red"\n/m/b,Bee\n'.encode())
    assert list(read_class_descriptions(file).items()) == [("/m/b", "Bee"), ("/m/a", "Ant, red")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"label,name\n", "describes no class"),
        (b"/m/a,Ant\n/m/b\n", "line 2 is not a class description"),
        (b"/m/a,Ant, red\n", "line 1 is not a class description"),
        (b"/m/a,Ant\n/m/a,Bee\n", "line 2 calls /m/a 'Bee', an earlier line 'Ant'"),
        ("/m/a,Ant\n/m/b,Bée\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("/m/a,Ant\n".encode("utf-16"), "not UTF-8 but UTF-16"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    file = tmp_path / "classes.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"classes\.csv: {message}"):
        read_class_descriptions(file)
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        read_class_descriptions(tmp_path / "none.csv")
