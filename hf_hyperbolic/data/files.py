"""Files that are either whole or not there."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes a text file aside and renames it."""
    aside = path.with_name(f"writing-{path.name}")
    aside.write_text(text)
    os.replace(aside, path)
