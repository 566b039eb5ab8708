"""Matrix products in full float32 for a while, whatever the process has set."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Searches of one process at a time that need full precision, and what to restore after the last of them.
_lock = threading.Lock()
_searching: dict[str, int] = {}
_before: dict[str, tuple[str, str | None]] = {}


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Products without TF32 or bfloat16, whose error is far beyond the bounds used here.

    The setting is the process's: the first of several searches at once saves it, the last restores it.
    """
    backend = "mkldnn" if device.type == "cpu" else "cuda"
    with _lock:
        _searching[backend] = _searching.get(backend, 0) + 1
        if _searching[backend] == 1:
            _before[backend] = _set_precision(backend)
    try:
        yield
    finally:
        with _lock:
            _searching[backend] -= 1
            if not _searching[backend]:
                _restore_precision(backend, *_before.pop(backend))


def _set_precision(backend: str) -> tuple[str, str | None]:
    """What is to be restored: a setting, and what it is to read as."""
    matmul = getattr(torch.backends, backend).matmul
    if not hasattr(matmul, "fp32_precision"):  # torch before 2.9
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        return before, None
    before = matmul.fp32_precision
    if before not in ("ieee", "none"):
        matmul.fp32_precision = "ieee"
    return before, before


def _restore_precision(backend: str, setting: str, read: str | None) -> None:
    if read is None:
        torch.set_float32_matmul_precision(setting)
        return
    matmul = getattr(torch.backends, backend).matmul
    if matmul.fp32_precision == read:
        return
    # what was inherited from the backend or from all of torch stays inherited
    matmul.fp32_precision = "none"
    if matmul.fp32_precision != read:
        matmul.fp32_precision = setting
