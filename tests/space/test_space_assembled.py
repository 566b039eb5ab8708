"""The Space as it is pushed, served from its own folder in a clean process: beside itself, or by names on the Hub."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import sources
from conftest import free_port, started

pytest.importorskip("gradio")
pytest.importorskip("matplotlib")
gradio_client = pytest.importorskip("gradio_client")
pytestmark = pytest.mark.slow
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# `python app.py`, where the package is to be had from this folder alone, wherever else it is installed
FROM_HERE = """
import runpy, sys
from importlib.machinery import PathFinder

class FromHere:
    def find_spec(self, name, path=None, target=None):
        if name == "hf_hyperbolic":
            found = PathFinder.find_spec(name, [HERE])
            if found is None:
                raise ModuleNotFoundError("the Space lacks the package")
            return found

HERE = sys.argv[1]
sys.path[:] = [HERE, *(place for place in sys.path if "site-packages" in place or "lib/python" in place)]
sys.meta_path.insert(0, FromHere())
"""
SERVE = FROM_HERE + 'sys.argv[:] = ["app.py", *sys.argv[2:]]\nrunpy.run_path("app.py", run_name="__main__")\n'


@pytest.fixture(scope="module")
def space(index_folder, tmp_path_factory):
    """What `hf-hyperbolic space push` would push."""
    from assemble import assemble

    from hf_hyperbolic.hub.push_space import push_space
    from hf_hyperbolic.hub.upload import Target

    place = tmp_path_factory.mktemp("assembled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "SCENES", 2)
        assemble(index_folder.parent / "model", place / "work", place / "assembled")
    push_space(place / "assembled", Target("me/demo"), dry_run=place / "space")
    for name in ("work", "assembled"):
        shutil.rmtree(place / name)
    return place / "space"


def environment(folder, **more):
    clean = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MODEL", "INDEX", "IMAGES")
    }
    own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "GRADIO_TEMP_DIR": str(folder / "uploads")}
    return clean | own | more


def asked(address):
    with urllib.request.urlopen(address, timeout=60) as page:
        assert b"What is this part of?" in page.read()
    client = gradio_client.Client(address, verbose=False)
    found = client.predict(item="test/1", direction="children", k=3, api_name="/ask_item")
    assert len(found["hierarchy"]["results"]) == 3
    return found


def test_it_is_served_from_its_folder(space, tmp_path):
    (picture,) = (file for file in (space / "images").rglob("*.jpg") if int(file.stem) == 1)
    port = free_port()
    command = [sys.executable, "-IB", "-c", SERVE, str(space), "--port", str(port)]
    log = tmp_path / "log"
    with started(command, f"http://127.0.0.1:{port}", log, cwd=space, env=environment(tmp_path)) as address:
        found = asked(address)
        client = gradio_client.Client(address, verbose=False)
        sent = client.predict(
            image=gradio_client.handle_file(str(picture)), box="", direction="children", k=3, api_name="/ask"
        )
    # the same picture, in the index and as a file
    ids = [[item["id"] for item in each["hierarchy"]["results"]] for each in (sent, found)]
    assert ids[0] == ids[1]
    assert "Traceback" not in log.read_text()


def test_model_and_index_are_taken_from_the_hub_by_their_names(space, tmp_path):
    """Out of the cache; the Space then holds neither."""
    for kind, name in (("models", "model"), ("datasets", "index")):
        repository = tmp_path / "hf" / "hub" / f"{kind}--me--{name}"
        shutil.copytree(space / name, repository / "snapshots" / COMMIT)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
    bare = tmp_path / "bare"
    shutil.copytree(space, bare, ignore=shutil.ignore_patterns("index", "images", "model"))
    port = free_port()
    command = [sys.executable, "-IB", "-c", SERVE, str(bare), "--port", str(port)]
    variables = environment(tmp_path, MODEL="me/model", INDEX="me/index")
    with started(command, f"http://127.0.0.1:{port}", tmp_path / "log", cwd=bare, env=variables) as address:
        asked(address)
    done = subprocess.run(
        [*command[:4], str(bare), "--model", "me/other"],
        cwd=bare, env=environment(tmp_path), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("app.py: ")
    assert "me/other" in said
    assert "Traceback" not in done.stderr


def test_requirements_name_all_that_is_imported(space, tmp_path):
    script = (
        FROM_HERE
        + """
import ast, json
from pathlib import Path

import app, assemble
from sources import open_source
from answers import Answers

page = app.build(app.Demo(Answers(open_source(None, None, None, Path("nowhere")).index)))
files = [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
own = [Path(file) for file in files if Path(file).is_relative_to(HERE)]
assert any(file.name == "encoder.py" for file in own), own
from hf_hyperbolic.hub.card_code import imported_packages

print(json.dumps(imported_packages(own)))
"""
    )
    done = subprocess.run(
        [sys.executable, "-IB", "-c", script, str(space)],
        cwd=space, env=environment(tmp_path), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    ours = {file.stem for file in space.glob("*.py")} | {"hf_hyperbolic"}
    projects = importlib.metadata.packages_distributions()
    needed = {name.lower() for package in imported - ours for name in projects[package][:1]}
    lines = (space / "requirements.txt").read_text().splitlines()
    named = {re.split("==", line)[0] for line in lines if "==" in line}
    assert {"torch", "transformers", "pillow", "gradio"} <= needed
    assert needed - {"gradio"} <= named


def test_nothing_of_the_machine_and_no_test_travels(space, index_folder):
    names = {file.relative_to(space).as_posix() for file in space.rglob("*") if file.is_file()}
    assert not any("test_" in Path(name).name or "__pycache__" in name for name in names)
    places = (str(index_folder.parent), str(Path(sources.__file__).parents[1]))
    for name in names:
        content = (space / name).read_bytes()
        assert not any(place.encode() in content for place in places), name
