"""Text files as they come: compressed or not, with a byte order mark or not; what is not UTF-8 is named."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


def open_text(path: Path) -> BinaryIO:
    """A text file's bytes, unpacked if it is compressed by gzip, without a byte order mark.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: empty, UTF-16 or UTF-32, or a zip archive.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'a folder, not a' if path.is_dir() else 'no such'} file")
    with open(path, "rb") as raw:
        magic = raw.read(4)
    if not magic:
        raise ValueError(f"{path}: the file is empty")
    if magic == b"PK\x03\x04":
        raise ValueError(f"{path}: a zip archive: unpack it first")
    opened = gzip.open if magic[:2] == b"\x1f\x8b" else open
    stream = cast(BinaryIO, opened(path, "rb"))
    try:
        start = stream.read(4)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
            raise ValueError(f"{path}: not UTF-8 but UTF-16 or UTF-32, or not text at all: save it as UTF-8")
        stream.seek(3 if start[:3] == b"\xef\xbb\xbf" else 0)
    except DAMAGE as error:
        stream.close()
        raise damaged(path, error) from error
    except ValueError:
        stream.close()
        raise
    return stream


def read_text(path: Path) -> str:
    """The whole of a text file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `open_text`, or not UTF-8.
    """
    with open_text(path) as stream:
        try:
            data = stream.read()
        except DAMAGE as error:
            raise damaged(path, error) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(path, data, error, 1) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `read_text`, not JSON, or nested too deep.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        advice = "the file ends early: it was cut short, fetch it again" if cut else error.msg
        raise ValueError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {advice}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of nested brackets
        raise ValueError(f"{path}: JSON that cannot be read: {error}") from error


def damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: the gzip data is damaged or cut short ({error}): fetch the file again")


def not_utf8(path: Path, data: bytes, error: UnicodeDecodeError, first_line: int) -> ValueError:
    """Names the line of `data`, whose first is `first_line`, that could not be decoded."""
    line = first_line + data[: error.start].count(b"\n")
    return ValueError(f"{path}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}): save the file as UTF-8")
