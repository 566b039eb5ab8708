"""The work of building an index: which crops, in which batches, and what the index says of each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.data.scaling import decoding_scale
from hf_hyperbolic.retrieval.encoders import Encoder
from hf_hyperbolic.retrieval.index_thumbnails import thumbnail


def nodes_by_image(hierarchy: Hierarchy) -> tuple[np.ndarray, np.ndarray]:
    """(n,) active nodes, image after image, a scene before its boxes, and the (I + 1,) places where images start."""
    nodes = np.flatnonzero(hierarchy.active())
    nodes = nodes[np.argsort(hierarchy.node_image[nodes], kind="stable")]
    counts = np.bincount(hierarchy.node_image[nodes], minlength=hierarchy.num_images)
    return nodes, np.concatenate([[0], np.cumsum(counts)])


def plan_batches(start: np.ndarray, done: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) image of each batch, from image `done` on.

    A build that goes on after any batch cuts the rest as the first build would have.
    """
    first = done
    while first < len(start) - 1:
        last = int(np.searchsorted(start, start[first] + batch_size))
        last = min(max(last, first + 1), len(start) - 1)
        yield first, last
        first = last


class CropWork(Dataset[tuple[np.ndarray, np.ndarray, np.ndarray, list[bytes | None], list[str]]]):
    """Batch b: crops, which of its nodes were kept, their boxes in pixels, thumbnails, messages of broken images."""

    def __init__(
        self,
        encoder: Encoder,
        source: Source,
        hierarchy: Hierarchy,
        nodes: np.ndarray,
        start: np.ndarray,
        batches: list[tuple[int, int]],
        thumbnails: int,
    ) -> None:
        look = encoder.preprocessing
        self.size, self.context, self.mode = look["image_size"], look["context"], look["crop_mode"]
        self.reader, self.hierarchy = source.images(), hierarchy
        self.nodes, self.start, self.batches, self.thumbnails = nodes, start, batches, thumbnails

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[bytes | None], list[str]]:
        first, last = self.batches[number]
        nodes = self.nodes[self.start[first] : self.start[last]]
        crops, broken, kept = node_crops(self.reader, self.hierarchy, nodes, self.size, self.context, self.mode)
        boxes = np.empty((len(kept), 4), dtype=np.float32)
        pictures: list[bytes | None] = []
        for place, node in enumerate(nodes[kept].tolist()):
            boxes[place] = self.hierarchy.node_box[node] * self.reader.pixel_scale(self.hierarchy.node_image[node])
            pictures.append(self._thumbnail(node, boxes[place]) if self.thumbnails else None)
        return crops, kept, boxes, pictures, broken

    def _thumbnail(self, node: int, box: np.ndarray) -> bytes:
        image = int(self.hierarchy.node_image[node])
        # at the scale at which the crops were read, which is in the reader's cache
        around = self.hierarchy.node_box[self.hierarchy.image_nodes(image)] * self.reader.pixel_scale(image)
        found = self.reader.read(
            image, decoding_scale(around, self.reader.size(image), self.size, self.context, self.mode)
        )
        return thumbnail(found.image, None if node < self.hierarchy.num_images else box / found.scale, self.thumbnails)


class Items:
    """What an index says of the nodes of a hierarchy."""

    def __init__(self, hierarchy: Hierarchy, table: BoxTable, split: str | None) -> None:
        self.hierarchy, self.table, self.split = hierarchy, table, split
        self.smallest_parent = np.full(hierarchy.num_nodes, -1, dtype=np.int64)
        parents, children = hierarchy.direct[:, 0], hierarchy.direct[:, 1]
        sides = hierarchy.node_box[parents, 2:] - hierarchy.node_box[parents, :2]
        # the last assignment stays: that of the smallest
        order = np.argsort(-sides.prod(axis=1), kind="stable")
        self.smallest_parent[children[order]] = parents[order]
        self.has_parts = np.zeros(hierarchy.num_nodes, dtype=bool)
        self.has_parts[hierarchy.ancestry[:, 0]] = True
        self.known = table.num_boxes > 0

    def describe(
        self, nodes: np.ndarray, boxes: np.ndarray, pictures: list[bytes | None], row: int
    ) -> list[dict[str, Any]]:
        """Items of whole images' nodes, of which the first gets row `row`."""
        hierarchy, table = self.hierarchy, self.table
        row_of = dict(zip(nodes.tolist(), range(row, row + len(nodes)), strict=True))
        items = []
        for place, node in enumerate(nodes.tolist()):
            image, label = int(hierarchy.node_image[node]), int(hierarchy.node_label[node])
            is_box = node >= hierarchy.num_images
            name = scene_id(table.image_ids[image], self.split)
            if is_box:
                name += f"#{node - hierarchy.image_nodes(image)[1]}"
            items.append(
                {
                    "id": name,
                    "image": str(table.image_files[image]),
                    "box": boxes[place].tolist() if is_box else None,
                    "label": hierarchy.class_names[label] if label >= 0 else None,
                    "level": int(hierarchy.level[node]),
                    "split": self.split,
                    "parent": row_of.get(int(self.smallest_parent[node])),
                    "can_be_parent": not is_box or bool(self.has_parts[node]),
                    "can_be_child": is_box or not self.known,
                    "thumbnail": pictures[place],
                }
            )
        return items


def scene_id(image_id: str, split: str | None) -> str:
    return f"{split}/{image_id}" if split else str(image_id)


def as_it_is(batch: Any) -> Any:
    """A batch that needs no collating, for a `DataLoader` with workers."""
    return batch
