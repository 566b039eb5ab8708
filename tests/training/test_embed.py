"""Embeddings of all nodes by two gloo processes against one."""

import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.embed import embed_nodes
from hf_hyperbolic.training.sources import Split, load_split


class Patches(torch.nn.Module):
    """A model as far as embedding needs one."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 6, 8, stride=8)
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))

    def forward(self, pixel_values):
        return SimpleNamespace(embeds=self.layer(pixel_values).flatten(1))


def split_of(data: Path) -> Split:
    return load_split(TrainArguments(data=str(data), output_dir="unused"), "val")


def embed(split: Split, **options) -> np.ndarray:
    nodes = np.random.default_rng(0).permutation(split.hierarchy.num_nodes)
    return embed_nodes(
        Patches(), split.images(0), split.hierarchy, nodes, 16, [0.5] * 3, [0.5] * 3, batch_size=7, **options
    )


def gone(file: str) -> bytes:
    raise OSError(f"{file} is gone")


def worker(rank, port, data, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    split = split_of(data)
    results[rank] = embed(split, distributed=True)
    if rank == 1:
        split = replace(split, load=gone)
    try:
        embed(split, distributed=True)
    except (OSError, RuntimeError) as error:  # the other process is told what it was
        results[f"failed{rank}"] = str(error)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_embed_as_one_does(data) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = embed(split_of(data))
    torch.set_num_threads(before)
    assert len(alone) > 21  # premise: more than three batches
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, args=(port, data, results), nprocs=2)
        for rank in range(2):
            assert results[rank].tobytes() == alone.tobytes()
            assert "is gone" in results[f"failed{rank}"]


def test_no_nodes_are_refused(data) -> None:
    split = split_of(data)
    with pytest.raises(ValueError, match="no node to embed"):
        embed_nodes(
            Patches(),
            split.images(0),
            split.hierarchy,
            np.zeros(0, np.int64),
            16,
            [0.5] * 3,
            [0.5] * 3,
            distributed=True,
        )
