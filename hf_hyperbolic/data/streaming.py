"""Training batches from Parquet shards that are read as they come, for sets larger than the disk."""

import itertools
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from hf_hyperbolic.data.batches import BatchPlan
from hf_hyperbolic.data.crops import CropMode, crop
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.images import BrokenImageError, decode_scaled
from hf_hyperbolic.data.relations import CrossParents, RelationIndex
from hf_hyperbolic.data.row_hierarchies import COLUMNS, join_hierarchies, row_hierarchy
from hf_hyperbolic.data.scaling import decoding_scale


class StreamedBatches(IterableDataset[dict[str, Any]]):
    """Batches of whole rows (images) of an exported set, read once an epoch in a shuffled order, without end.

    A batch is the dict of `CropBatches`, with a hierarchy of its own: `pixel_values` (n, 3, size, size) uint8, `nodes`
    (n,) int64 numbers in `hierarchy`, which holds all boxes of the batch's images and no other image; `relations`
    among `nodes`; `image_ids` of the batch's images; `broken`, the messages of rows that could not be used; and
    `position`, for `consumed`.

    Rows are shared among readers, of which each process has as many as its `DataLoader` has workers. In an epoch each
    row goes to one reader and is shown once; a row without a box below its scene is passed over. Where there are as
    many shards (files) as readers, a reader opens only its own, in an order drawn for the epoch. Where there are fewer,
    every reader reads all files and decodes its share of the rows. Readers do not wait for each other at the end of an
    epoch, so all processes have a batch at every step. An epoch's last batch may be smaller, down to one image.

    Cross-image pairs are those that arise among the images of a batch: mates for a box would lie in rows not at hand.
    Batches depend on the seed, the number of readers and `buffer` alone. A run goes on from `state_dict` with exactly
    the batches that would have followed, if `consumed` was told of each batch it used.

    Args:
        source: folder of Parquet files, or the name of such a set on the Hub.
        split: which split of it.
        plan: images a batch and boxes an image; it cannot ask for mates.
        size: side of a crop in pixels.
        context: share of a box's side shown beyond it on each side.
        mode: `"resize"` squashes a crop to a square, `"pad"` keeps its proportions.
        flip: mirror an image, with all its crops, every second time.
        seed: of all that is drawn.
        shard: (rank, count) of this process among those that train together.
        cross_parents: as `RelationIndex`.
        buffer: rows that are shuffled together, undecoded, in each reader; rounded up to whole batches.
        epochs: end after so many; None never ends.

    Raises:
        ValueError: the set cannot be read or lacks a column, `plan` asks for mates; when iterated, a reader finds no
            image it can use in a whole epoch, or the number of workers is not that of the position loaded.
    """

    def __init__(
        self,
        source: str | PathLike[str],
        split: str,
        plan: BatchPlan,
        size: int,
        context: float = 0.0,
        mode: CropMode = "resize",
        flip: bool = True,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        cross_parents: CrossParents = "scene",
        buffer: int = 1000,
        epochs: int | None = None,
    ) -> None:
        if plan.mated_boxes_per_scene:
            raise ValueError(
                "a stream cannot draw mates, which lie in rows not at hand: mated_boxes_per_scene must be 0"
            )
        self.source, self.plan, self.seed, self.shard, self.epochs = str(source), plan, seed, shard, epochs
        self.size, self.context, self.mode, self.flip, self.cross_parents = size, context, mode, flip, cross_parents
        self.block = max(1, -(-buffer // plan.scenes)) * plan.scenes
        self.rows, self.class_names = _open_rows(self.source, split)
        self._workers: int | None = None
        self._next_worker = 0
        self._positions: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        workers = info.num_workers if info else 1
        if self._workers not in (None, workers):
            raise ValueError(
                f"the position loaded is of {self._workers} DataLoader workers and this run has {workers}: go on with "
                f"num_workers={self._workers} (0 and 1 count as one)"
            )
        # a DataLoader begins with its first worker, which is to go on where its turn was
        worker = ((info.id if info else 0) + self._next_worker) % workers
        rank, ranks = self.shard
        reader, readers = rank * workers + worker, ranks * workers
        at = self._positions.get(worker, {"epoch": 0, "walk": None, "taken": 0})
        broken: list[str] = []  # of rows since the last batch: where none of a batch's rows can be used, none is given
        for epoch in itertools.count(at["epoch"]):
            if self.epochs is not None and epoch >= self.epochs:
                return
            yielded = at["walk"] is not None
            for batch, messages, position in self._epoch(epoch, reader, readers, at):
                broken += messages
                if batch:
                    yielded = True
                    where = {"workers": workers, "worker": worker, "at": position}
                    yield {**batch, "broken": broken, "position": where}
                    broken = []
            if not yielded and self.epochs is None:
                raise ValueError(
                    f"{self.source}: reader {reader} of {readers} found no image it can use in epoch {epoch}; use "
                    "fewer workers or processes, or look for broken images in the set"
                )
            at = {"epoch": epoch + 1, "walk": None, "taken": 0}

    def _epoch(
        self, epoch: int, reader: int, readers: int, at: dict[str, Any]
    ) -> Iterator[tuple[dict[str, Any], list[str], dict[str, Any]]]:
        """Batches of one reader in an epoch, each with the messages of its rows and the position after it."""
        order = np.random.default_rng([self.seed, 3, epoch]).permutation(self.rows.num_shards).tolist()
        enough = len(order) >= readers
        share = (0, 1) if enough else (reader, readers)
        walk = _Walk(self.rows, order[reader::readers] if enough else order, share, at["walk"])
        stream, taken = iter(walk), at["taken"]
        while True:
            # a block is shuffled and used up before the next is read: a position is then its start and a count
            start = walk.position()
            block = list(itertools.islice(stream, self.block))
            if not block:
                return
            key = [self.seed, 4, epoch, reader, start["seen"]]
            places = np.random.default_rng(key).permutation(len(block))
            for first in range(taken, len(block), self.plan.scenes):
                chosen = places[first : first + self.plan.scenes]
                batch, messages = self._batch([block[i] for i in chosen], np.random.default_rng([*key, first]))
                yield batch, messages, {"epoch": epoch, "walk": start, "taken": first + len(chosen)}
            taken = 0

    def _batch(self, rows: list[dict[str, Any]], rng: np.random.Generator) -> tuple[dict[str, Any], list[str]]:
        """The batch of some rows, empty if none can be used, and the messages of those that cannot."""
        crops, hierarchies, chosen, image_ids, broken = [], [], [], [], []
        for row in rows:
            try:
                hierarchy = row_hierarchy(row, self.class_names)
                boxes = np.flatnonzero(hierarchy.active() & (hierarchy.node_label >= 0))
                drawn = rng.choice(boxes, size=min(self.plan.boxes_per_scene, len(boxes)), replace=False)
                mirrored = rng.random() < 0.5
                if not len(boxes):
                    continue
                nodes = np.concatenate([[0], np.sort(drawn)])
                pixels = self._crops(row, hierarchy, nodes)
            except BrokenImageError as error:
                broken.append(str(error))
                continue
            except (TypeError, ValueError) as error:  # a null where there must be none gives a TypeError
                broken.append(f"{self._name(row)}: {error} (bad_row)")
                continue
            crops.append(pixels[:, :, ::-1] if self.flip and mirrored else pixels)
            hierarchies.append(hierarchy)
            chosen.append(nodes)
            image_ids.append(row["image_id"])
        if not crops:
            return {}, broken
        joined, numbers = join_hierarchies(hierarchies)
        nodes = np.concatenate([new[old] for new, old in zip(numbers, chosen, strict=True)])
        pixel_values = torch.from_numpy(np.ascontiguousarray(np.concatenate(crops).transpose(0, 3, 1, 2)))
        relations = RelationIndex(joined, self.cross_parents).sparse(nodes)
        batch = {
            "pixel_values": pixel_values,
            "nodes": nodes,
            "hierarchy": joined,
            "relations": relations,
            "image_ids": image_ids,
        }
        return batch, broken

    def _crops(self, row: dict[str, Any], hierarchy: Hierarchy, nodes: np.ndarray) -> np.ndarray:
        name, size = self._name(row), (row["width"], row["height"])
        content = (row["image"] or {}).get("bytes")
        if content is None:
            raise BrokenImageError("missing_file", name, "the Parquet file holds a path, not the image: embed images")
        scale = decoding_scale(hierarchy.node_box.astype(np.float64), size, self.size, self.context, self.mode)
        found = decode_scaled(name, scale, content)
        if found.size != size:
            detail = f"shows {found.size[0]} x {found.size[1]} pixels but its boxes are for {size[0]} x {size[1]}"
            raise BrokenImageError("size_mismatch", name, detail)
        boxes = hierarchy.node_box[nodes].astype(np.float64) / found.scale
        return np.stack([crop(found.image, box, self.size, self.context, self.mode) for box in boxes])

    def _name(self, row: dict[str, Any]) -> str:
        return f"{self.source}, image {row['image_id']}"

    def consumed(self, batch: dict[str, Any]) -> None:
        """Notes that a batch was used: `state_dict` is the position after it. Batches fetched ahead do not count."""
        position = batch["position"]
        self._workers = position["workers"]
        self._next_worker = (position["worker"] + 1) % position["workers"]
        self._positions[position["worker"]] = position["at"]

    def state_dict(self) -> dict[str, Any]:
        """Where this process stands, for `load_state_dict`; plain numbers, lists and dicts."""
        return {
            "seed": self.seed,
            "shard": list(self.shard),
            "block": self.block,
            "num_shards": self.rows.num_shards,
            "workers": self._workers,
            "next_worker": self._next_worker,
            "positions": {str(worker): at for worker, at in self._positions.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a position; call it before the `DataLoader` is iterated.

        Raises:
            ValueError: the position is of another seed, process, buffer or set.
        """
        now = self.state_dict()
        changed = [name for name in ("seed", "shard", "block", "num_shards") if state[name] != now[name]]
        if changed:
            differences = ", ".join(f"{name} {state[name]} and is now {now[name]}" for name in changed)
            raise ValueError(
                f"this position cannot be gone on from: it was saved with {differences}; go on with what it had"
            )
        self._workers, self._next_worker = state["workers"], state["next_worker"]
        self._positions = {int(worker): at for worker, at in state["positions"].items()}


class _Walk:
    """One reader's way through the shards of an epoch, from a position on.

    Args:
        rows: all rows.
        order: the shards to read, in this order.
        share: (i, n): of the rows read, give each n-th, from the i-th on.
        at: a position of such a walk, None for its start.
    """

    def __init__(
        self, rows: datasets.IterableDataset, order: Sequence[int], share: tuple[int, int], at: dict[str, Any] | None
    ) -> None:
        self._rows, self._order, self._share = rows, order, share
        at = at or {"place": 0, "seen": 0, "rows": None}
        self._place: int = at["place"]
        self._seen: int = at["seen"]
        self._state: dict[str, Any] | None = at["rows"]
        self._shard: datasets.IterableDataset | None = None

    def position(self) -> dict[str, Any]:
        """Where the walk stands, after the last row given."""
        state = self._state if self._shard is None else self._shard.state_dict()
        return {"place": self._place, "seen": self._seen, "rows": state}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        part, parts = self._share
        while self._place < len(self._order):
            shard = self._rows.shard(num_shards=self._rows.num_shards, index=self._order[self._place])
            if self._state is not None:
                shard.load_state_dict(self._state)
            self._shard, self._state = shard, None
            # iter(), as plain iteration would once more share out the rows among DataLoader workers
            for columns in shard.iter(batch_size=1):
                self._seen += 1
                if (self._seen - 1) % parts == part:
                    yield {name: values[0] for name, values in columns.items()}
            self._place, self._shard = self._place + 1, None


def _open_rows(source: str, split: str) -> tuple[datasets.IterableDataset, tuple[str, ...]]:
    """Rows with undecoded images, and the names of the classes."""
    try:
        rows = datasets.load_dataset(source, split=split, streaming=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{source}: split {split!r} cannot be streamed: {error}") from error
    missing = [name for name in COLUMNS if name not in (rows.features or {})]
    if missing:
        raise ValueError(f"{source}: lacks the columns {', '.join(missing)}: export the set with its hierarchy first")
    names = getattr(getattr(rows.features["labels"], "feature", None), "names", None)
    if names is None:
        raise ValueError(f"{source}: the column labels must be a list of ClassLabel, got {rows.features['labels']}")
    return rows.select_columns(list(COLUMNS)).cast_column("image", datasets.Image(decode=False)), tuple(names)
