"""What the pages show is what happens: every block of code is run, or says in the page's source why not."""

import re
import shutil
from pathlib import Path

import pytest
from page_blocks import (
    ROOT,
    RUN,
    SMALL,
    blocks,
    commands,
    pages,
    run_blocks,
    runner,
    script,
    text_of,
    train_options,
    understand,
)

from hf_hyperbolic.data.scenes import write_scenes

PAGES = pages()
# run by tests that also look at what comes out
ELSEWHERE = {"docs/export.md": "export/test_export_page.py", "docs/converters.md": "converters/test_meru.py"}
INDEX = "hf-hyperbolic index build outputs/demo/best outputs/scenes outputs/index"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """What the pages take for granted: the run of `make demo`, another beside it, an index, a data set, pictures."""
    place = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write_scenes("outputs/scenes", "test", 20)
        for split, count in (("train", 16), ("val", 8)):
            write_scenes("photos", split, count, size=96)
        write_scenes("drawn", "test", 5, size=96)
        shutil.move("drawn/test", "pictures")
        train = f"```bash\npython training/train.py --output_dir outputs/demo {' '.join(SMALL['train'])}\n```\n"
        index = f"```bash\n{INDEX} --split test --thumbnails 96\n```\n"
        run_blocks(blocks("the tests' own", train + index))
        shutil.copytree("outputs/demo", "outputs/cosine")
        (place / "training").symlink_to(ROOT / "training")
        (place / "docs").mkdir()
    return place


@pytest.fixture
def workplace(prepared, tmp_path, monkeypatch):
    """A copy of it to work in, offline."""
    place = tmp_path / "workplace"
    shutil.copytree(prepared, place, symlinks=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")
    return place


def runs_anything(page: str) -> bool:
    try:
        return any(block.reason is None and block.language in RUN for block in blocks(page))
    except AssertionError:  # which its test then tells
        return True


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE and runs_anything(page)])
def test_page_runs(page, workplace):
    if page == "docs/qdrant.md":
        pytest.importorskip("qdrant_edge")
    if INDEX in text_of(page):  # so that it builds its own
        shutil.rmtree("outputs/index")
    run_blocks(blocks(page))


def test_pages_that_are_run_elsewhere_are():
    for page, test in ELSEWHERE.items():
        assert f'run_blocks(blocks("{page}"' in (ROOT / "tests" / test).read_text(), test


def check(page: str, text: str | None = None) -> None:
    """Every command of the page names what there is, and can be run or is marked."""
    for block in blocks(page, text):
        if block.language == "python":
            compile(block.code, str(block), "exec")
        for words in commands(block.code) if block.language == "bash" else []:
            try:
                understand(words)
            except (ValueError, SystemExit, AssertionError) as error:
                raise AssertionError(f"{block}: {' '.join(words)}: {error}") from error
            assert block.reason or runner(words), f"{block}: {' '.join(words)} is neither run nor marked"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_understood_and_run_or_marked(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    check(page)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```bash\nhf-hyperbolic data inspekt PATH\n```\n", "p.md:2: hf-hyperbolic data inspekt PATH: 2"),
        ("```bash\nhf-hyperbolic data inspect PATH --splitt val\n```\n", "--splitt val: 2"),
        ("```bash\npython training/train.py --no_such 1\n```\n", "no_such"),
        ("```bash\npython training/compare.py --no_such 1\n```\n", "no_such"),
        ("```bash\npython training/evaluate.py --run outputs/demo --no_such 1\n```\n", "no_such"),
        ("```bash\naccelerate launch --no_such 1 training/train.py\n```\n", "p.md:2"),
        ("```bash\nmake demo\n```\n", "p.md:2: make demo is neither run nor marked"),
        ("<!-- not run: long -->\n```bash\nmake coffee\n```\n", "the Makefile knows no coffee"),
        ("<!-- not run: network -->\n```bash\npip install -e '.[no-such]'\n```\n", "no such extra: no-such"),
        ("<!-- not run: network -->\n```bash\ncurl x | sh\n```\n", "curl is none of our programs"),
        ("<!-- not run: network -->\n```bash\npython benchmarks/index.py --no_such 1\n```\n", "knows no --no_such"),
        ("<!-- not run -->\n```bash\nmake demo\n```\n", "write <!-- not run: REASON -->"),
        ("<!-- not run: far off -->\n\n```bash\nmake demo\n```\n", "1 marks 'not run', of which 0"),
        ("```sh\nmake demo\n```\n", "a block of 'sh'"),
        ("```\nmake demo\n```\n", "a block of ''"),
    ],
)
def test_a_faulty_block_is_named(text, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(AssertionError) as error:
        check("p.md", text)
    assert message in f"{error.value} {capsys.readouterr().err}"


def test_a_block_that_fails_fails_at_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NameError) as error:
        run_blocks(blocks("p.md", "words\n\n```python\nx = 1\nprint(y)\n```\n"))
    assert (str(error.traceback[-1].path), error.traceback[-1].lineno + 1) == ("p.md", 5)
    with pytest.raises(AssertionError, match=r"p.md:2: hf-hyperbolic data inspect nowhere .*status 2"):
        run_blocks(blocks("p.md", "```bash\nhf-hyperbolic data inspect nowhere --split val\n```\n"))
    assert (
        run_blocks(blocks("p.md", "```python\na = 1\n```\n<!-- not run: later -->\n```python\na = 2\n```\n"))["a"] == 1
    )


def understand_mention(words: list[str]) -> None:
    """A command in running text; where its bare name stands, the name alone is looked up."""
    from hf_hyperbolic.cli.main import COMMANDS, SINGLE

    names = words[1:]
    if words[0] == "hf-hyperbolic" and (
        names in [[name] for name in (*COMMANDS, *SINGLE)]
        or (len(names) == 2 and names[1] in COMMANDS.get(names[0], ()))
    ):
        return
    if words[:2] == ["accelerate", "launch"] and not any(word.endswith(".py") for word in words):
        words = [*words, "training/train.py"]
    try:
        understand(words)
    except SystemExit as end:
        if end.code:  # not what --help ends with
            pytest.fail(f"{' '.join(words)}: {end}")


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_are_understood(page, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)):
        if re.match(r"([A-Z_]+=\S+ )?(hf-hyperbolic|accelerate launch|python|make) \S", code) and "..." not in code:
            understand_mention(commands(code)[0])


@pytest.mark.parametrize("page", PAGES)
def test_settings_in_the_text_exist(page):
    """What stands as `--some_setting` (with an underscore: the scripts' own) is one of a script's."""
    known = train_options()
    for name in ("pretrain", "compare", "add_text"):
        known |= set(re.findall(r"^    (\w+): ", (ROOT / "training" / f"{name}.py").read_text(), flags=re.M))
    known |= {
        setting
        for name in ("pretrain_arguments", "text_arguments", "evaluate_arguments")
        for setting in re.findall(r"^    (\w+): ", (ROOT / f"hf_hyperbolic/training/{name}.py").read_text(), flags=re.M)
    }
    accelerate = {
        "num_processes", "num_machines", "num_cpu_threads_per_process", "mixed_precision", "multi_gpu", "config_file",
        "nproc_per_node",
    }  # fmt: skip
    text = re.sub(r"<[^>]*>", "", text_of(page))
    assert set(re.findall(r"--(\w+_\w+)", text)) <= known | accelerate


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_links_lead_somewhere(page):
    text = text_of(page)
    for path in set(re.findall(r"(?<![\w/.])((?:training|docs|hf_hyperbolic|benchmarks|tests)/[\w./-]*\w)", text)):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        if not re.match(r"\w+:", link):
            file, _, anchor = link.partition("#")
            target = ((ROOT / page).parent / file).resolve() if file else ROOT / page
            assert target.is_relative_to(ROOT), link
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and the site name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_make_target_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z-]+)", text_of(page), flags=re.M)}
    assert named <= targets


def test_scripts_that_are_made_small_take_what_makes_them_small():
    for name in SMALL:
        assert script(name).main
