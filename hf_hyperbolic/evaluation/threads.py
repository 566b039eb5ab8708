"""Independent pieces of work on the cores that PyTorch may use, one core a piece.

Sorting a row, or scoring a block that fits in cache, takes milliseconds. Threads that meet at the end of every
operation lose more than they win by that, above all on a machine with other work; threads that share nothing do not.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

# cells of a block of scores: 1 MB of float32
_CACHE_CELLS = 1 << 18

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What a function returns for every item, in their order, without gradients.

    There are as many threads as `torch.get_num_threads()`, and within each PyTorch has one, so that what is spread may
    itself spread its work. NumPy and PyTorch let go of the interpreter while they compute.
    """
    threads = min(torch.get_num_threads(), len(items))

    def without_gradients(item: Item) -> Result:
        # whether gradients are recorded is a setting of each thread
        with torch.no_grad():
            return function(item)

    if threads <= 1:
        return [without_gradients(item) for item in items]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(without_gradients, items))
    finally:
        # the number set is that of the thread that sets it, and of every thread that starts later
        torch.set_num_threads(before)


def row_blocks(rows: int) -> list[slice]:
    """Slices of so many rows, one a thread."""
    threads = max(1, min(torch.get_num_threads(), rows))
    return [slice(rows * t // threads, rows * (t + 1) // threads) for t in range(threads)]


def cache_blocks(scores: torch.Tensor) -> list[slice]:
    """Slices of the rows of (Q, G) scores that fit in cache with what is made of them; one on an accelerator."""
    rows, gallery = scores.shape
    size = max(1, (_CACHE_CELLS // max(1, gallery)) if scores.device.type == "cpu" else rows)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
