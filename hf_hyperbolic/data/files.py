"""Files and folders that are either whole or not there."""

import os
import shutil
from pathlib import Path


def replace_folder(aside: Path, final: Path) -> None:
    """Puts the finished folder `aside` in place of `final`."""
    old = final.with_name(f"old-{final.name}")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(aside, final)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file aside and renames it."""
    aside = path.with_name(f"writing-{path.name}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
