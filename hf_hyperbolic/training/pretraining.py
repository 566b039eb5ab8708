"""What `training/pretrain.py` trains, which pairs it leaves out, and the figures it watches."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_hyperbolic.data.batches import BatchPlan, BatchSampler, CropBatches, node_crops
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.overlap import intersection
from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.plain_vision import PlainVisionModel
from hf_hyperbolic.training.augment import draw_views, show
from hf_hyperbolic.training.embed import embed_nodes
from hf_hyperbolic.training.pretrain_arguments import PretrainArguments
from hf_hyperbolic.training.sources import Split
from hf_hyperbolic.vision_backbone import floating_dtype, pool

# crops are this much larger than views, so that a view of a part of one is not all blur
SOURCE_SCALE = 1.5
_MAX_VIEWS = 1000
NEIGHBOURS = 10


class ContrastedBackbone(nn.Module):
    """A backbone and the two-layer projection in which views are compared (SimCLR, Chen et al. 2020, section 2.1).

    Args:
        backbone: a vision model of transformers.
        image_size: side of the images it will see, in pixels.
        dim: of the projection.
    """

    def __init__(self, backbone: PreTrainedModel, image_size: int, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        with torch.no_grad():
            pixels = torch.zeros(1, 3, image_size, image_size, dtype=floating_dtype(backbone))
            width = pool(backbone.eval()(pixels, return_dict=True)).shape[1]
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(n, 3, H, W) normalised images -> (n, dim) projections."""
        features = pool(self.backbone(pixel_values.to(floating_dtype(self.backbone)), return_dict=True))
        return self.head(features.to(floating_dtype(self.head)))


class ViewBatches(CropBatches):
    """Batches of whole images and boxes, as crops large enough to take views of.

    Beside what `CropBatches` gives, an item holds `places`, (n,) int64: where its nodes stand in the batch of all
    processes, and `count`, how many nodes that has.
    """

    def __init__(self, split: Split, args: PretrainArguments, shard: tuple[int, int] = (0, 1)) -> None:
        sampler = BatchSampler(split.hierarchy, BatchPlan(args.scenes_per_batch, args.boxes_per_scene), args.seed)
        reader = split.images(int(args.image_cache_gb * 2**30))
        super().__init__(
            reader, split.hierarchy, sampler, source_size(args.image_size), args.context, args.crop_mode, False, shard
        )

    def __getitem__(self, step: int) -> dict:
        batch = super().__getitem__(step)
        everyone = self.sampler.nodes(step)
        order = np.argsort(everyone)
        places = order[np.searchsorted(everyone, batch["nodes"], sorter=order)]
        return {**batch, "places": places, "count": len(everyone)}


def source_size(image_size: int) -> int:
    """Side of the crops that views of `image_size` pixels are taken of."""
    return round(SOURCE_SCALE * image_size)


def two_views(batch: dict, crops: Tensor, args: PretrainArguments, step: int) -> Tensor:
    """(n, 3, H, W) crops of a batch -> (2 n, 3, size, size) float32 in [0, 255], all first views, then all second ones.

    A function of (seed, step): another number of processes shows the same views.
    """
    shown = []
    for which in range(2):
        rng = np.random.default_rng([args.seed, 4, step, which])
        views = draw_views(batch["count"], rng, args.min_area, args.colour, args.flip)
        shown.append(show(crops, views.take(np.asarray(batch["places"])), args.image_size))
    return torch.cat(shown)


def overlapping(hierarchy: Hierarchy, nodes: np.ndarray, context: float = 0.0) -> np.ndarray:
    """(n, n) bool: nodes of one image of which pixels are shown in both, themselves among them.

    Args:
        hierarchy: images and boxes of the nodes.
        nodes: (n,).
        context: share of a box's side shown beyond it on each side.
    """
    image, box = hierarchy.node_image[nodes], hierarchy.node_box[nodes].astype(np.float64)
    frame = hierarchy.node_box[image]
    margin = context * (box[:, 2:] - box[:, :2])
    shown = np.concatenate(
        [np.maximum(box[:, :2] - margin, 0), np.minimum(box[:, 2:] + margin, frame[:, 2:])], axis=1
    )  # fmt: skip
    return (image[:, None] == image) & (intersection(shown[:, None], shown) > 0)


class PretrainValidation:
    """Figures of the first images of the validation split.

    Calling it with a `ContrastedBackbone` gives

    - `val_alignment`: mean squared distance of two views of an item, on the unit sphere, in [0, 4], lower is better;
    - `val_uniformity`: log of the mean of exp(-2 d^2) over pairs of items, lower is more evenly spread (Wang and Isola
      2020, t = 2);
    - `val_knn`: share of boxes whose class most of their 10 nearest boxes of other images have, by the cosine of
      pooled features, and `val_commonest`, the share of the commonest class. Labels are looked at here alone.
    """

    def __init__(self, split: Split, args: PretrainArguments, mean: list[float], std: list[float]) -> None:
        self.reader, self.hierarchy, self.args = split.images(0), split.hierarchy, args
        self.mean, self.std = mean, std
        nodes = np.flatnonzero(self.hierarchy.active())
        self.boxes = nodes[self.hierarchy.node_label[nodes] >= 0]
        rng = np.random.default_rng([args.seed, 5])
        self.contrasted = np.sort(rng.choice(nodes, min(_MAX_VIEWS, len(nodes)), replace=False))
        crops, broken, _ = node_crops(
            self.reader, self.hierarchy, self.contrasted, source_size(args.image_size), args.context, args.crop_mode
        )
        if broken:
            raise ValueError(broken[0])
        self.crops = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))

    def __call__(self, model: ContrastedBackbone) -> dict[str, float]:
        first, second = (self._projections(model, which) for which in range(2))
        figures = {
            "val_alignment": (first - second).square().sum(1).mean().item(),
            "val_uniformity": torch.pdist(first).square().mul(-2).exp().mean().log().item(),
        }
        features = embed_nodes(
            PlainVisionModel(model.backbone), self.reader, self.hierarchy, self.boxes, self.args.image_size,
            self.mean, self.std, self.args.context, self.args.crop_mode,
        )  # fmt: skip
        labels, images = self.hierarchy.node_label[self.boxes], self.hierarchy.node_image[self.boxes]
        figures["val_knn"] = neighbour_accuracy(features, labels, images)
        figures["val_commonest"] = float(np.bincount(labels).max() / len(labels))
        model.train()
        return figures

    @torch.no_grad()
    def _projections(self, model: ContrastedBackbone, which: int) -> Tensor:
        model.eval()
        device = next(model.parameters()).device
        rng = np.random.default_rng([self.args.seed, 6, which])
        views = draw_views(len(self.crops), rng, self.args.min_area, self.args.colour, self.args.flip)
        found = []
        for places in np.array_split(np.arange(len(self.crops)), -(-len(self.crops) // 256)):
            shown = show(self.crops[places].to(device), views.take(places), self.args.image_size)
            found.append(model(normalise(shown, self.mean, self.std)).float())
        return F.normalize(torch.cat(found), dim=1)


def neighbour_accuracy(features: np.ndarray, labels: np.ndarray, images: np.ndarray, k: int = NEIGHBOURS) -> float:
    """Share of items whose class is the commonest among their `k` nearest items of other images, by cosine.

    Of classes that are equally common the lower number wins.

    Args:
        features: (n, D).
        labels: (n,) int, at least 0.
        images: (n,) int.
        k: neighbours; fewer where there are not as many.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    similarity[images[:, None] == images] = -np.inf
    k = min(k, len(labels) - 1)
    nearest = np.argpartition(-similarity, k, axis=1)[:, :k] if k else np.zeros((len(labels), 0), dtype=int)
    counted = np.isfinite(np.take_along_axis(similarity, nearest, axis=1))
    votes = np.zeros((len(labels), labels.max() + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[nearest]), counted)
    return float(np.mean((votes.argmax(1) == labels) & (votes.max(1) > 0)))
