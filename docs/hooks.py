"""Hooks of mkdocs: what lies outside docs/ and belongs to the site, without a second copy in the repository.

- A page or file outside docs/ that a page links to, or that mkdocs.yml names, joins the site under `repository/`, and
  links to it lead there: the README, the metric's card, a recipe in YAML.
- `<!-- settings: FILE ... -->` becomes a table of the settings that the dataclasses of these files hold.
- A drawing beside which lies a `-dark` one, `idea/cone.svg` and `idea/cone-dark.svg`, is shown in the one or the
  other, by the scheme that the reader has chosen. On GitHub the first, on white, serves both.
- The start page is docs/start.md: docs/index.md is about indexes.

Links in the pages are those that work on GitHub.
"""

import ast
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = "repository/"
_LINK = re.compile(r"(?P<before>\]\()(?P<to>[^)\s#:]+)(?P<after>#[^)\s]*)?(?=\))")
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<to>[^)\s#:]+)\.svg\)")
_SETTINGS = re.compile(r"^<!-- settings: (.+) -->$", re.M)
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")  # anchors as GitHub makes them
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    _move(files, "start.md", "index", "index.html", "./")
    _move(files, "index.md", "index-on-disk", "index-on-disk/index.html", "index-on-disk/")
    waiting = [OUTSIDE + path for path in re.findall(rf"'{OUTSIDE}([^']+)'", str(config.nav))]
    waiting += [link for file in files.documentation_pages() for link in _links(file.content_string, file.src_uri)]
    while waiting:
        place = waiting.pop()
        if not place.startswith(OUTSIDE) or files.get_file_from_path(place):
            continue
        source = ROOT / place.removeprefix(OUTSIDE).removesuffix(".txt")
        if not source.is_file():
            continue  # mkdocs tells of the link
        if source.suffix == ".md":
            text = source.read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=text))
            waiting += _links(text, place)
        else:
            files.append(File.generated(config, place, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    here = page.file.src_uri
    markdown = _IMAGE.sub(lambda image: by_scheme(image, page.file.abs_src_path), markdown)
    markdown = _SETTINGS.sub(lambda found: settings_table(found[1].split()), markdown)
    return _outside_fences(markdown, lambda text: _LINK.sub(lambda link: _relative(link, here), text))


def by_scheme(image: re.Match[str], page: str | None) -> str:
    """The image, or both that are there, each for one scheme as mkdocs-material tells them apart."""
    to = image["to"]
    if page is None or not (Path(page).parent / f"{to}-dark.svg").is_file():
        return image[0]
    return f"![{image['alt']}]({to}.svg#only-light)![{image['alt']}]({to}-dark.svg#only-dark)"


def _move(files: Files, source: str, name: str, place: str, url: str) -> None:
    file = files.get_file_from_path(source)
    assert file is not None, f"docs/{source} is missing"
    file.name, file.dest_uri, file.url = name, place, url


def _links(text: str, here: str) -> list[str]:
    """Places on the site that a page links to."""
    return [_place(link["to"], here) for link in _LINK.finditer(_FENCE.sub("", text))]


def _place(link: str, here: str) -> str:
    """Where on the site a link of the repository leads."""
    folder = PurePosixPath(here.removeprefix(OUTSIDE) if here.startswith(OUTSIDE) else f"docs/{here}").parent
    target = os.path.normpath(folder / link)
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    # a template is no page: it is shown as it is
    return OUTSIDE + target + (".txt" if target.endswith("/template.md") else "")


def _relative(link: re.Match[str], here: str) -> str:
    to = os.path.relpath(_place(link["to"], here), PurePosixPath(here).parent)
    return f"{link['before']}{to}{link['after'] or ''}"


def _outside_fences(text: str, change: Any) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def settings_table(files: list[str]) -> str:
    """Name, default and help of every field of the dataclasses in these files, read without importing them."""
    rows: dict[str, str] = {}
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_field(node.value):
                rows[node.target.id] = _row(node.target.id, ast.unparse(node.annotation), node.value)
    assert rows, f"{files} hold no settings"
    return "\n".join(["| setting | default | what it is |", "| --- | --- | --- |", *rows.values()])


def _is_field(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "field"


def _row(name: str, kind: str, value: Any) -> str:
    given = {word.arg: word.value for word in value.keywords}
    default = given.get("default", given.get("default_factory"))
    shown = "" if default is None else ast.unparse(default.body if isinstance(default, ast.Lambda) else default)
    shown = {"list": "none", "None": "none"}.get(shown, shown.strip("'"))
    help_ = ""
    if "metadata" in given:
        text = given["metadata"].values[0]
        # names of choices within an f-string are left to --help
        parts = text.values if isinstance(text, ast.JoinedStr) else [text]
        help_ = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
    return f"| `--{name}` | {shown} | {help_.replace('|', '/').replace('<', '&lt;')} |"
