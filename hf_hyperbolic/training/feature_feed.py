"""Batches of features in place of crops, the same nodes at the same steps."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.cached_features import FeatureTable
from hf_hyperbolic.training.feeds import Shard, TableFeed
from hf_hyperbolic.training.sources import Split


class FeatureFeed(TableFeed):
    """As `TableFeed` without mirroring, but `pixel_values` of a batch are (n, F) float32, the features of its nodes."""

    def __init__(self, split: Split, args: TrainArguments, shard: Shard, table: FeatureTable) -> None:
        super().__init__(split, args, shard)
        self._table = table
        self._readable = table.readable(split.hierarchy)

    def loader(self, step: int) -> Iterator[dict[str, Any]]:
        rank, count = self.batches.shard
        for number in range(step, self._args.max_steps):
            nodes = np.array_split(self.batches.sampler.nodes(number), count)[rank]
            images = np.unique(self.hierarchy.node_image[nodes]).tolist()
            kept = nodes[self._readable[nodes]]
            yield {
                "pixel_values": self._table.features[torch.from_numpy(kept)],
                "nodes": kept,
                "broken": [self._table.broken[image] for image in images if image in self._table.broken],
            }
