"""Tiles of queries shared out over the processes of a distributed run.

A tile is worked on whole by one process, and results come together in the order of the queries: each process then holds
what one process alone would have found, to the last bit where processes have equal numbers of threads, since every
matrix product has the shape it has there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist
from tqdm.auto import tqdm

from hf_hyperbolic.evaluation.nodes import tiles

Found = TypeVar("Found")
Item = TypeVar("Item")

# a bar is shown for what takes longer, in seconds
_PATIENCE = 10


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is; all of them do the same calls in the same order.

    Attributes:
        rank: of this process, from 0.
        count: of all processes.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_group(cls) -> "Processes":
        """Those of the process group that `accelerate launch` or `torchrun` started; this one alone without a group."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    def share(self, items: int) -> slice:
        """This process' run of `items` things in a row; shares differ by one at most."""
        return slice(items * self.rank // self.count, items * (self.rank + 1) // self.count)

    def gather(self, part: Any) -> list[Any]:
        """The parts of all processes in order of rank, on every process; what is gathered can be pickled."""
        if self.count == 1:
            return [part]
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, part)
        return parts


ALONE = Processes()


def map_shared(
    function: Callable[[Item], Found], items: Sequence[Item], processes: Processes = ALONE, what: str | None = None
) -> list[Found]:
    """What a function finds for every item, in their order, on every process.

    Args:
        function: each process calls it for its share of the items; what it finds can be pickled.
        items: the same on all processes.
        processes: that share the work.
        what: is named beside the progress bar, which shows when this takes long and is looked at; None for no bar.

    Raises:
        Exception: what `function` raised, on its process, and on the others a RuntimeError that says the same: none
            waits for one that has failed.
    """
    mine = items[processes.share(len(items))]
    found: list[Found] = []
    failure: Exception | None = None
    hidden = True if what is None else None  # None: where nobody looks
    try:
        for item in tqdm(mine, desc=what, unit="tile", delay=_PATIENCE, leave=False, disable=hidden):
            found.append(function(item))
    except Exception as error:
        if processes.count == 1:
            raise
        failure = error
    # not the error itself: some cannot be sent
    what_failed = None if failure is None else f"{type(failure).__name__}: {failure}"
    parts = processes.gather(([], what_failed) if failure is not None else (found, None))
    if failure is not None:
        raise failure
    for rank, (_, failed) in enumerate(parts):
        if failed is not None:
            raise RuntimeError(f"process {rank} failed: {failed}")
    return [result for results, _ in parts for result in results]


def map_tiles(
    of_tile: Callable[[slice], Found],
    queries: int,
    gallery: int,
    processes: Processes = ALONE,
    what: str | None = None,
) -> list[Found]:
    """`map_shared` over the tiles of `queries` queries that are compared with `gallery` items each."""
    return map_shared(of_tile, list(tiles(queries, gallery)), processes, what)
