"""Where a run's batches come from: a table of boxes at hand, or Parquet shards that are read as they come.

A feed has `loader(step)`, the batches from a step on; `relations(batch, nodes)`, how the nodes of all processes'
batches are related; and `describe(batch)`, which images and boxes a batch shows. Its `position()` is what it must be
told, beside the step, to go on where it stood.
"""

import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate.utils import gather_object
from torch.utils.data import DataLoader

from hf_hyperbolic.data.batches import BatchPlan, BatchSampler, CropBatches
from hf_hyperbolic.data.exported import export_settings
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.relations import RelationIndex, SparseRelations
from hf_hyperbolic.data.row_hierarchies import join_hierarchies
from hf_hyperbolic.data.streaming import StreamedBatches
from hf_hyperbolic.training import workers
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.run_arguments import RunArguments
from hf_hyperbolic.training.sources import Split, check_threshold

Shard = tuple[int, int]
# a DataLoader without a generator of its own draws a number from the global one, which a run that goes on has just set
# to where it stood: dropout would then differ from that of an uninterrupted run. The feeds draw nothing from it.


class Feed(Protocol):
    """What the training loop asks of either feed."""

    def loader(self, step: int) -> Iterator[dict[str, Any]]:
        """Batches of this process, from `step` to the last."""

    def relations(self, batch: dict[str, Any], nodes: np.ndarray) -> SparseRelations:
        """Relations among (n,) gathered `nodes`, in order of rank."""

    def describe(self, batch: dict[str, Any]) -> list[str]:
        """Image id and box of each crop."""

    def position(self) -> dict[str, Any] | None:
        """What `resume` takes after the batches used so far; None where the step says it all."""

    def resume(self, position: dict[str, Any]) -> None:
        """Goes on from a position; before `loader`."""


def plan_of(args: TrainArguments) -> BatchPlan:
    return BatchPlan(args.scenes_per_batch, args.boxes_per_scene, args.mated_boxes_per_scene, args.mates_per_box)


def worker_settings(args: RunArguments) -> dict[str, Any]:
    """What a `DataLoader` is told of its workers."""
    return {
        "num_workers": args.num_workers,
        # without workers a loader takes none
        "timeout": args.worker_timeout if args.num_workers else 0,
        "worker_init_fn": _leave_stopping_to_the_run,
    }


def _leave_stopping_to_the_run(_: int) -> None:
    # SIGTERM often goes to all processes of a job: the run needs its workers for the step that it still finishes, and
    # ends them itself
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class TableFeed:
    """Batches that are a function of (seed, step), each process taking its part of them."""

    def __init__(self, split: Split, args: TrainArguments, shard: Shard, pin_memory: bool = False) -> None:
        self.hierarchy, self._image_ids = split.hierarchy, split.table.image_ids
        self._relations = RelationIndex(split.hierarchy, args.cross_parents)
        sampler = BatchSampler(split.hierarchy, plan_of(args), args.seed, args.class_exponent)
        images = split.images(int(args.image_cache_gb * 2**30))
        self.batches = CropBatches(
            images, split.hierarchy, sampler, args.image_size, args.context, args.crop_mode, args.flip, shard
        )
        self._args, self._pin_memory = args, pin_memory

    def loader(self, step: int) -> Iterator[dict[str, Any]]:
        return workers.batches(
            DataLoader(
                self.batches, batch_size=None, sampler=range(step, self._args.max_steps),
                pin_memory=self._pin_memory, generator=torch.Generator(), **worker_settings(self._args),
            )
        )  # fmt: skip

    def relations(self, batch: dict[str, Any], nodes: np.ndarray) -> SparseRelations:
        return self._relations.sparse(nodes)

    def describe(self, batch: dict[str, Any]) -> list[str]:
        return _described(self.hierarchy, batch["nodes"], self._image_ids)

    def position(self) -> None:
        return None

    def resume(self, position: dict[str, Any]) -> None:
        raise ValueError("this run does not stream: resume it with the --stream it was started with")


class StreamFeed:
    """Batches of Parquet rows read as they come, for sets that do not fit the disk; no class or mate is sought out."""

    def __init__(self, args: TrainArguments, shard: Shard, pin_memory: bool = False) -> None:
        # the validation split was looked at when it was read
        if exported := export_settings(Path(args.data), "train"):
            check_threshold(exported, args.data, args)
        self._batches = StreamedBatches(
            args.data, "train", plan_of(args), args.image_size, args.context, args.crop_mode, args.flip, args.seed,
            shard, args.cross_parents,
        )  # fmt: skip
        self._args, self._pin_memory = args, pin_memory

    def loader(self, step: int) -> Iterator[dict[str, Any]]:
        loader = DataLoader(
            self._batches, batch_size=None, pin_memory=self._pin_memory, generator=torch.Generator(),
            **worker_settings(self._args),
        )  # fmt: skip
        return islice(workers.batches(loader), self._args.max_steps - step)

    def relations(self, batch: dict[str, Any], nodes: np.ndarray) -> SparseRelations:
        # node numbers are those of each process's own batch
        self._batches.consumed(batch)
        everyone = gather_object([(batch["hierarchy"], np.asarray(batch["nodes"]))])
        if len(everyone) == 1:
            found: SparseRelations = batch["relations"]
            return found
        hierarchy, numbers = join_hierarchies([hierarchy for hierarchy, _ in everyone])
        joined = np.concatenate([new[own] for new, (_, own) in zip(numbers, everyone, strict=True)])
        return RelationIndex(hierarchy, self._args.cross_parents).sparse(joined)

    def describe(self, batch: dict[str, Any]) -> list[str]:
        return _described(batch["hierarchy"], batch["nodes"], np.array(batch["image_ids"]))

    def position(self) -> dict[str, Any]:
        return self._batches.state_dict()

    def resume(self, position: dict[str, Any]) -> None:
        self._batches.load_state_dict(position)


def _described(hierarchy: Hierarchy, nodes: np.ndarray, image_ids: np.ndarray) -> list[str]:
    images = image_ids[hierarchy.node_image[nodes]].tolist()
    return [f"{name} {box}" for name, box in zip(images, hierarchy.node_box[nodes].tolist(), strict=True)]


def make_feed(train: Split | None, args: TrainArguments, shard: Shard, pin_memory: bool = False) -> Feed:
    """The feed that `args.stream` asks for; `train` is not needed to stream."""
    if args.stream:
        return StreamFeed(args, shard, pin_memory)
    assert train is not None
    return TableFeed(train, args, shard, pin_memory)
