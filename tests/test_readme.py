"""What the README shows is what happens."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A small model in the place where `make demo` leaves one, the same with words beside it, scenes, and an index."""
    from transformers import ResNetConfig

    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
    from hf_hyperbolic.cli.main import main
    from hf_hyperbolic.data.scenes import write_scenes
    from hf_hyperbolic.training.text_tower import add_text_tower, save_with_text

    outputs = tmp_path_factory.mktemp("workplace") / "outputs"
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=16))
    model.save_pretrained(outputs / "demo" / "best")
    make_image_processor(64).save_pretrained(outputs / "demo" / "best")
    words, tokenizer = add_text_tower(model, "text-tiny", ["a wheel", "a street lamp"])
    save_with_text(words, make_image_processor(64), tokenizer, outputs / "demo" / "text")
    write_scenes(outputs / "scenes", "test", 40)
    places = [str(outputs / name) for name in ("demo/best", "scenes", "index")]
    assert main(["index", "build", *places, "--split", "test"]) == 0
    return outputs.parent


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/search.md", "docs/index.md", "docs/qdrant.md", "docs/text.md"])
def test_python_blocks_run(page, workplace, monkeypatch):
    if page == "docs/qdrant.md":
        pytest.importorskip("qdrant_edge")
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict = {}
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    assert found
    for code in found:
        exec(compile(code, page, "exec"), names)


def test_every_path_exists():
    for path in set(re.findall(r"(?<![\w/])((?:training|docs|hf_hyperbolic|benchmarks|tests)/[\w./-]*\w)", TEXT)):
        assert (ROOT / path).exists(), path


def test_every_make_target_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", TEXT, flags=re.M)) <= targets


def commands(program: str) -> list[list[str]]:
    """The arguments of every command of the README and the pages it links to that starts `program`."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    shell = "\n".join(re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, flags=re.M | re.S)).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in shell.splitlines()]
    lines += [shlex.split(code) for code in re.findall(r"`([^`\n]+)`", text) if code.startswith(program)]
    words = program.split()
    return [line[len(words) :] for line in lines if line[: len(words)] == words]


def test_every_data_command_is_understood():
    from hf_hyperbolic.cli.main import build_parser

    found = commands("hf-hyperbolic")
    assert len(found) > 8
    for arguments in found:
        build_parser().parse_args(arguments)


def test_every_training_command_is_understood(monkeypatch):
    from hf_hyperbolic.training.arguments import TrainArguments

    monkeypatch.chdir(ROOT)
    found = commands("accelerate launch training/train.py")
    assert len(found) >= 2
    for arguments in found:
        TrainArguments.parse(arguments)


def test_every_pretraining_command_is_understood():
    from hf_hyperbolic.training.pretrain_arguments import PretrainArguments

    found = commands("accelerate launch training/pretrain.py")
    assert found
    for arguments in found:
        PretrainArguments.parse(arguments)


def test_every_command_that_adds_text_is_understood():
    from transformers import HfArgumentParser

    from hf_hyperbolic.training.text_arguments import TextArguments

    found = commands("python training/add_text.py")
    assert found
    for arguments in found:
        HfArgumentParser(TextArguments).parse_args_into_dataclasses(arguments)


@pytest.mark.parametrize("script", ["evaluate", "compare"])
def test_every_option_of_the_other_scripts_exists(script):
    from dataclasses import fields

    from hf_hyperbolic.training.arguments import TrainArguments

    source = (ROOT / "training" / f"{script}.py").read_text()
    known = set(re.findall(r"^    (\w+): ", source, flags=re.M))
    if script == "compare":  # what is not its own goes to the training script
        known |= {f.name for f in fields(TrainArguments)}
    found = commands(f"python training/{script}.py")
    assert found
    assert {word[2:] for arguments in found for word in arguments if word.startswith("--")} <= known
