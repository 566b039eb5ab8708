"""Large CSV files -> typed columns, some megabytes of lines at a time, on threads, in bounded memory."""

import csv
import io
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from hf_hyperbolic.data.text_files import DAMAGE, damaged, not_utf8, open_text

# small enough that a few at once stay far below the arrays they become, large enough that their number costs nothing
_BLOCK_BYTES = 1 << 24
_MAX_HEADER_BYTES = 1 << 16
# beyond this a line is no row of a table, and a compressed file might hold gigabytes of it
_MAX_LINE_BYTES = 1 << 20
_CATEGORY = pa.dictionary(pa.int32(), pa.string())
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a CSV file.

    Attributes:
        columns: name -> (n,) float64 for numbers (null where there is none), dictionary-encoded text else.
        num_rows: n.
        cut: numbers, among the block's lines that are not blank, of those with more or fewer values than the header.
        first_line: line number in the file, from 1, of the block's first line.
        data: the lines themselves.
    """

    columns: dict[str, pa.Array]
    num_rows: int
    cut: tuple[int, ...]
    first_line: int
    data: bytes

    def numbers(self, *names: str) -> np.ndarray:
        """(n, names) float64, NaN where a value is missing or not a number."""
        return np.stack([as_numpy(self.columns[name]) for name in names], axis=1)

    def categories(self, name: str) -> tuple[np.ndarray, list[str]]:
        """(n,) int32 rows into the block's own list of values, and that list."""
        column = self.columns[name]
        return as_numpy(column.indices), column.dictionary.to_pylist()

    def lines(self, rows: np.ndarray) -> list[tuple[int, str]]:
        """Line number and text of some rows; goes through the block's lines, so meant for the few in a message."""
        wanted, cut = set(rows.tolist()), set(self.cut)
        kept = (line for number, line in enumerate(self._filled()) if number not in cut)
        return _pick(kept, wanted)

    def cut_lines(self, count: int) -> list[tuple[int, str]]:
        """Line number and text of the first `count` lines of the wrong length."""
        return _pick(self._filled(), set(self.cut[:count]))

    def _filled(self) -> Iterator[tuple[int, bytes]]:
        for number, line in enumerate(io.BytesIO(self.data), self.first_line):
            if line.strip(b"\r\n"):
                yield number, line


def as_numpy(column: pa.Array) -> np.ndarray:
    """(n,) numbers of an Arrow array, NaN where it has none; `to_numpy` would import pandas, which takes a second."""
    _, data = column.buffers()
    values = np.frombuffer(data or b"", dtype=str(column.type).replace("double", "float64"))
    values = values[column.offset : column.offset + len(column)]
    if not column.null_count:
        return values
    return np.where(np.array(column.is_null().to_pylist()), np.nan, values)


def map_blocks(
    path: Path,
    convert: Callable[[Block], _Result],
    *,
    text: Collection[str],
    numbers: Collection[str],
    optional: Collection[str] = (),
) -> Iterator[_Result]:
    """Calls `convert` on each block of a CSV file, on as many threads as there are processors; yields in file order.

    Columns are found by their names in the header, whatever their order; others are not read. Files compressed by gzip
    are read as they are.

    Args:
        path: the file, UTF-8.
        convert: what to make of a block; it must not keep it.
        text: columns of text.
        numbers: columns of numbers.
        optional: those of them that may be absent.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: empty, not UTF-8, not CSV, damaged, a column is missing, or a line is too long to be a row.
    """
    with open_text(path) as stream:
        header = _header(path, stream, [name for name in (*text, *numbers) if name not in optional])
        types = dict.fromkeys(text, _CATEGORY) | {name: pa.float64() for name in numbers}
        types = {name: type_ for name, type_ in types.items() if name in header}

        def work(data: bytes, first_line: int) -> _Result:
            return convert(_parse(path, data, first_line, header, types))

        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Future[_Result]] = deque()
            try:
                for data, first_line in _split(path, stream):
                    ahead.append(pool.submit(work, data, first_line))
                    if len(ahead) > threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


def _header(path: Path, stream: BinaryIO, required: Iterable[str]) -> list[str]:
    line = stream.readline(_MAX_HEADER_BYTES)
    try:
        header = [name.strip() for name in next(csv.reader([line.decode().rstrip("\r\n")]), [])]
    except (UnicodeDecodeError, csv.Error):
        header = []
    if len(line) == _MAX_HEADER_BYTES or not header:
        raise ValueError(f"{path}: line 1 is no header of a CSV file in UTF-8: {line[:60]!r}")
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(
            f"{path}: line 1 lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; found "
            f"{', '.join(header)[:300]}"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: line 1 names {', '.join(twice)} twice: column names must be unique")
    return header


def _split(path: Path, stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yields about `_BLOCK_BYTES` of whole lines, and the number of the first."""
    line = 2
    while True:
        try:
            data = stream.read(_BLOCK_BYTES)
            rest = stream.readline(_MAX_LINE_BYTES)
        except DAMAGE as error:
            raise damaged(path, error) from error
        if len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
            number = line + data.count(b"\n")
            raise ValueError(f"{path}: line {number} is longer than {_MAX_LINE_BYTES:,} bytes: no row of a CSV file")
        data += rest
        if not data:
            return
        yield data, line
        line += data.count(b"\n")


def _parse(path: Path, data: bytes, first_line: int, header: list[str], types: dict[str, pa.DataType]) -> Block:
    try:
        table, cut = _read(path, data, first_line, header, types)
    except pa.ArrowInvalid as error:
        try:
            data.decode()
        except UnicodeDecodeError as wrong:
            raise not_utf8(path, data, wrong, first_line) from error
        # some value is no number: read them as text, which is slower, and keep those that are
        as_text = {name: pa.string() if pa.types.is_floating(kind) else kind for name, kind in types.items()}
        table, cut = _read(path, data, first_line, header, as_text)
    columns = {}
    for name, kind in types.items():
        column = table[name].combine_chunks()
        if pa.types.is_floating(kind) and not pa.types.is_floating(column.type):
            trimmed = pc.utf8_trim_whitespace(column)
            column = pc.if_else(pc.match_substring_regex(trimmed, _NUMBER), trimmed, None).cast(kind)
        columns[name] = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return Block(columns, table.num_rows, tuple(cut), first_line, data)


def _read(
    path: Path, data: bytes, first_line: int, header: list[str], types: dict[str, pa.DataType]
) -> tuple[pa.Table, list[int]]:
    """The columns of a block, and the numbers (from 0, blank lines not counted) of the lines of the wrong length."""
    cut: list[int] = []
    unclosed: list[int] = []

    def skip(row: Any) -> str:
        cut.append(row.number - 1)
        if re.search(r"[\r\n]", row.text.rstrip("\r\n")):
            unclosed.append(row.number - 1)
        return "skip"

    table = pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(use_threads=False, column_names=header, block_size=len(data) + 1),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=skip),
        convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=list(types)),
    )
    if unclosed:
        raise ValueError(f"{path}: about line {first_line + unclosed[0]}: a quotation mark is opened and not closed")
    return table, cut


def _pick(lines: Iterable[tuple[int, bytes]], wanted: set[int]) -> list[tuple[int, str]]:
    found = []
    last = max(wanted, default=-1)
    for number, (line_number, line) in zip(range(last + 1), lines, strict=False):
        if number in wanted:
            text = line.decode(errors="replace").strip()
            found.append((line_number, text if len(text) <= 120 else text[:117] + "..."))
    return found
