import os
import subprocess
import sys

import pytest

from hf_hyperbolic.data import builder_names


def run(script, *arguments, cwd):
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), "HF_HOME": str(cwd)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# the command line imports no model, and so comes sooner to what is tested here
LIGHT = "import sys; sys.argv[0] = 'hf-hyperbolic'\n"
LOAD = (
    "builder = load_dataset_builder('hier_coco', data_files=sys.argv[1])\n"
    "print(type(builder).__name__, builder.__module__, len(sys.meta_path) - before)"
)
COUNT = "before = len(sys.meta_path)\n"


@pytest.mark.parametrize(
    "order",
    [
        "import hf_hyperbolic\nassert 'datasets' not in sys.modules\nfrom datasets import load_dataset_builder\n",
        "from datasets import load_dataset_builder\nimport hf_hyperbolic\n",
        "import hf_hyperbolic, importlib.util\nimportlib.util.find_spec('datasets.packaged_modules')\n"
        "from datasets import load_dataset_builder\n",
    ],
    ids=["before datasets", "after datasets", "after another looked for the module"],
)
def test_load_dataset_knows_the_names_whichever_is_imported_first(order, scenes, tmp_path):
    printed = run(LIGHT + COUNT + order + LOAD, str(scenes), cwd=tmp_path)
    assert printed.splitlines()[-1] == "HierCoco hf_hyperbolic.data.builders.hier_coco 0"


@pytest.mark.slow
def test_the_whole_package_leaves_datasets_alone(tmp_path):
    script = "import sys, hf_hyperbolic; print([m for m in ('torch', 'datasets', 'pyarrow') if m in sys.modules])"
    assert run(script, cwd=tmp_path) == "['torch']\n"


@pytest.mark.parametrize("names", [None, 1, ()])
def test_another_datasets_version_does_not_break_the_import(monkeypatch, caplog, names):
    if names is None:
        monkeypatch.delattr("datasets.packaged_modules._PACKAGED_DATASETS_MODULES")
    else:
        monkeypatch.setattr("datasets.packaged_modules._PACKAGED_DATASETS_MODULES", names)
    assert builder_names.add_names() is False
    assert "load_dataset will not know hier_coco" in caplog.text


def test_registering_twice_is_harmless():
    assert builder_names.add_names()
    assert builder_names.add_names()
