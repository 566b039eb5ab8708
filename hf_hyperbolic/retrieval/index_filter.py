"""`where={"class": "car"}`: which items of an index compete."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_hyperbolic.data.levels import DEEPEST, LEVEL_NAMES

# what a filter may name -> the column of an item
COLUMNS = {"class": "label", "label": "label", "level": "level", "split": "split", "id": "id", "image": "image"}
_NAMED = 12

Value = str | int | Sequence[str | int]
Where = Mapping[str, Value]


def check_where(where: Where, tables: Sequence[pa.Table]) -> dict[str, pa.Array]:
    """Column -> the values that pass.

    Raises:
        ValueError: a column or value that the items do not have; names those there are.
    """
    wanted: dict[str, pa.Array] = {}
    for name, given in where.items():
        if name not in COLUMNS:
            raise ValueError(f"where: no column {name!r}: choose from {', '.join(COLUMNS)}")
        column = COLUMNS[name]
        values = [given] if isinstance(given, str | int) else list(given)
        if column == "level":
            values = [_level(value) for value in values]
        kind = pa.int32() if column == "level" else pa.string()
        wanted[column] = pa.array([value if column == "level" else str(value) for value in values], kind)
        there: set[object] = set()
        for table in tables:
            there.update(pc.unique(table[column]).to_pylist())
        missing = [value for value in wanted[column].to_pylist() if value not in there]
        if missing:
            raise ValueError(f"where: no item has {name} {missing[0]!r}: {_there(str(missing[0]), there - {None})}")
    return wanted


def passing(table: pa.Table, wanted: Mapping[str, pa.Array], flag: str | None = None) -> np.ndarray | None:
    """(m,) int64 rows of a table whose columns all hold a wanted value and whose `flag` is true; None if all do."""
    mask = None if flag is None or pc.all(table[flag]).as_py() else table[flag]
    for column, values in wanted.items():
        this = pc.fill_null(pc.is_in(table[column], values), False)
        mask = this if mask is None else pc.and_(mask, this)
    return None if mask is None else np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def _level(value: str | int) -> int:
    if isinstance(value, str) and value in LEVEL_NAMES[:DEEPEST]:
        return LEVEL_NAMES.index(value)
    try:
        return int(value)
    except ValueError:
        names = ", ".join(LEVEL_NAMES[:DEEPEST])
        raise ValueError(f"where: level is a number from 0 or one of {names}; got {value!r}") from None


def _there(missing: str, values: Iterable[object]) -> str:
    names = sorted(map(str, values))
    near = difflib.get_close_matches(missing, names, 3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there is {', '.join(names[:_NAMED]) or 'none'}{', ...' if len(names) > _NAMED else ''}"
