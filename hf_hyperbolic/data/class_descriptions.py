"""Open Images class descriptions: class id (MID, for example `/m/01yrx`) -> the name people read (`Cat`)."""

import csv
import io
import os
from pathlib import Path

from hf_hyperbolic.data.text_files import read_text

# first cells of the headers that V6 and V7 files carry and V4 and V5 files do not
_HEADERS = frozenset({"label", "labelname", "mid", "id"})


def read_class_descriptions(class_file: str | os.PathLike[str]) -> dict[str, str]:
    """Class id -> name, in the order of the file; with or without a header line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not two columns, not UTF-8, empty, or a class id stands twice with different names.
    """
    path = Path(class_file)
    names: dict[str, str] = {}
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    for row in rows:
        if not row:
            continue
        if len(row) != 2 or not row[0].strip() or not row[1].strip():
            raise ValueError(
                f"{path}: line {rows.line_num} is not a class description: expected a class id and a name, got {row}"
            )
        mid, name = row[0].strip(), row[1].strip()
        if not names and mid.lower() in _HEADERS:
            continue
        if names.setdefault(mid, name) != name:
            raise ValueError(f"{path}: line {rows.line_num} calls {mid} {name!r}, an earlier line {names[mid]!r}")
    if not names:
        raise ValueError(f"{path}: describes no class: expected lines of a class id and a name, with a comma between")
    return names
