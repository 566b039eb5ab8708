"""The data workers of this process's loaders, so that a run that fails ends those and no other process."""

from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any
from weakref import WeakSet

from torch.utils.data import DataLoader

_STARTED: WeakSet[BaseProcess] = WeakSet()


def batches(loader: DataLoader) -> Iterator[Any]:
    """`iter(loader)`, whose workers are among those that `running` gives."""
    found = iter(loader)
    _STARTED.update(getattr(found, "_workers", ()))  # without workers it has none
    return found


def running() -> set[BaseProcess]:
    """Data workers that `batches` has started and that have not ended."""
    return {worker for worker in _STARTED if worker.is_alive()}
