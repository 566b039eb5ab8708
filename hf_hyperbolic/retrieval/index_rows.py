"""The rows of an index on disk: its shards, mapped when they are first needed, as one table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from hf_hyperbolic.retrieval.encoders import Box
from hf_hyperbolic.retrieval.index_manifest import Manifest
from hf_hyperbolic.retrieval.index_shards import Shard, map_shard


class IndexRows:
    """
    Attributes:
        folder: where the index lies.
        manifest: what it says about itself.
        first: (S + 1,) row that each of the S shards starts with, and the number of rows.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.first = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
        self._shards: dict[int, Shard] = {}

    def __len__(self) -> int:
        return self.manifest.rows

    @property
    def dim(self) -> int:
        """D of the embeddings."""
        return self.manifest.model.dim

    def embeddings(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(m,) rows -> (m, D) float32 embeddings.

        Raises:
            IndexError: there is no such row.
        """
        rows = np.asarray(rows, dtype=np.int64)
        shards, places = self.places(rows)
        found = np.empty((len(rows), self.dim), dtype=np.float32)
        for number in np.unique(shards).tolist():
            here = shards == number
            found[here] = self.shard(number).embeddings[torch.from_numpy(places[here])].float().numpy()
        return found

    def items(self, rows: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """What is known of (m,) rows: `id`, `image`, `box`, `label`, `level`, `split`, `parent`, `thumbnail`, ...

        Raises:
            IndexError: there is no such row.
        """
        shards, places = self.places(np.asarray(rows, dtype=np.int64))
        pairs = zip(shards.tolist(), places.tolist(), strict=True)
        return [self.shard(number).items.slice(place, 1).to_pylist()[0] for number, place in pairs]

    def row(self, id: str) -> int:
        """The row of the item with an id.

        Raises:
            KeyError: there is none.
        """
        for number, first in enumerate(self.first[:-1].tolist()):
            place = pc.index(self.shard(number).items["id"], id).as_py()
            if place >= 0:
                return first + place
        raise KeyError(f"{self.folder} has no item with the id {id!r}")

    def classes(self) -> dict[str, int]:
        """Class -> how many items it has, most frequent first."""
        counts: Counter[str] = Counter()
        for table in self.tables():
            for entry in pc.value_counts(table["label"]).to_pylist():
                counts[entry["values"]] += entry["counts"]
        counts.pop(None, None)  # type: ignore[call-overload]
        return dict(counts.most_common())

    def rows_of(self, file: str, box: Box | None) -> set[int]:
        """Rows of the items that are this box of this image file."""
        found = set()
        for first, table in zip(self.first.tolist(), self.tables(), strict=False):
            for place in np.flatnonzero(pc.equal(table["image"], file).fill_null(False).to_numpy()).tolist():
                there = table["box"][place].as_py()
                if (box is None) == (there is None) and (box is None or np.allclose(there, box, atol=0.01)):
                    found.add(first + place)
        return found

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m,) rows -> (m,) shards and the (m,) places in them."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows must lie in [0, {len(self)}), got {rows.min()} to {rows.max()}")
        shards = np.searchsorted(self.first, rows, side="right") - 1
        return shards, rows - self.first[shards]

    def shard(self, number: int) -> Shard:
        """A shard, mapped."""
        if number not in self._shards:
            self._shards[number] = map_shard(self.folder, self.manifest, number)
        return self._shards[number]

    def tables(self) -> list[pa.Table]:
        """What is known of the items, a table a shard."""
        return [self.shard(number).items for number in range(len(self.manifest.shards))]
