"""Two gloo processes against one: the gathered loss and its gradients."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hf_hyperbolic.training.gather import gather_embeddings, gather_nodes


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def some_loss(embeds, scale):
    """Every row meets every other, as in a contrastive loss; `scale` is used beside the embeddings."""
    return (embeds @ embeds.T * scale).logsumexp(1).mean()


def worker(rank, world, port, shares, x, weight, results):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    model = torch.nn.Linear(4, 3, bias=False).double()
    model.weight.data.copy_(weight)
    scale = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
    start = sum(shares[:rank])
    nodes = torch.arange(start, start + shares[rank])
    all_nodes, counts = gather_nodes(nodes.numpy(), torch.device("cpu"))
    assert counts == list(shares)
    embeds = gather_embeddings(model(x[nodes]), counts)
    loss = some_loss(embeds, scale)
    loss.backward()
    for parameter in (model.weight, scale):  # what DDP does
        dist.all_reduce(parameter.grad)
        parameter.grad /= world
    results[rank] = (loss.item(), all_nodes.tolist(), model.weight.grad.tolist(), scale.grad.item())
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(5, 5), (6, 4), (10, 0)])
def test_two_processes_give_the_gradient_of_one(shares):
    x = torch.randn(10, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    model = torch.nn.Linear(4, 3, bias=False).double()
    scale = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
    loss = some_loss(model(x), scale)
    loss.backward()
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, args=(2, free_port(), shares, x, model.weight.detach(), results), nprocs=2)
        for rank in range(2):
            value, nodes, weight_grad, scale_grad = results[rank]
            assert value == pytest.approx(loss.item(), rel=1e-12)
            assert nodes == list(range(10))
            torch.testing.assert_close(torch.tensor(weight_grad, dtype=torch.float64), model.weight.grad)
            assert scale_grad == pytest.approx(scale.grad.item(), rel=1e-12)


def test_without_a_process_group_nothing_changes():
    embeds = torch.randn(3, 2)
    nodes, counts = gather_nodes([4, 7, 5], torch.device("cpu"))
    assert nodes.tolist() == [4, 7, 5]
    assert counts == [3]
    assert gather_embeddings(embeds, counts) is embeds
