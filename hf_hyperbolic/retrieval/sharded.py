"""Exact search in a gallery spread over processes, each holding a part of it."""

import hashlib

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval.search import Embeddings, SearchResult, search


def search_sharded(
    queries: Embeddings,
    shard: Embeddings,
    k: int,
    measure: str = "beta",
    direction: str = "children",
    curvature: lorentz.Curvature | None = None,
    tile_rows: int | None = None,
) -> SearchResult:
    """`search` in the gallery made of all processes' shards in order of rank: the same answer, on every process.

    Call it on every process of the group (`accelerate launch`, `torchrun`), with the same queries on each. Shards may
    differ in length and may be empty. Between processes travel queries x k scores and rows, never embeddings. Without a
    process group it is `search`.

    Args:
        queries: (Q, D) embeddings, the same on every process.
        shard: (G_rank, D) embeddings of this process.
        k: as in `search`, of the whole gallery.
        measure: as in `search`.
        direction: as in `search`.
        curvature: as in `search`.
        tile_rows: as in `search`.

    Returns:
        `SearchResult` whose indices count the rows of all shards, one after the other in order of rank.

    Raises:
        ValueError: as in `search`, on every process at once, naming the process where it happened; or where processes
            pass different queries or settings.
        RuntimeError: for any other error of a process (out of memory, say), on every process at once, naming it.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return search(queries, shard, k, measure, direction, curvature, tile_rows=tile_rows)
    # A process that stopped on its own would leave the others waiting: what it has to say is told to all first.
    result, failure, problem = None, None, None
    try:
        result = search(queries, shard, k, measure, direction, curvature, tile_rows=tile_rows)
    except Exception as error:
        failure, problem = error, (type(error).__name__, str(error), isinstance(error, ValueError))
    settings = None
    if problem is None:
        settings = (k, measure, direction, None if curvature is None else float(curvature), _digest(queries))
    told: list[tuple[tuple[str, str, bool] | None, tuple[object, ...] | None, int]] = []
    told += [(None, None, 0)] * dist.get_world_size()
    dist.all_gather_object(told, (problem, settings, 0 if problem is not None else len(shard)))
    for rank, (theirs, _, _) in enumerate(told):
        if theirs is not None:
            kind, message, is_value_error = theirs
            if is_value_error:
                raise ValueError(f"process {rank}: {message}") from failure
            raise RuntimeError(f"process {rank}: {kind}: {message}") from failure
    settings_of_first = told[0][1]
    assert settings_of_first is not None
    for rank, (_, others, _) in enumerate(told):
        assert others is not None
        if others != settings_of_first:
            raise ValueError(
                f"process {rank} searches with other queries or settings than process 0 "
                f"({others[:4]} and {settings_of_first[:4]}): pass the same to all, and split the gallery alone"
            )
    assert result is not None
    lengths = [length for _, _, length in told]
    device = result.scores.device
    result = SearchResult(*(part.to(_meeting_place(device)) for part in result))
    offset = sum(lengths[: dist.get_rank()])
    found = [min(k, length) for length in lengths]
    scores = _gather(result.scores, found)
    indices = _gather(result.indices + offset, found)
    # shards come in order of rank and each in order of its rows, so a stable sort leaves ties to the lower row
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    kept = min(k, sum(lengths))
    return SearchResult(scores[:, :kept].to(device), indices.gather(1, order[:, :kept]).to(device))


def _gather(values: Tensor, widths: list[int]) -> Tensor:
    """(Q, widths[rank]) of each process -> (Q, sum of widths) on all."""
    padded = values.new_zeros(len(values), max(widths))
    padded[:, : values.shape[1]] = values
    everyone = [torch.empty_like(padded) for _ in widths]
    dist.all_gather(everyone, padded)
    return torch.cat([part[:, :width] for part, width in zip(everyone, widths, strict=True)], dim=1)


def _meeting_place(device: torch.device) -> torch.device:
    """Where tensors must lie to be exchanged: NCCL knows only accelerators, gloo the CPU."""
    if dist.get_backend() != "nccl":
        return torch.device("cpu")
    return device if device.type == "cuda" else torch.device("cuda", torch.cuda.current_device())


def _digest(queries: Embeddings) -> tuple[tuple[int, ...], str, str]:
    """Shape, dtype and a hash of the bytes: what tells that processes split the queries."""
    values = (
        torch.from_numpy(np.array(queries, dtype=queries.dtype.newbyteorder("=")))
        if isinstance(queries, np.ndarray)
        else queries.detach().cpu()
    )
    content = values.contiguous().view(torch.uint8).numpy().data if values.numel() else b""
    return tuple(values.shape), str(values.dtype), hashlib.sha256(content).hexdigest()
