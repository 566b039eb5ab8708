"""Embeddings of all processes, with the gradient of one process."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


class _AllGather(torch.autograd.Function):
    """Every process computes the same loss on all embeddings; summing its gradients over processes and slicing gives
    each its own rows, and DDP's average over processes then equals the one-process gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank()]


def gather_nodes(nodes: Sequence[int] | np.ndarray, device: torch.device) -> tuple[np.ndarray, list[int]]:
    """(n,) node numbers of this process -> those of all, in order of rank, and how many each process has.

    It comes before the forward pass: what follows from the nodes is computed while a device embeds.

    Args:
        nodes: of this process, perhaps none.
        device: whose process group is asked.
    """
    own = np.asarray(nodes, dtype=np.int64)
    if _alone():
        return own, [len(own)]
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
    counts[dist.get_rank()] = len(own)
    dist.all_reduce(counts)
    shares = counts.tolist()
    padded = torch.zeros(max(shares), dtype=torch.int64, device=device)
    padded[: len(own)] = torch.from_numpy(own)
    everyone = [torch.empty_like(padded) for _ in shares]
    dist.all_gather(everyone, padded)
    return np.concatenate([part[:n].cpu().numpy() for part, n in zip(everyone, shares, strict=True)]), shares


def gather_embeddings(embeds: Tensor, counts: Sequence[int]) -> Tensor:
    """(n, D) embeddings of this process -> (sum of `counts`, D) of all, in order of rank.

    Without a process group it gives back what it got.

    Args:
        embeds: of this process.
        counts: rows that each process has, see `gather_nodes`.
    """
    if _alone():
        return embeds
    padded = torch.cat([embeds, embeds.new_zeros(max(counts) - len(embeds), embeds.shape[1])])
    return torch.cat([part[:n] for part, n in zip(_AllGather.apply(padded), counts, strict=True)])


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
