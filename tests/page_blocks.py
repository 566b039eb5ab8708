"""The blocks of code on the pages: reading them, checking what they name, and running them.

A block of Python or of shell is run, or it carries its reason not to in the source of the page, right above it:

    <!-- not run: needs the network -->
"""

import importlib.util
import re
import runpy
import shlex
import signal
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType

from transformers import HfArgumentParser

ROOT = Path(__file__).parents[1]
# written by others' commands, or records of what was run once: every option must exist, nothing is run
RECORDS = {
    "docs/comparison-scenes.md": "the command of record: hours",
    "docs/comparison-photographs.md": "the command of record: hours, and data of one's own",
    "docs/study-recipe.md": "the command of record: hours",
    "docs/study-words.md": "the command of record: most of an hour",
    "docs/study-photographs.md": "the command of record: hours, and data of one's own",
    "docs/pretraining.md": "two trainings after another, and files of others",
}
RUN, SHOWN = ("python", "bash"), ("js", "bibtex", "yaml", "json", "text")
OUTSIDE = ("cp", "git", "hf", "pre-commit")  # programs that are not ours: only in blocks that are not run
STANDS_FOR = {"PATH": "photos", "OUTPUT": "outputs/converted", "FOLDER": "outputs/thresholds"}
_TINY = [
    "--image_size", "32", "--projection_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4", "--max_steps",
    "2", "--eval_steps", "2", "--warmup_steps", "1", "--train_scenes", "24", "--val_scenes", "20", "--cpu", "true",
]  # fmt: skip
SMALL = {
    "train": _TINY,
    "evaluate": ["--cpu", "true"],
    "add_text": ["--images", "24", "--eval_images", "12", "--max_steps", "2", "--cpu", "true"],
}  # after a page's own settings: the last one counts
_FENCE = re.compile(r"^(?P<mark><!--(?P<said>[^\n]*?)-->\n)?```(?P<language>[^\n]*)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    code: str
    reason: str | None  # why it is not run

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page that a person wrote, by its path in the repository."""
    singles = ["README.md", "CONTRIBUTING.md", "space/README.md", "model_cards/README.md"]
    return singles + sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, text: str | None = None) -> list[Block]:
    """The blocks of a page in their order.

    Raises:
        AssertionError: a fence of no known language, a mark without a reason, or one that marks nothing.
    """
    text = text_of(page) if text is None else text
    found = []
    for match in _FENCE.finditer(text):
        block = Block(
            page, text.count("\n", 0, match.start("code")) + 1, match["language"], match["code"], RECORDS.get(page)
        )
        assert block.language in (*RUN, *SHOWN), f"{block}: a block of {block.language!r}: use one of {RUN + SHOWN}"
        if match["mark"]:
            said = re.fullmatch(r" not run: (\S.*\S) ", match["said"])
            assert said, f"{block}: <!--{match['said']}--> above a block: write <!-- not run: REASON -->"
            block = Block(page, block.line, block.language, block.code, said[1])
        found.append(block)
    marks = len(re.findall(r"<!--\s*not run", _FENCE.sub(lambda match: match["mark"] or "", text)))
    used = sum(block.reason is not None and page not in RECORDS for block in found)
    assert marks == used or page in RECORDS, (
        f"{page}: {marks} marks 'not run', of which {used} stand right above a block"
    )
    return found


def commands(code: str) -> list[list[str]]:
    """The words of every command of a block of shell; settings of the environment in front are left out."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    found = []
    for words in lines:
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words:
            found.append(words)
    return found


def script(name: str) -> ModuleType:
    """A script of `training/` as a module."""
    spec = importlib.util.spec_from_file_location(f"page_{name}", ROOT / "training" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def launched(words: list[str]) -> tuple[str, list[str]] | None:
    """Script and arguments of `python`, `torchrun` and `accelerate launch ... SCRIPT ...`; None for another program."""
    if words[:2] == ["accelerate", "launch"]:
        from accelerate.commands.launch import launch_command_parser

        given = launch_command_parser().parse_args(words[2:])
        return given.training_script, given.training_script_args
    if words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        given = get_args_parser().parse_args(words[1:])
        return given.training_script, given.training_script_args
    if words[0] == "python" and len(words) > 1:
        return words[1], words[2:]
    return None


def understand(words: list[str]) -> None:
    """Looks up every command and every option that a command names; run it in the root of the repository.

    Raises:
        AssertionError, ValueError, SystemExit: something is not there.
    """
    if words[0] == "hf-hyperbolic":
        from hf_hyperbolic.cli.main import build_parser

        build_parser().parse_args(words[1:])
    elif words[:2] == ["python", "-c"]:
        compile(words[2], "python -c", "exec")
    elif (started := launched(words)) is not None:
        _understand_script(*started)
    elif words[0] == "make":
        makefile = text_of("Makefile")
        for word in words[1:]:
            name, is_variable, _ = word.partition("=")
            known = rf"\$\({name}\)" if is_variable else rf"^{name}:"
            assert re.search(known, makefile, flags=re.M), f"the Makefile knows no {word}"
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
        named = ",".join(re.findall(r"\[([\w,-]+)\]", " ".join(words)))
        assert set(filter(None, named.split(","))) <= set(extras), f"no such extra: {named}"
    else:
        assert words[0] in OUTSIDE, f"{words[0]} is none of our programs, nor one of {OUTSIDE}"


def _understand_script(path: str, arguments: list[str]) -> None:
    from hf_hyperbolic.training.arguments import TrainArguments
    from hf_hyperbolic.training.pretrain_arguments import PretrainArguments
    from hf_hyperbolic.training.text_arguments import TextArguments

    if path in ("training/train.py", "training/train_with_trainer.py"):
        TrainArguments.parse(arguments)
    elif path == "training/add_text.py":
        HfArgumentParser(TextArguments).parse_args_into_dataclasses(arguments)
    elif path == "training/pretrain.py":
        PretrainArguments.parse(arguments)
    elif path == "training/evaluate.py":
        parser = HfArgumentParser(script("evaluate").EvaluateArguments)
        if "..." not in arguments:
            parser.parse_args_into_dataclasses(arguments)
    elif path == "training/compare.py":
        _, settings = script("compare").parse(arguments)
        TrainArguments.parse(settings)
    else:
        if path == "-m":
            spec = importlib.util.find_spec(arguments[0])
            assert spec is not None, f"no module {arguments[0]}"
            main = importlib.util.find_spec(f"{arguments[0]}.__main__") if spec.submodule_search_locations else spec
            assert main is not None, f"{arguments[0]} is no program"
            file = Path(str(main.origin))
        else:
            file = ROOT / path
        assert file.is_file(), f"no script {path}"
        source = file.read_text(encoding="utf-8")
        for option in (word for word in arguments if word.startswith("--")):
            assert f'"{option}"' in source, f"{path} knows no {option}"


def runner(words: list[str]) -> Callable[[], object] | None:
    """What runs a command in this process; None where nothing here does, so that its block needs a mark."""
    words = [STANDS_FOR.get(word, word) for word in words]
    if words[0] == "hf-hyperbolic":
        from hf_hyperbolic.cli.main import main

        return lambda: main(words[1:])
    started = launched(words)
    if started is None:
        return None
    path, arguments = started
    if path == "-m" and arguments[0].startswith("hf_hyperbolic."):
        return lambda: _run_module(arguments)
    if path.removeprefix("training/").removesuffix(".py") in SMALL and words[:3] != [
        "accelerate",
        "launch",
        "--multi_gpu",
    ]:
        name = Path(path).stem
        return lambda: script(name).main([*arguments, *SMALL[name]])
    return None


def _run_module(arguments: list[str]) -> None:
    before, sys.argv = sys.argv, list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=False)
    finally:
        sys.argv = before


def run_blocks(found: list[Block]) -> dict:
    """Runs the blocks of a page that carry no mark, in order and in the working directory.

    Returns:
        The names that the blocks of Python leave.

    Raises:
        AssertionError: a command did not end well; whatever a block of Python raises, with the line of the page.
    """
    names: dict = {}
    for block in found:
        if block.reason is not None or block.language not in RUN:
            continue
        if block.language == "python":
            # blank lines in front, so that a traceback shows the line of the page
            exec(compile("\n" * (block.line - 1) + block.code, block.page, "exec"), names)
            continue
        for words in commands(block.code):
            run = runner(words)
            assert run is not None, f"{block}: {shlex.join(words)} is not run here: mark its block"
            _run_command(block, words, run)
    return names


def _run_command(block: Block, words: list[str], run: Callable[[], object]) -> None:
    from accelerate.state import AcceleratorState, GradientState

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = run()
    except (Exception, SystemExit) as error:
        raise AssertionError(f"{block}: {shlex.join(words)}: {type(error).__name__}: {error}") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # as if every command had a process of its own
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    assert not status, f"{block}: {shlex.join(words)} ended with status {status}"


def train_options() -> set[str]:
    from hf_hyperbolic.training.arguments import TrainArguments

    return {field.name for field in fields(TrainArguments)}
