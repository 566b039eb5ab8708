"""Exported data sets, indexes and the metric to repositories of the Hub."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hf_hyperbolic.hub.index_folder import INDEX, write_index_folder
from hf_hyperbolic.hub.staging import write_dry_run
from hf_hyperbolic.hub.upload import Kind, Target, open_repository, push_folder

DATA = Kind("data set", "dataset", "README.md", "Written by hf_hyperbolic", ("data/*.parquet",))
METRIC = Kind("metric", "space", "hier_ot.py", "class HierOt(evaluate.Metric)", space_sdk="gradio")


def push_data(folder: str | Path, target: Target, dry_run: str | Path | None = None) -> str:
    """Pushes what `data convert --to parquet` wrote: shards, card, plot.

    Args:
        folder: of the export.
        target: where it goes, a repository of data sets.
        dry_run: write it there and push nothing.

    Returns:
        The address of the commit or pull request, or the folder of the dry run.

    Raises:
        FileNotFoundError: there is no export, or a file of it is missing.
        ValueError: its splits do not belong together.
        OSError: as `open_repository` and `push_folder`.
    """
    from hf_hyperbolic.data.card import summarise
    from hf_hyperbolic.data.exported import CARD, PLOT

    root = Path(folder)
    summarise(root)
    if not (root / CARD).is_file():
        raise FileNotFoundError(f"{root} lacks its card ({CARD}): write it by hf_hyperbolic.data.card.write_card")

    def write(staged: Path) -> None:
        (staged / "data").mkdir()
        for file in sorted((root / "data").glob("*.parquet")):
            link(file, staged / "data" / file.name)
        # the card shows how to load it, by the name it has here
        text = (root / CARD).read_text(encoding="utf-8")
        named = text.replace(f'load_dataset("{root.absolute().name}")', f'load_dataset("{target.repo_id}")')
        (staged / CARD).write_text(named, encoding="utf-8")
        if (root / PLOT).is_file():
            shutil.copyfile(root / PLOT, staged / PLOT)

    return push_staged(target, DATA, write, dry_run)


def push_index(
    folder: str | Path,
    target: Target,
    model: str | None = None,
    thumbnails: bool = True,
    dry_run: str | Path | None = None,
) -> str:
    """Pushes an index, into a repository of data sets: embeddings, what they are of, a card; no path of this machine.

    Args:
        folder: of the index.
        target: where it goes.
        model: name on the Hub of the model that made it, by which it is loaded again; the index's own name of it when
            None.
        thumbnails: whether the small pictures it may hold go along.
        dry_run: write it there and push nothing.

    Returns:
        As `push_data`.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: a file of it is damaged, it is unfinished, or its model is not on the Hub.
        OSError: as `open_repository` and `push_folder`.
    """
    target.check()
    return push_staged(
        target,
        INDEX,
        lambda staged: write_index_folder(Path(folder), staged, target.repo_id, model, thumbnails),
        dry_run,
    )


def push_metric(target: Target, dry_run: str | Path | None = None) -> str:
    """Pushes `hier_ot` as a Space, from which `evaluate.load("user/hier_ot")` loads it.

    Args:
        target: where it goes; its name must end in `/hier_ot`, as `evaluate` asks for a file of that name.
        dry_run: write it there and push nothing.

    Returns:
        As `push_data`.

    Raises:
        ValueError: the repository has another name.
        OSError: as `open_repository` and `push_folder`.
    """
    if target.repo_id.rpartition("/")[2] != "hier_ot":
        raise ValueError(f"{target.repo_id}: evaluate looks for a file of the repository's name: give USER/hier_ot")
    source = Path(__file__).resolve().parents[1] / "evaluation" / "hier_ot"

    def write(staged: Path) -> None:
        for file in sorted(source.iterdir()):
            if file.suffix in (".py", ".md", ".txt"):
                shutil.copyfile(file, staged / file.name)

    return push_staged(target, METRIC, write, dry_run)


def push_staged(target: Target, kind: Kind, write: Callable[[Path], None], dry_run: str | Path | None) -> str:
    """Pushes what `write` fills a folder with, or writes it to the folder of a dry run; returns where it went."""
    target.check()
    if dry_run is not None:
        write_dry_run(Path(dry_run), write)
        return str(dry_run)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        api = open_repository(target, kind, Path(name))
        commit = push_folder(api, target, kind, Path(name))
    return commit.pr_url or commit.commit_url


def link(file: Path, place: Path) -> None:
    """The same file at another place: a link where both lie on one disk, else a copy."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)
