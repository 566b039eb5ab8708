"""Which model and index are served, and a folder that is a whole Space."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import sources
import yaml
from huggingface_hub import SpaceCard, SpaceCardData
from huggingface_hub.utils import validate_repo_id
from sources import NothingToServeError, open_source

ROOT = Path(__file__).parents[2]


def test_an_index_brings_its_model(index_folder, tmp_path):
    source = open_source(None, str(index_folder), None, tmp_path, here=tmp_path)
    assert source.index.encoder.dim == 16
    assert source.images is None


def test_what_lies_beside_the_app_is_served(index_folder, tmp_path):
    for name in ("index", "model"):
        shutil.copytree(index_folder.parent / name, tmp_path / name)
    (tmp_path / "images").mkdir()
    source = open_source(None, None, None, tmp_path, here=tmp_path)
    assert source.index.folder == tmp_path / "index"
    assert source.index.encoder.name == str(tmp_path / "model")
    assert source.images == tmp_path / "images"


def test_a_model_alone_gets_an_index_of_scenes_once(index_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SCENES", 2)
    model = str(index_folder.parent / "model")
    first = open_source(model, None, None, tmp_path / "work", here=tmp_path).index
    assert {item["split"] for item in first.items(range(len(first)))} == {"test"}
    assert all(item["thumbnail"] for item in first.items(range(len(first))))
    before = (first.folder / "manifest.json").stat().st_mtime_ns
    again = open_source(model, None, None, tmp_path / "work", here=tmp_path).index
    assert (again.folder, again.folder.joinpath("manifest.json").stat().st_mtime_ns) == (first.folder, before)


def test_nothing_to_serve_says_what_to_do(tmp_path):
    with pytest.raises(NothingToServeError, match="make space"):
        open_source(None, None, None, tmp_path, here=tmp_path)


@pytest.mark.slow
def test_an_assembled_space_needs_nothing_else(index_folder, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from assemble import assemble

    monkeypatch.setattr(sources, "SCENES", 2)
    space = tmp_path / "hub"
    assemble(index_folder.parent / "model", tmp_path / "work", space)
    text = "".join(file.read_text() for file in space.rglob("*.json"))
    assert str(tmp_path) not in text
    shutil.rmtree(tmp_path / "work")
    script = (
        "from sources import open_source; from answers import Answers; from pathlib import Path; import hf_hyperbolic;"
        "assert Path(hf_hyperbolic.__file__).is_relative_to(Path.cwd()), hf_hyperbolic.__file__;"
        "source = open_source(None, None, None, Path('nowhere'));"
        "subject, box = Answers(source.index, source.images).of_row(3);"
        "print(subject.image.size, len(source.index.parents(subject.image, 3, box)))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", script], cwd=space, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "(192, 192) 3", done.stderr
    with pytest.raises(ValueError, match="no Space"):
        assemble(index_folder.parent / "model", tmp_path, tmp_path)


def test_front_matter_is_what_the_hub_asks_for():
    text = (ROOT / "space" / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---")[1])
    asked = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license",
             "short_description", "models", "datasets", "tags", "pinned"}  # fmt: skip
    assert set(head) == asked
    assert head["sdk"] == "gradio"
    assert (ROOT / "space" / head["app_file"]).exists()
    assert re.search(f"^gradio=={head['sdk_version']}$", (ROOT / "constraints.txt").read_text(), flags=re.M)
    assert head["python_version"] == "3.11"
    assert head["license"] == "apache-2.0"
    # the colours and lengths that the Hub takes
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {head["colorFrom"], head["colorTo"]} <= colours
    assert 0 < len(head["short_description"]) <= 60
    assert len(head["title"]) <= 60
    assert len(head["emoji"]) == 1
    assert ord(head["emoji"]) > 0x2000
    assert head["pinned"] is False
    # huggingface_hub reads it, finds nothing that it does not know but what the Hub documents beside, and gives it back
    card = SpaceCard(text)
    known = set(inspect.signature(SpaceCardData.__init__).parameters)
    assert set(head) - known <= {"emoji", "colorFrom", "colorTo", "short_description", "pinned"}
    assert card.data.to_dict() == head
    assert yaml.safe_load(str(card).split("---")[1]) == head
    for name in ("models", "datasets", "tags"):
        assert isinstance(head[name], list)
        for entry in head[name]:
            assert isinstance(entry, str)
            if name != "tags":
                validate_repo_id(entry)


def test_requirements_are_those_of_the_package_in_the_versions_that_were_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "space" / "requirements.txt").read_text().splitlines()
    pinned = [line.lower() for line in lines if not line.startswith(("#", "--"))]
    # the Space brings Gradio itself, in the version of its front matter
    extra = [name for name in project["optional-dependencies"]["space"] if not name.startswith("gradio")]
    needed = {re.split("[>=]", line)[0].lower() for line in project["dependencies"] + extra}
    assert {line.partition("==")[0] for line in pinned} == needed
    assert set(pinned) <= set((ROOT / "constraints.txt").read_text().lower().splitlines())
