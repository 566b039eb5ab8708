"""What `pip install` gets: a wheel with all that the package needs and nothing else, used from another folder."""

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hf_hyperbolic

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
BUILT_FROM = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "hf_hyperbolic")
# what is read at run time beside the modules
DATA = {
    "hf_hyperbolic/py.typed",
    "hf_hyperbolic/hub/model_card.md",
    "hf_hyperbolic/hub/converted_card.md",
    "hf_hyperbolic/evaluation/hier_ot/README.md",
    "hf_hyperbolic/evaluation/hier_ot/requirements.txt",
}


def call(*command: str | Path, cwd: Path, **more: str) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "OMP_NUM_THREADS": "1", **more}
    environment.pop("HF_MODULES_CACHE", None)
    if "PYTHONPATH" not in more:
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository as git has it, since a build leaves folders behind."""
    place = tmp_path_factory.mktemp("wheel") / "tree"
    place.mkdir()
    leave = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in (*BUILT_FROM, "tests", "space", "training", "benchmarks", "docs", "model_cards"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=leave)
        else:
            shutil.copyfile(ROOT / name, place / name)
    return place


@pytest.fixture(scope="module")
def wheel(tree):
    pytest.importorskip("setuptools")
    build = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "../dist", ".")
    call(sys.executable, "-m", *build, cwd=tree)
    (found,) = (tree.parent / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel):
    """A folder with the wheel in it, from which alone the package is imported."""
    place = wheel.parent.parent / "site"
    install = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", place, wheel)
    call(sys.executable, "-m", *install, cwd=wheel.parent)
    return place


def modules_of(root: Path) -> set[str]:
    return {file.relative_to(root).as_posix() for file in (root / "hf_hyperbolic").rglob("*.py")}


def test_the_wheel_holds_the_package_its_data_and_the_license_and_no_more(wheel, tree):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    package = {name for name in names if not name.startswith(f"{info}/")}
    assert package == modules_of(tree) | DATA
    # whatever lies in the package beside modules is data that has to travel
    beside = {path.relative_to(tree).as_posix() for path in (tree / "hf_hyperbolic").rglob("*") if path.is_file()}
    assert beside - modules_of(tree) == DATA
    assert metadata["Name"] == "hf-hyperbolic"
    assert metadata["Version"] == hf_hyperbolic.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"


def test_the_source_distribution_has_neither_tests_nor_the_space(tree):
    script = "from setuptools import build_meta; print(build_meta.build_sdist('../sdist'))"
    name = call(sys.executable, "-c", script, cwd=tree).split()[-1]
    with tarfile.open(tree.parent / "sdist" / name) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    own = {entry for entry in names if not entry.startswith("hf_hyperbolic.egg-info/")}
    assert own == modules_of(tree) | DATA | {
        "LICENSE",
        "README.md",
        "MANIFEST.in",
        "pyproject.toml",
        "PKG-INFO",
        "setup.cfg",
    }


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_what_is_installed_is_used_from_another_folder(installed, elsewhere):
    script = f"""
import hf_hyperbolic
from pathlib import Path
assert Path(hf_hyperbolic.__file__).is_relative_to({str(installed)!r}), hf_hyperbolic.__file__

from transformers import AutoModel, ResNetConfig
from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone, projection_dim=16)).save_pretrained("model")
make_image_processor(32).save_pretrained("model")
print(*sorted(file.name for file in Path("model").glob("*.py")))
print(type(AutoModel.from_pretrained("model")).__module__)

import evaluate
print(evaluate.load("hier_ot").compute(predictions=[[1, 0, 0]], references=[[0, 0, 1]])["hier_ot"])
"""
    more = {"PYTHONPATH": str(installed), "HF_HOME": str(elsewhere / "hf")}
    code, module, figure = call(sys.executable, "-c", script, cwd=elsewhere, **more).splitlines()
    travelling = (
        "configuration_hyperbolic_clip",
        "euclidean",
        "lorentz",
        "modeling_hyperbolic_clip",
        "pairwise_angle",
        "vision_backbone",
    )
    assert code.split() == [f"{name}.py" for name in travelling]
    assert module == "hf_hyperbolic.modeling_hyperbolic_clip"
    assert float(figure) == 2
    # the cards' templates are found
    push = ("push", "model", "me/model", "--dry-run", "out")
    call(sys.executable, installed / "bin" / "hf-hyperbolic", *push, cwd=elsewhere, **more)
    assert "# model" in (elsewhere / "out" / "README.md").read_text(encoding="utf-8")
    call(sys.executable, installed / "bin" / "hf-hyperbolic", "metric", "push", "me/hier_ot", "--dry-run", "metric",
         cwd=elsewhere, **more)  # fmt: skip
    assert (elsewhere / "metric" / "requirements.txt").is_file()


def test_the_command_line_is_installed(installed, elsewhere):
    said = call(sys.executable, installed / "bin" / "hf-hyperbolic", "--help", cwd=elsewhere, PYTHONPATH=str(installed))
    for command in ("data", "index", "backbone", "export", "metric", "space", "push"):
        assert f"\n    {command} " in said, command
