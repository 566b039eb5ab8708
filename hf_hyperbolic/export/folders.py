"""Folders of exports: either whole or not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_hyperbolic.data.files import folder_written_aside


@contextmanager
def export_written_aside(folder: Path, mark: str) -> Iterator[Path]:
    """An empty folder beside `folder` to write to, which takes its place when the block ends.

    Args:
        folder: that is not there, is empty, or holds an earlier export, which is replaced.
        mark: path in the folder of a file that shows it to be such an export.

    Raises:
        FileExistsError: it holds something else.
        OSError: it cannot be written.
    """
    folder = folder.absolute()
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(f"{folder} is no folder: give a new one")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
        raise FileExistsError(
            f"{folder} holds something else than an earlier export ({mark}): give a new or an empty folder"
        )
    with folder_written_aside(folder) as aside:
        yield aside
