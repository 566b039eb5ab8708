"""evaluate.load("hier_ot") from any folder, by path and from the Hub, each in a process and with caches of its own."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from blocked_package import BLOCK_THE_PACKAGE

import hf_hyperbolic
from hf_hyperbolic import metric_names
from hf_hyperbolic.evaluation.hier_ot.hier_ot import HierOt

FOLDER = Path(hf_hyperbolic.__file__).parent / "evaluation" / "hier_ot"
# what no query of a user's cache or network may answer
OFFLINE = {"HF_EVALUATE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
COMPUTE = """
    import json

    result = metric.compute(predictions=[[4, 0, 0], [1, 1, 0]], references=[[0, 0, 2], [1, 1, 0]], per_query=True)
    assert result == {"hier_ot": 1.0, "low": 0.0, "high": 2.0, "per_query": [2.0, 0.0]}, result
    tree = metric.compute(
        predictions=[[1, 0]], references=[[0, 1]], ground="tree", parents={"a": "c", "b": "c"}, class_names=["a", "b"]
    )
    assert tree["hier_ot"] == 2, tree
    assert metric.compute(predictions=[[1, 0]], references=[[0, 1]], ground=[[0, 7], [7, 0]])["hier_ot"] == 7
    print(type(metric).__module__)
"""


def start(script: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Starts a script in an empty folder."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    variables = {
        **os.environ,
        "HF_HOME": str(folder / "hf"),
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(FOLDER.parents[2]),
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    variables.pop("HF_MODULES_CACHE", None)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=work,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
def test_by_name_from_an_empty_folder_and_a_folder_of_the_users_first(tmp_path):
    script = (
        """
    import sys
    import hf_hyperbolic

    assert "evaluate" not in sys.modules and "ot" not in sys.modules
    import evaluate

    metric = evaluate.load("hier_ot")
    """
        + COMPUTE
        + """
    from pathlib import Path

    import importlib

    importlib.reload(evaluate.loading)
    assert evaluate.loading.load("hier_ot").name == "hier_ot"
    Path("hier_ot").mkdir()
    lines = ["import evaluate", "class Mine(evaluate.Metric):", "    def _info(self):"]
    lines += ["        return evaluate.MetricInfo(description='', citation='', features=[])"]
    Path("hier_ot/hier_ot.py").write_text("\\n".join(lines))
    assert type(evaluate.load("hier_ot")).__name__ == "Mine"
    try:
        evaluate.load("hier_ot_of_another")
    except FileNotFoundError:
        print("not found")
    """
    )
    printed = finish(start(script, tmp_path, **OFFLINE)).splitlines()
    assert printed[0].startswith("evaluate_modules.metrics.hier_ot.")
    assert printed[1:] == ["not found"]


class Hub(SimpleHTTPRequestHandler):
    """Serves /spaces/me/hier_ot/resolve/main/* from a folder, and nothing else."""

    def translate_path(self, path: str) -> str:
        prefix = "/spaces/me/hier_ot/resolve/main/"
        name = path.removeprefix(prefix) if path.startswith(prefix) else "none"
        return str(Path(self.directory) / name)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(FOLDER)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_by_path_and_by_hub_name_without_the_package_and_offline_from_then_on(tmp_path, hub):
    # a copy, as a user would fetch it, with nothing of the package around it
    copy = tmp_path / "copy" / "hier_ot"
    shutil.copytree(FOLDER, copy)
    load = "\n    import evaluate\n    metric = evaluate.load({!r})\n"
    script = (
        textwrap.indent(BLOCK_THE_PACKAGE, "    ")
        + load.format("me/hier_ot")
        + COMPUTE
        + load.format(str(copy))
        + COMPUTE
    )
    from_hub, from_path = finish(start(script, tmp_path, HF_ENDPOINT=hub)).splitlines()
    assert from_hub.startswith("evaluate_modules.metrics.me--hier_ot.")
    assert from_path.startswith("evaluate_modules.metrics.hier_ot.")
    script = (
        textwrap.indent(BLOCK_THE_PACKAGE, "    ") + load.format("me/hier_ot") + "    print(type(metric).__module__)"
    )
    again = finish(start(script, tmp_path, HF_ENDPOINT="http://127.0.0.1:9", **OFFLINE))
    assert again.strip() == from_hub


@pytest.mark.slow
def test_two_processes_give_the_value_of_one(tmp_path):
    histograms = np.random.default_rng(0).integers(1, 9, (2, 8, 6))
    np.save(tmp_path / "histograms.npy", histograms)
    # the second time all queries are one process's
    shares = {"uneven": [(0, 5), (5, 8)], "one without": [(0, 0), (0, 8)]}
    script = f"""
        import json, os
        import evaluate
        import numpy as np

        p, q = np.load("../histograms.npy")
        rank, results = int(os.environ["RANK"]), []
        for name, bounds in {shares!r}.items():
            metric = evaluate.load(
                {str(FOLDER)!r}, num_process=2, process_id=rank, experiment_id=name, cache_dir="../shared"
            )
            metric.add_batch(predictions=p[slice(*bounds[rank])], references=q[slice(*bounds[rank])])
            results.append(metric.compute(per_query=True, ground="tree", parents=[1, 2, -1, 2, 1, 4]))
        print(json.dumps(results))
    """
    runs = [start(script, tmp_path, RANK=str(rank), **OFFLINE) for rank in range(2)]
    first, second = (json.loads(finish(run)) for run in runs)
    alone = HierOt(cache_dir=str(tmp_path / "alone")).compute(
        predictions=histograms[0], references=histograms[1], per_query=True, ground="tree", parents=[1, 2, -1, 2, 1, 4]
    )
    assert len(alone["per_query"]) == 8
    assert first == [alone, alone]
    assert second == [None, None]


@pytest.mark.parametrize("factory", [None, 3])
def test_another_evaluate_is_left_alone(monkeypatch, factory):
    other = ModuleType("evaluate.loading")
    if factory is not None:
        other.evaluation_module_factory = factory  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "evaluate.loading", other)
    metric_names.register_metric()
    assert getattr(other, "evaluation_module_factory", None) == factory


def test_only_the_name_is_resolved_and_wrapped_once(monkeypatch, tmp_path):
    other = ModuleType("evaluate.loading")
    other.evaluation_module_factory = lambda path, module_type=None: (path, module_type)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "evaluate.loading", other)
    monkeypatch.chdir(tmp_path)
    metric_names.register_metric()
    wrapped = other.evaluation_module_factory
    metric_names.register_metric()
    assert other.evaluation_module_factory is wrapped
    assert wrapped("hier_ot", module_type="metric") == (str(FOLDER), "metric")
    assert wrapped("accuracy") == ("accuracy", None)
    assert wrapped("me/hier_ot") == ("me/hier_ot", None)
    (tmp_path / "hier_ot").mkdir()
    (tmp_path / "hier_ot" / "hier_ot.py").touch()
    assert wrapped("hier_ot") == ("hier_ot", None)


def test_registering_leaves_one_finder(monkeypatch):
    monkeypatch.delitem(sys.modules, "evaluate.loading", raising=False)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    metric_names.register_metric()
    metric_names.register_metric()
    assert sum(type(finder).__name__ == "_WrapOnImport" for finder in sys.meta_path) == 1
