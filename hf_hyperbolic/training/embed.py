"""Embeddings of every node of a hierarchy."""

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.crops import CropMode
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_shared


@torch.no_grad()
def embed_nodes(
    model: torch.nn.Module,
    reader: ImageReader,
    hierarchy: Hierarchy,
    nodes: np.ndarray,
    image_size: int,
    mean: list[float],
    std: list[float],
    context: float = 0.0,
    crop_mode: CropMode = "resize",
    batch_size: int = 256,
    progress: bool = False,
    distributed: bool = False,
) -> np.ndarray:
    """(n,) nodes -> (n, D) float32 space components, in evaluation mode, image after image.

    With `distributed` the processes of `accelerate launch` or `torchrun` share the batches; all of them must then call
    this, and each gets all embeddings, those that one process computes with as many threads (`OMP_NUM_THREADS`).

    Raises:
        ValueError: an image cannot be read; drop broken images from the table first.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    order = np.argsort(hierarchy.node_image[nodes], kind="stable")
    if not len(order):
        raise ValueError("there is no node to embed")
    processes = Processes.of_group() if distributed else ALONE
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    mine = sum(len(places) for places in batches[processes.share(len(batches))])
    bar = tqdm(total=mine, desc="embedding", unit="crop", disable=not progress)

    def embed_batch(places: np.ndarray) -> np.ndarray:
        crops, broken, _ = node_crops(reader, hierarchy, nodes[places], image_size, context, crop_mode)
        if broken:
            raise ValueError(f"{broken[0]} (drop broken images before embedding: hf_hyperbolic.data.find_broken)")
        pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2)).to(device)
        found: np.ndarray = model(pixel_values=normalise(pixels, mean, std)).embeds.float().cpu().numpy()
        bar.update(len(places))
        return found

    in_order = np.concatenate(map_shared(embed_batch, batches, processes))
    bar.close()
    model.train(was_training)
    embeds = np.empty_like(in_order)
    embeds[order] = in_order
    return embeds
