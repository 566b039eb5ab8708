"""One writer at a time for an index."""

import json
import logging
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

_LOCK, _WRITER = "writer.lock", "writer.json"
_logger = logging.getLogger(__name__)


class IndexLockedError(OSError):
    """Another process, or another part of this one, is writing to the index."""


class WriterLock:
    """Held while an index is written to; the system releases it when its process ends, however it ends.

    `writer.json` says who holds it. Where that file was left behind the lock was not: its writer was killed, which is
    logged, and what it had finished is gone on from.

    Raises:
        IndexLockedError: somebody else holds it; says who.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / _LOCK, timeout=0)

    def acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise IndexLockedError(
                f"{self._folder} is being written to{self._writer()}: wait until that has ended, or stop it"
            ) from None
        if (self._folder / _WRITER).exists():
            _logger.warning("%s: its last writer%s was killed; going on from what it had finished", self._folder,
                            self._writer())  # fmt: skip
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        (self._folder / _WRITER).write_text(json.dumps(about))

    def release(self) -> None:
        if self._lock.is_locked:
            (self._folder / _WRITER).unlink(missing_ok=True)
            self._lock.release()

    def _writer(self) -> str:
        try:
            about = json.loads((self._folder / _WRITER).read_text())
            return f" (process {about['pid']} on {about['host']}, since {about['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def __enter__(self) -> "WriterLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
