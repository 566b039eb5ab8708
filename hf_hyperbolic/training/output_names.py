"""Names of files and folders made from names of systems, checkpoints and data sets, none of which meets another's."""

import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from hf_hyperbolic.training.sources import same_data


def file_name(name: str) -> str:
    """Letters and digits of any script, with what stands between them made a hyphen."""
    return "-".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", name))) or "unnamed"


def file_names(names: Iterable[str]) -> list[str]:
    """`file_name` of each; one that is taken, in whatever case, gets the first number that is free."""
    taken: set[str] = set()
    found = []
    for name in map(file_name, names):
        found.append(next(one for one in _numbered(name) if one.casefold() not in taken))
        taken.add(found[-1].casefold())
    return found


def free_folder(first: Path, checkpoint: str | None, data: str) -> Path:
    """The first of `first`, `first-2`, ... that holds no figures of another checkpoint or on another data set.

    Args:
        first: folder for the `results.json` of training/evaluate.py.
        checkpoint: that is evaluated; None for a run.
        data: that it is evaluated on.
    """
    return next(
        first.with_name(name) for name in _numbered(first.name) if _may_write(first.with_name(name), checkpoint, data)
    )


def _may_write(folder: Path, checkpoint: str | None, data: str) -> bool:
    try:
        made = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        before, on = made["options"].get("checkpoint"), made.get("data", data)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # of whatever it is, not of this
        return False
    return before == checkpoint and same_data(on, data)


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))
