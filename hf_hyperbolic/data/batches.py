"""Training batches: a few images, some boxes of each, and boxes of the same categories from other images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_hyperbolic.data.crops import CropMode, crop
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.relations import CrossImageSampler
from hf_hyperbolic.data.sampling import draw_distinct, log_box_weights, log_image_weights, top_by_gumbel
from hf_hyperbolic.data.scaling import decoding_scale


@dataclass(frozen=True)
class BatchPlan:
    """What a batch is made of.

    Attributes:
        scenes: images whose full scene is in the batch.
        boxes_per_scene: at most this many boxes of each of them, drawn without replacement.
        mated_boxes_per_scene: of these, how many get mates: boxes of the same category from other images.
        mates_per_box: K of the paper's cross-image pairs, for each mated box.
    """

    scenes: int = 16
    boxes_per_scene: int = 12
    mated_boxes_per_scene: int = 0
    mates_per_box: int = 1

    def __post_init__(self) -> None:
        if self.scenes < 2 or self.boxes_per_scene < 1:
            raise ValueError(
                "a batch needs at least 2 scenes (for negatives) and 1 box of each (for positives), got scenes "
                f"{self.scenes} and boxes_per_scene {self.boxes_per_scene}"
            )
        if self.mated_boxes_per_scene < 0 or self.mates_per_box < 0:
            raise ValueError(
                f"mated_boxes_per_scene and mates_per_box cannot be negative, got {self.mated_boxes_per_scene} and "
                f"{self.mates_per_box}"
            )


class BatchSampler:
    """Chooses the nodes of each batch as a function of (seed, step) alone.

    No state is kept between steps, so any step can be made again: by another worker, another process, or after a
    crash. At exponent 1 every epoch shows each image that has a box once, in an order of its own, and the boxes of an
    image are alike. Below 1, each batch draws its images anew, all different, rare classes more often, and so it does
    among the boxes of an image (see `data.sampling`); an epoch then is only as many draws as there are images.

    Args:
        hierarchy: the training split.
        plan: what a batch is made of.
        seed: of every draw.
        class_exponent: t in [0, 1] of the probability n_c^t to draw a class: 1 as frequent as it is in the data, 0 all
            classes alike.

    Raises:
        ValueError: there are fewer images with boxes than a batch takes, or the exponent lies outside [0, 1].
    """

    def __init__(self, hierarchy: Hierarchy, plan: BatchPlan, seed: int = 0, class_exponent: float = 1.0) -> None:
        if not 0 <= class_exponent <= 1:
            raise ValueError(f"class_exponent must lie in [0, 1], got {class_exponent}")
        self.hierarchy, self.plan, self.seed, self.class_exponent = hierarchy, plan, seed, class_exponent
        self._mates = CrossImageSampler(hierarchy)
        # the boxes of image self._images[row] are self._boxes[self._start[row] : self._start[row + 1]]
        self._boxes = np.flatnonzero(hierarchy.active() & (hierarchy.node_label >= 0))
        self._images, first = np.unique(hierarchy.node_image[self._boxes], return_index=True)
        self._start = np.append(first, len(self._boxes))
        if len(self._images) < plan.scenes:
            raise ValueError(
                f"a batch takes {plan.scenes} scenes but only {len(self._images)} images have a box below their scene; "
                "lower the number of scenes per batch or add images"
            )
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=np.int64))
        if class_exponent < 1:
            weights = np.exp(log_image_weights(hierarchy, self._boxes, first, class_exponent))
            self._image_weights = np.cumsum(weights)
            self._box_weights = log_box_weights(hierarchy, self._boxes, class_exponent)

    @property
    def steps_per_epoch(self) -> int:
        return len(self._images) // self.plan.scenes

    def nodes(self, step: int) -> np.ndarray:
        """(n,) distinct node numbers of batch `step`: the nodes of an image together, its scene first."""
        rng = np.random.default_rng([self.seed, 1, step])
        chosen: list[np.ndarray] = []
        mates: list[np.ndarray] = []
        for row in self._rows(step):
            drawn = self._draw_boxes(row, rng)
            chosen.append(np.concatenate([[self._images[row]], np.sort(drawn)]))
            mated = drawn[: self.plan.mated_boxes_per_scene]
            mates.append(self._mates.sample(mated, self.plan.mates_per_box, rng).ravel())
        nodes = np.concatenate(chosen)
        extra = np.unique(np.concatenate(mates))
        return np.concatenate([nodes, np.setdiff1d(extra[extra >= 0], nodes)])

    def _rows(self, step: int) -> np.ndarray:
        """Rows of `self._images` that batch `step` shows."""
        if self.class_exponent < 1:
            rng = np.random.default_rng([self.seed, 3, step])
            return draw_distinct(self._image_weights, self.plan.scenes, rng)
        epoch, place = divmod(step, self.steps_per_epoch)
        known, order = self._order
        if known != epoch:
            # shuffling a million images anew for every batch would take longer than the batch
            order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self._images))
            self._order = epoch, order
        return order[place * self.plan.scenes : (place + 1) * self.plan.scenes]

    def _draw_boxes(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """Boxes of one image, without replacement."""
        span = slice(self._start[row], self._start[row + 1])
        boxes = self._boxes[span]
        count = min(self.plan.boxes_per_scene, len(boxes))
        if self.class_exponent < 1:
            return boxes[top_by_gumbel(self._box_weights[span], count, rng)]
        return rng.choice(boxes, size=count, replace=False)


class CropBatches(Dataset[dict[str, Any]]):
    """Batch `step` as pixels: every image of it decoded once, however many of its boxes are used.

    Item `step` is a dict with `pixel_values` (n, 3, size, size) uint8, `nodes` (n,) int64 and `broken`, the messages
    of images that could not be read; their nodes are left out.

    Args:
        reader: decodes image n of the table.
        hierarchy: nodes, their images and boxes.
        sampler: which nodes a step takes.
        size: side of a crop in pixels.
        context: share of a box's side shown beyond it on each side.
        mode: `"resize"` squashes a crop to a square, `"pad"` keeps its proportions.
        flip: mirror an image, with all its crops, every second time.
        shard: (rank, count): give only this contiguous part of each batch, one of `count`.
    """

    def __init__(
        self,
        reader: ImageReader,
        hierarchy: Hierarchy,
        sampler: BatchSampler,
        size: int,
        context: float = 0.0,
        mode: CropMode = "resize",
        flip: bool = True,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.reader, self.hierarchy, self.sampler, self.shard = reader, hierarchy, sampler, shard
        self.size, self.context, self.mode, self.flip = size, context, mode, flip

    def __getitem__(self, step: int) -> dict[str, Any]:
        everyone = self.sampler.nodes(step)
        rank, count = self.shard
        part = np.array_split(np.arange(len(everyone)), count)[rank]
        nodes = everyone[part]
        crops, broken, kept = node_crops(self.reader, self.hierarchy, nodes, self.size, self.context, self.mode)
        if self.flip:
            images, which = np.unique(self.hierarchy.node_image[everyone], return_inverse=True)
            mirrored = np.random.default_rng([self.sampler.seed, 2, step]).random(len(images)) < 0.5
            mask = mirrored[which[part]][kept]
            crops[mask] = crops[mask, :, ::-1]
        pixel_values = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
        return {"pixel_values": pixel_values, "nodes": nodes[kept], "broken": broken}


def node_crops(
    reader: ImageReader,
    hierarchy: Hierarchy,
    nodes: np.ndarray,
    size: int,
    context: float = 0.0,
    mode: CropMode = "resize",
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Crops of `nodes`, in order, each image read once.

    A JPEG is decoded at the smallest scale that suffices for all boxes of its image, whether they are among `nodes` or
    not: the pixels of a crop depend on its image, the image's boxes and `size`, never on the rest of a batch.

    Returns:
        (m, size, size, 3) uint8 crops, the messages of images that could not be read, and the (m,) places in
        `nodes` that were kept.
    """
    images = hierarchy.node_image[nodes]
    crops = np.empty((len(nodes), size, size, 3), dtype=np.uint8)
    kept = np.ones(len(nodes), dtype=bool)
    broken: list[str] = []
    order = np.argsort(images, kind="stable")
    for places in np.split(order, np.nonzero(np.diff(images[order]))[0] + 1) if len(nodes) else []:
        index = int(images[places[0]])
        try:
            factors = reader.pixel_scale(index)
            boxes = hierarchy.node_box[hierarchy.image_nodes(index)] * factors
            found = reader.read(index, decoding_scale(boxes, reader.size(index), size, context, mode))
        except BrokenImageError as error:
            broken.append(str(error))
            kept[places] = False
            continue
        for place in places:
            box = hierarchy.node_box[nodes[place]] * factors / found.scale
            crops[place] = crop(found.image, box, size, context, mode)
    return crops[kept], broken, np.nonzero(kept)[0]
