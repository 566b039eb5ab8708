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


def test_load_dataset_knows_the_names_once_the_builders_are_imported(scenes, tmp_path):
    script = (
        "import sys, hf_hyperbolic.data.builders\n"
        "from datasets import load_dataset_builder\n"
        "builder = load_dataset_builder('hier_coco', data_files=sys.argv[1])\n"
        "print(type(builder).__name__, builder.__module__)"
    )
    printed = run(script, str(scenes), cwd=tmp_path)
    assert printed.splitlines()[-1] == "HierCoco hf_hyperbolic.data.builders.hier_coco"


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
    assert builder_names.register_names() is False
    assert "load_dataset will not know hier_coco" in caplog.text


def test_registering_twice_is_harmless():
    assert builder_names.register_names()
    assert builder_names.register_names()
