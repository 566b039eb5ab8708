"""What every process of `test_sharded` runs: each its shard, all compared with the search of one process."""

import re
import sys

import pytest
import torch
from accelerate import Accelerator

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import search, search_sharded

CURVATURE = 0.7


def refused(queries, shard, message, **settings):
    with pytest.raises(ValueError, match=re.escape(message)):
        search_sharded(queries, shard, 5, **{"measure": "beta", "curvature": CURVATURE, **settings})


def main():
    accelerator = Accelerator(cpu=True)
    rank, processes = accelerator.process_index, accelerator.num_processes
    assert processes == int(sys.argv[1]), f"{processes} processes"
    generator = torch.Generator().manual_seed(0)
    queries = lorentz.exp_map0(torch.randn(6, 8, generator=generator), CURVATURE)
    gallery = lorentz.exp_map0(torch.randn(500, 8, generator=generator), CURVATURE)
    gallery[300:400] = gallery[:100]  # ties, across shards
    last = [500] * processes
    for cuts in ([0, 37, *last], [0, 0, *last], [0, 500, *last], [0, 250, *last]):
        shard = gallery[cuts[rank] : cuts[rank + 1]]
        for measure, direction in (("beta", "children"), ("alpha", "parents"), ("cosine", "children")):
            for k in (1, 10, 120, 500, 700):
                expected = search(queries, gallery, k, measure, direction, CURVATURE)
                found = search_sharded(queries, shard, k, measure, direction, CURVATURE)
                assert torch.equal(found.scores, expected.scores), (cuts, measure, k)
                assert torch.equal(found.indices, expected.indices), (cuts, measure, k)
    assert search_sharded(queries, gallery[:0], 3, "beta", "children", CURVATURE).scores.shape == (6, 0)

    spoilt = gallery.clone()
    if rank == 1:
        spoilt[7] = torch.nan
    refused(queries, spoilt, "process 1: gallery holds NaN or infinite values in 1 of 500 rows (rows 7)")
    refused(queries[rank:], gallery, "process 1 searches with other queries or settings")
    refused(queries + rank, gallery, "process 1 searches with other queries or settings")
    refused(queries, gallery, "process 1 searches with other", direction=("children", "parents")[min(rank, 1)])
    # one process fails in a way of its own: none is left waiting
    with pytest.raises(RuntimeError, match="process 1: NotImplementedError: "):
        search_sharded(queries, gallery.to_sparse() if rank == 1 else gallery, 5, "beta", curvature=CURVATURE)
    # queries of one shape whose values have one sum weighted by the roots of 1, 2, 3, ...
    alike = torch.zeros(2, 8)
    alike[0, 0 if rank == 0 else 3] = 0.5 if rank == 0 else 0.25
    refused(alike, gallery, "process 1 searches with other queries or settings")
    print("all equal", flush=True)
    # without it a process may end while a thread of the group still runs, and abort
    accelerator.wait_for_everyone()
    accelerator.end_training()


main()
