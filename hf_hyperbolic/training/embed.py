"""Embeddings of every node of a hierarchy."""

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.crops import CropMode
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.encoder import normalise as normalise


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
) -> np.ndarray:
    """(n,) nodes -> (n, D) float32 space components, in evaluation mode, image after image.

    Raises:
        ValueError: an image cannot be read; drop broken images from the table first.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    order = np.argsort(hierarchy.node_image[nodes], kind="stable")
    embeds: np.ndarray | None = None
    bar = tqdm(total=len(nodes), desc="embedding", unit="crop", disable=not progress)
    for start in range(0, len(nodes), batch_size):
        places = order[start : start + batch_size]
        crops, broken, _ = node_crops(reader, hierarchy, nodes[places], image_size, context, crop_mode)
        if broken:
            raise ValueError(f"{broken[0]} (drop broken images before embedding: hf_hyperbolic.data.find_broken)")
        pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2)).to(device)
        out = model(pixel_values=normalise(pixels, mean, std)).embeds.cpu().numpy()
        if embeds is None:
            embeds = np.empty((len(nodes), out.shape[1]), dtype=np.float32)
        embeds[places] = out
        bar.update(len(places))
    bar.close()
    model.train(was_training)
    if embeds is None:
        raise ValueError("there is no node to embed")
    return embeds
