"""Results of a long run, one line of JSON an item, from which an interrupted run goes on."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any


class ResultLines:
    """A file whose first line states the settings of a run and whose other lines hold one result each.

    `results` holds those read from the file at opening and those written since, by key. A last line without its end
    (the run was killed while writing) is cut off. Use as a context manager.

    Args:
        path: the file; made if there is none.
        settings: what the results depend on; anything JSON can hold.

    Raises:
        ValueError: the file holds results of other settings, or a line in its middle is damaged.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.results: dict[str, Any] = {}
        whole = _whole_lines(path)
        if whole:
            self._read(whole, json.loads(json.dumps(settings)))
        self._stream = open(path, "ab")  # noqa: SIM115 (closed by __exit__)
        self._stream.truncate(len(whole))
        if not whole:
            self._write({"settings": settings})

    def _read(self, content: bytes, settings: dict[str, Any]) -> None:
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                entry = json.loads(line)
                if number == 1:
                    found = entry["settings"]
                else:
                    self.results[entry["key"]] = entry["result"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}: line {number} is damaged: delete the file to start anew, or that line to do its "
                    "item again"
                ) from error
            if number == 1 and found != settings:
                changed = [
                    f"{name} (there {found.get(name)!r}, now {settings.get(name)!r})"
                    for name in sorted(found.keys() | settings.keys())
                    if found.get(name) != settings.get(name)
                ]
                raise ValueError(
                    f"{self.path} holds results of other settings: {'; '.join(changed)}. Go on with those settings, "
                    "write to another file, or delete this one to start anew"
                )

    def add(self, key: str, result: Any) -> None:
        """Writes one result, which is on its way to the disk when this returns."""
        self._write({"key": key, "result": result})
        self.results[key] = result

    def _write(self, entry: dict[str, Any]) -> None:
        self._stream.write(json.dumps(entry).encode() + b"\n")
        self._stream.flush()

    def __enter__(self) -> "ResultLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


def _whole_lines(path: Path) -> bytes:
    if not os.path.exists(path):
        return b""
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]
