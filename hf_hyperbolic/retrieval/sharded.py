"""Exact search in a gallery spread over processes, each holding a part of it."""

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
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return search(queries, shard, k, measure, direction, curvature, tile_rows=tile_rows)
    # A process that stopped on its own would leave the others waiting: what it has to say is told to all first.
    result, problem = None, None
    try:
        result = search(queries, shard, k, measure, direction, curvature, tile_rows=tile_rows)
    except ValueError as error:
        problem = str(error)
    settings = (k, measure, direction, None if curvature is None else float(curvature), _digest(queries))
    told: list[tuple[str | None, tuple[object, ...], int]] = [(None, (), 0)] * dist.get_world_size()
    dist.all_gather_object(told, (problem, settings, len(shard)))
    for rank, (message, _, _) in enumerate(told):
        if message is not None:
            raise ValueError(f"process {rank}: {message}")
    for rank, (_, theirs, _) in enumerate(told):
        if theirs != told[0][1]:
            raise ValueError(
                f"process {rank} searches with other queries or settings than process 0 "
                f"({theirs[:4]} and {told[0][1][:4]}): pass the same to all, and split the gallery alone"
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


def _digest(queries: Embeddings) -> tuple[tuple[int, ...], float]:
    """Shape and a weighted sum of the values: enough to notice that processes split the queries."""
    values = torch.from_numpy(np.array(queries)) if isinstance(queries, np.ndarray) else queries.detach().cpu()
    flat = values.double().flatten()
    return tuple(values.shape), float((flat * torch.arange(1, len(flat) + 1).double().sqrt()).sum())
