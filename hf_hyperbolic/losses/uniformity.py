"""Uniformity: directions spread over the sphere, against the narrow cone that angle losses alone fall into."""

import torch
import torch.nn.functional as F
from torch import Tensor

CITATION = """@inproceedings{wang2020understanding,
  title = {Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere},
  author = {Wang, Tongzhou and Isola, Phillip},
  booktitle = {ICML},
  year = {2020},
}"""


def uniformity_loss(embeds: Tensor, sharpness: float = 2.0) -> Tensor:
    """`log mean exp(-t |u_i - u_j|^2)` over pairs i < j of unit directions (Wang & Isola 2020, equation 3).

    Args:
        embeds: (N, D), N at least 2; only directions count.
        sharpness: t, positive.

    Returns:
        0-d, in [-4 t, 0]: 0 where all directions are one.

    Raises:
        ValueError: there are fewer than two embeddings.
    """
    if len(embeds) < 2:
        raise ValueError(f"uniformity is of pairs: at least 2 embeddings are needed, got {len(embeds)}")
    unit = F.normalize(embeds.float(), dim=-1)
    rows, columns = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    squared = 2 - 2 * (unit @ unit.T)[rows, columns]
    return (-sharpness * squared).logsumexp(0) - torch.log(squared.new_tensor(float(len(rows))))
