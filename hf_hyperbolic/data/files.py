"""Files and folders that are either whole or not there."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def swapped_out(final: Path) -> Path:
    """Where `replace_folder` keeps the old folder for a moment; no name that a user would give."""
    return final.with_name(f".old-{final.name}-hf-hyperbolic")


def replace_folder(aside: Path, final: Path) -> None:
    """Puts the finished folder `aside` in place of `final`."""
    old = swapped_out(final)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(aside, final)
    shutil.rmtree(old, ignore_errors=True)


def finish_replacing(parent: Path) -> None:
    """Ends what `replace_folder` had begun with folders in `parent` when its process was killed."""
    suffix = swapped_out(Path("x")).name.removeprefix(".old-x")
    for old in parent.glob(f".old-*{suffix}"):
        final = old.with_name(old.name.removeprefix(".old-").removesuffix(suffix))
        if final.exists():
            shutil.rmtree(old)
        else:
            os.replace(old, final)


@contextmanager
def written_aside(path: Path, rivals: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends and is removed where it fails.

    With `rivals` other processes may write the same file at the same time.
    """
    own = f"-{os.getpid()}" if rivals else ""
    aside = path.with_name(f".writing-{path.name}{own}-hf-hyperbolic")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def folder_written_aside(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to write to, which takes its place when the block ends and is removed where it
    fails; what a killed process left there is removed first."""
    folder = folder.absolute()
    aside = folder.with_name(f".writing-{folder.name}-hf-hyperbolic")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        replace_folder(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file aside and renames it."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def weights_digest(folder: Path) -> str | None:
    """By which the weights in a folder are known again: SHA-256 of its safetensors; None where it has none."""
    digests = [sha256(file) for file in sorted(folder.glob("*.safetensors"))]
    if len(digests) < 2:
        return digests[0] if digests else None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
