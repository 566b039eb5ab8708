"""What would be pushed, as a folder to look at."""

from collections.abc import Callable
from pathlib import Path

from hf_hyperbolic.data.files import folder_written_aside

MARK = ".hf-hyperbolic-dry-run"


def write_dry_run(folder: Path, write: Callable[[Path], None]) -> None:
    """Writes a folder aside and puts it in place.

    Args:
        folder: that is not there, is empty, or holds an earlier dry run, which is replaced.
        write: what fills it.

    Raises:
        FileExistsError: it holds something else.
        OSError: it cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(f"{folder} is no folder: give --dry-run a new one")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise FileExistsError(f"{folder} holds something else than a dry run: give --dry-run a new or an empty folder")
    with folder_written_aside(folder) as aside:
        write(aside)
        (aside / MARK).touch()
