"""Features of a frozen backbone, computed once for all crops of a split and kept in a file.

A file is known again by a digest of all that its features depend on: the backbone's weights and configuration, which
boxes of which image files, and how crops are made of them. Another of these makes another file; old ones can go.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.files import written_aside
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.read import Source
from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_shared
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.retrieval.index_source import source_record
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.sources import Split

_VERSION = "2"  # of the file and of how crops are made: raise it when either changes
# in a configuration, what does not tell what is computed
_INCIDENTAL = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")


class FeatureTable(NamedTuple):
    """Features of all nodes of a hierarchy.

    Attributes:
        features: (N, F) float32; NaN where the image could not be read.
        broken: image -> why it could not be read.
    """

    features: Tensor
    broken: dict[int, str]

    def readable(self, hierarchy: Hierarchy) -> np.ndarray:
        """(N,) bool: nodes of images that could be read."""
        return ~np.isin(hierarchy.node_image, list(self.broken))


def cached_features(
    model: HyperbolicCLIPVisionModel,
    split: Split,
    args: TrainArguments,
    mean: list[float],
    std: list[float],
    processes: Processes = ALONE,
    batch_size: int = 256,
) -> tuple[FeatureTable, Path, bool]:
    """Features of a split by `model.backbone` in evaluation mode, in the backbone's precision.

    Args:
        model: left in the mode it is in.
        split: whose boxes, and whose scenes.
        args: of the run: `features_dir`, `image_size`, `context` and `crop_mode` are used.
        mean: three channel means, for values in [0, 1].
        std: three channel standard deviations.
        processes: that share the work; all of them call this, and the first alone writes.
        batch_size: crops at a time.

    Returns:
        The features, the file they are in, and whether they were there.

    Raises:
        OSError: the file cannot be written.
        ValueError: the file that is there is damaged, or every image of the split is.
    """
    # which boxes hold which has no part in it
    boxes = replace(split.hierarchy, direct=split.hierarchy.direct[:0])
    told = {
        "version": _VERSION,
        "backbone": backbone_digest(model.backbone),
        "data": source_record(Source(split.table, split.load, "any"), boxes, "", None).digest,
        "crops": f"{args.image_size} px, context {args.context}, {args.crop_mode}",
        "normalised by": f"{list(mean)} {list(std)}",
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    path = Path(args.features_dir) / f"{digest[:24]}.safetensors"
    if all(processes.gather(path.exists())):
        return _read(path, split.hierarchy.num_nodes), path, True
    table = _compute(model, split, args, mean, std, processes, batch_size)
    if processes.rank == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path, rivals=True) as aside:  # another run on the same features
            save_file({"features": table.features}, aside, {**told, "broken": json.dumps(table.broken)})
    return table, path, False


def backbone_digest(backbone: torch.nn.Module) -> str:
    """SHA-256 of a backbone's weights, batch statistics and configuration."""
    config = getattr(backbone, "config", None)
    entries = {name: value for name, value in config.to_dict().items() if name not in _INCIDENTAL} if config else {}
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True, default=str).encode())
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def _compute(
    model: HyperbolicCLIPVisionModel,
    split: Split,
    args: TrainArguments,
    mean: list[float],
    std: list[float],
    processes: Processes,
    batch_size: int,
) -> FeatureTable:
    hierarchy, reader = split.hierarchy, split.images(int(args.image_cache_gb * 2**30))
    order = np.argsort(hierarchy.node_image, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    mine = sum(len(nodes) for nodes in batches[processes.share(len(batches))])
    bar = tqdm(total=mine, desc="features", unit="crop", disable=processes.rank != 0)

    def features_of(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        crops, messages, kept = node_crops(
            reader, hierarchy, nodes, args.image_size, args.context, args.crop_mode
        )  # fmt: skip
        lost = np.unique(hierarchy.node_image[np.delete(nodes, kept)]).tolist()
        bar.update(len(nodes))
        if not len(kept):
            return (
                nodes[kept],
                np.zeros((0, model.config.feature_dim), np.float32),
                dict(zip(lost, messages, strict=True)),
            )
        pixels = normalise(torch.from_numpy(crops.transpose(0, 3, 1, 2)).to(device), mean, std)
        pooled = model(pixel_values=pixels.contiguous(memory_format=torch.channels_last)).pooler_output
        return nodes[kept], pooled.float().cpu().numpy(), dict(zip(lost, messages, strict=True))

    found = map_shared(features_of, batches, processes)
    bar.close()
    model.train(was_training)
    # so that no feature that was never computed can be taken for one
    features = np.full((len(order), model.config.feature_dim), np.nan, np.float32)
    broken: dict[int, str] = {}
    for nodes, values, messages in found:
        features[nodes] = values
        broken |= messages
    if len(broken) == hierarchy.num_images:
        raise ValueError(f"none of the {len(broken)} images can be read: {next(iter(broken.values()))}")
    return FeatureTable(torch.from_numpy(features), broken)


def _read(path: Path, nodes: int) -> FeatureTable:
    try:
        with safe_open(path, "pt") as opened:
            features = opened.get_tensor("features")
            broken = {int(image): why for image, why in json.loads(opened.metadata()["broken"]).items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no features that can be read ({error}): remove it") from error
    if len(features) != nodes:
        raise ValueError(f"{path} holds features of {len(features)} nodes, not of {nodes}: remove it")
    return FeatureTable(features, broken)
