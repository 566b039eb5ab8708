"""The web demo, as `space/assemble.py` lays it out, to a Space of the Hub."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from huggingface_hub import SpaceCard, SpaceCardData

from hf_hyperbolic.hub.push_data import link, push_staged
from hf_hyperbolic.hub.upload import Kind, Target
from hf_hyperbolic.retrieval.index_manifest import MANIFEST

CARD, APP = "README.md", "app.py"
_FOLDERS = ("hf_hyperbolic", "model", "index", "images")
SPACE = Kind(
    "Space",
    "space",
    APP,
    "from sources import HERE, NothingToServeError, open_source",
    tuple(f"{folder}/*" for folder in _FOLDERS),
    space_sdk="gradio",
)
_OWN = ("*.py", "*.js", "*.css", CARD, "requirements.txt")
_NEEDED = (APP, CARD, "requirements.txt", "hf_hyperbolic/__init__.py", "model/config.json", f"index/{MANIFEST}")


def push_space(
    folder: str | Path,
    target: Target,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    dry_run: str | Path | None = None,
) -> str:
    """Pushes the demo: the app, the package, a model, an index and its pictures. Nothing else in the folder goes along.

    Args:
        folder: that `space/assemble.py` wrote.
        target: where it goes, a Space.
        models: names on the Hub of what the demo shows, which links it from their pages.
        datasets: the same of data sets.
        dry_run: write it there and push nothing.

    Returns:
        The address of the commit or pull request, or the folder of the dry run.

    Raises:
        FileNotFoundError: the folder is not there, or lacks a part of a Space.
        ValueError: its app is another one, or its card has no front matter.
        OSError: as `open_repository` and `push_folder`.
    """
    root = Path(folder)
    missing = [name for name in _NEEDED if not (root / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{root} is no whole Space, it lacks {', '.join(missing)}: lay one out by `python space/assemble.py`"
        )
    if SPACE.text not in (root / APP).read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{root / APP} is another app than the demo of this library: push it by `hf upload`")
    card = _card(root / CARD, models, datasets)

    def write(staged: Path) -> None:
        for pattern in _OWN:
            for file in sorted(root.glob(pattern)):
                shutil.copyfile(file, staged / file.name)
        for name in _FOLDERS:
            for file in sorted((root / name).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    place = staged / file.relative_to(root)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    link(file, place)
        (staged / CARD).write_text(card, encoding="utf-8")

    return push_staged(target, SPACE, write, dry_run)


def _card(file: Path, models: Sequence[str], datasets: Sequence[str]) -> str:
    """The text of the card; what it shows is named in the front matter, beside what that named before."""
    try:
        card = SpaceCard(file.read_text(encoding="utf-8"))
        data = cast(SpaceCardData, card.data)
    except ValueError as error:
        raise ValueError(f"{file} has no front matter that can be read: {error}") from error
    if data.sdk != SPACE.space_sdk:
        raise ValueError(f"{file} says sdk: {data.sdk}, and the demo is one of {SPACE.space_sdk}")
    data.models = list(dict.fromkeys([*(data.models or []), *models]))
    data.datasets = list(dict.fromkeys([*(data.datasets or []), *datasets]))
    return str(card)
