"""`where={"class": "car"}`: which items of an index compete."""

import difflib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_hyperbolic.data.levels import DEEPEST, LEVEL_NAMES

# what a filter may name -> the column of an item
COLUMNS = {"class": "label", "label": "label", "level": "level", "split": "split", "id": "id", "image": "image"}
_NAMED = 12
# of an index of 10 million items, each is at most 80 MB
_KEPT = 4

Value = str | int | Sequence[str | int]
Where = Mapping[str, Value]


class Competing:
    """Which rows compete, shard by shard, kept for when the same is asked again.

    Args:
        tables: gives what is known of the items, a table a shard; called where something is asked of them.
    """

    def __init__(self, tables: Callable[[], list[pa.Table]]) -> None:
        self._tables = tables
        self._kept: OrderedDict[Any, list[np.ndarray | None]] = OrderedDict()

    def rows(self, where: Where | None, flag: str | None) -> Mapping[int, np.ndarray | None]:
        """Shard -> (m,) int64 rows of it that compete; None, as for a shard that is not named, if all do.

        Raises:
            ValueError: as `check_where`.
        """
        where = where or {}
        if not (where or flag):
            return defaultdict(lambda: None)
        given = {name: (value,) if isinstance(value, str | int) else tuple(value) for name, value in where.items()}
        key = flag, tuple(sorted(given.items(), key=lambda entry: entry[0]))
        if key not in self._kept:
            tables = self._tables()
            wanted = check_where(given, tables)
            self._kept[key] = [passing(table, wanted, flag) for table in tables]
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return dict(enumerate(self._kept[key]))


def check_where(where: Where, tables: Sequence[pa.Table]) -> dict[str, pa.Array]:
    """Column -> the values that pass.

    Raises:
        ValueError: a column or value that the items do not have; names those there are. An empty list of values.
    """
    wanted: dict[str, pa.Array] = {}
    for name, given in where.items():
        if name not in COLUMNS:
            raise ValueError(f"where: no column {name!r}: choose from {', '.join(COLUMNS)}")
        column = COLUMNS[name]
        values = [given] if isinstance(given, str | int) else list(given)
        if not values:
            raise ValueError(f"where[{name!r}] is empty: give the values to keep, or leave {name!r} out")
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
    """(m,) int64 rows of a table whose columns all hold a wanted value and whose `flag` is true; None for every row."""
    mask = None if flag is None or pc.all(table[flag]).as_py() else table[flag]
    for column, values in wanted.items():
        this = pc.fill_null(pc.is_in(table[column], values), False)
        mask = this if mask is None else pc.and_(mask, this)
    # without rows a gallery is read as it lies
    if mask is None or pc.all(mask).as_py() is not False:
        return None
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


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
