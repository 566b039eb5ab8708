"""The site leaves nothing out: pages are in its menu, public names in the reference, and no message is invented."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml
from page_blocks import ROOT, pages, text_of

NAMES = [
    (module, name)
    for module in ("hf_hyperbolic", "hf_hyperbolic.data", "hf_hyperbolic.evaluation", "hf_hyperbolic.losses")
    for name in importlib.import_module(module).__all__
]


def menu(entries: object) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    inner = entries.values() if isinstance(entries, dict) else entries
    return [page for entry in inner for page in menu(entry)]


def test_every_page_is_in_the_menu():
    listed = menu(yaml.safe_load(text_of("mkdocs.yml"))["nav"])
    assert len(set(listed)) == len(listed)
    places = {page.removeprefix("repository/") if page.startswith("repository/") else f"docs/{page}" for page in listed}
    assert places >= set(pages())
    assert all((ROOT / place).is_file() for place in places)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_is_in_the_reference(module, name):
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    assert re.search(rf"^::: hf_hyperbolic\S*\b{name}$", text, flags=re.M)


def test_the_reference_names_what_there_is():
    for path in (ROOT / "docs" / "reference").glob("*.md"):
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), flags=re.M):
            module, _, attribute = name.rpartition(".")
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                assert hasattr(importlib.import_module(module), attribute), name


def literals() -> list[str]:
    """Every text in the sources, an `…` in place of what is put into it."""
    found = []
    for folder in ("hf_hyperbolic", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    sources = literals()
    blocks = re.findall(r"^```text\n(.*?)^```$", text_of("docs/troubleshooting.md"), flags=re.M | re.S)
    messages = [line for block in blocks for line in block.splitlines()]
    assert len(messages) > 20
    for message in messages:
        # a name or number of the page stands for one of the source, and the source may say more behind it
        pieces = [re.escape(piece.strip()) for piece in message.split("…") if piece.strip(" .:;,()")]
        wanted = re.compile("[^.]*?".join(pieces), flags=re.S)
        assert any(wanted.search(text) for text in sources), message


def test_a_message_that_no_code_has_is_noticed():
    assert not any("the wheel has come off" in text for text in literals())
    assert any(re.search("holds no index", text) for text in literals())


def test_settings_tables_show_every_setting():
    hooks = Path(ROOT / "docs" / "hooks.py")
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("page_hooks", hooks)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from dataclasses import fields

    from hf_hyperbolic.training.arguments import TrainArguments

    table = module.settings_table(
        [f"hf_hyperbolic/training/{name}.py" for name in ("run_arguments", "fine_tuning_arguments", "arguments")]
    )
    assert set(re.findall(r"^\| `--(\w+)`", table, flags=re.M)) == {field.name for field in fields(TrainArguments)}
    assert "| `--threshold` | 0.8 | share of a box inside another that makes it its child" in table
    assert "| `--seed` | 0 |  |" in table


def test_drawings_are_shown_by_the_scheme_of_the_reader():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("page_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def shown(markdown):
        page = str(ROOT / "docs" / "idea.md")
        return module._IMAGE.sub(lambda image: module.by_scheme(image, page), markdown)

    both = shown("![The cone](idea/cone.svg)")
    assert both == "![The cone](idea/cone.svg#only-light)![The cone](idea/cone-dark.svg#only-dark)"
    for plain in ("![Scenes](scenes.jpg)", "![Nothing](idea/nothing.svg)", "[A link](idea/cone.svg)"):
        assert shown(plain) == plain
    pictures = re.findall(r"!\[[^]]*\]\([^)]*\.svg[^)]*\)", shown(text_of("docs/idea.md")))
    assert len(pictures) == 8


def test_links_out_of_the_pages_lead_into_the_site():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("page_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for here, link, place in (
        ("data.md", "detect.md", "detect.md"),
        ("hub.md", "../model_cards/README.md", "repository/model_cards/README.md"),
        ("repository/README.md", "docs/search.md", "search.md"),
        (
            "repository/model_cards/README.md",
            "../training/configs/photographs.yaml",
            "repository/training/configs/photographs.yaml",
        ),
        ("repository/model_cards/README.md", "template.md", "repository/model_cards/template.md.txt"),
        ("reference/losses.md", "../idea.md", "idea.md"),
    ):
        assert module._place(link, here) == place
