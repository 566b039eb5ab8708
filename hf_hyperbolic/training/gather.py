"""Embeddings of all processes, with the gradient of one process."""

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
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def gather_embeddings(embeds: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """(n, D) embeddings and (n,) node numbers of this process -> those of all processes, in order of rank.

    Processes may hold different numbers of rows. Without a process group it gives back what it got.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return embeds, nodes
    longest = torch.tensor([len(nodes)], device=embeds.device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    pad = int(longest) - len(nodes)
    padded = torch.cat([embeds, embeds.new_zeros(pad, embeds.shape[1])])
    numbers = torch.cat([nodes, nodes.new_full((pad,), -1)])
    everyone = [torch.empty_like(numbers) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, numbers)
    all_nodes = torch.cat(everyone)
    real = all_nodes >= 0
    return _AllGather.apply(padded)[real], all_nodes[real]
