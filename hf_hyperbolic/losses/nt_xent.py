"""Contrast between two views of each image, without labels."""

import torch
import torch.nn.functional as F
from torch import Tensor

CITATION = """@inproceedings{chen2020simple,
  title = {A Simple Framework for Contrastive Learning of Visual Representations},
  author = {Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey},
  booktitle = {ICML},
  year = {2020},
}"""


def nt_xent_loss(first: Tensor, second: Tensor, temperature: float, no_negatives: Tensor | None = None) -> Tensor:
    """NT-Xent of SimCLR (Chen et al. 2020, equation 1): each view is to find the other among all views of the batch.

    Args:
        first: (n, D) one view of each item; only directions count.
        second: (n, D) another.
        temperature: tau, positive.
        no_negatives: (n, n) bool, symmetric: items whose views are left out of each other's candidates. An item's own
            two views always find each other.

    Returns:
        0-d float32 mean over the 2 n views.
    """
    count = len(first)
    unit = F.normalize(torch.cat([first, second]).float(), dim=-1)
    logits = unit @ unit.T / temperature
    left_out = torch.eye(2 * count, dtype=torch.bool, device=unit.device)
    target = torch.arange(2 * count, device=unit.device).roll(count)
    if no_negatives is not None:
        left_out = left_out | no_negatives.repeat(2, 2)
        left_out[torch.arange(2 * count, device=unit.device), target] = False
    return F.cross_entropy(logits.masked_fill(left_out, float("-inf")), target)
