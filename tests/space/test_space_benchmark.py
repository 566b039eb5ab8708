"""The benchmark of the demo measures what it says, and its ten users get their own answers."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("gradio_client")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def benchmark():
    import importlib.util

    file = Path(__file__).parents[2] / "benchmarks" / "space.py"
    spec = importlib.util.spec_from_file_location("space_benchmark", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_table(benchmark):
    rows = [benchmark.Row("quick", [0.1, 0.2, 0.9], 0.5), benchmark.Row("slow", [1.0, 2.0], 0.5)]
    head, quick, slow = benchmark.table(rows).splitlines()
    assert head.split() == ["times", "median", "s", "longest", "s", "limit", "s"]
    assert quick.split() == ["quick", "3", "0.200", "0.900", "0.5,", "held"]
    assert slow.split() == ["slow", "2", "1.500", "2.000", "0.5,", "NOT", "held"]


@pytest.mark.slow
def test_ten_users_at_once_and_a_start(benchmark, index_folder, capsys):
    assert benchmark.main(["--index", str(index_folder), "--starts", "1", "--each", "2"]) == 0
    first, users, _, start, picture, item, crowd = capsys.readouterr().out.splitlines()
    assert "threads, load" in first
    assert "12 items" not in first  # boxes too
    assert users.startswith("10 users at once: 20 answers in")
    assert users.endswith("all their own")
    assert start.startswith("start, until the page is there")
    assert picture.split()[5] == "2"
    assert item.split()[5] == "10"
    assert "held" in item
    assert crowd.split()[7] == "20"


@pytest.mark.slow
def test_a_demo_that_does_not_start_is_an_error(benchmark, tmp_path, capsys):
    assert benchmark.main(["--index", str(tmp_path / "none")]) == 1
    assert "holds no index" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="did not start"), benchmark.served(tmp_path / "none"):
        pass
