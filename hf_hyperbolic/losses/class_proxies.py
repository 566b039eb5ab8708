"""Class proxies: one learnt point a class, which boxes of it resemble, and scenes that hold one.

A batch shows a class by the few boxes of it that it happens to hold. A proxy is always there, and is the mean of what
was seen of its class: categories are learnt from far fewer batches (Movshovitz-Attias et al. 2017). They need no label
beyond what cross-image pairs need.
"""

import torch.nn.functional as F
from torch import Tensor

from hf_hyperbolic.losses.info_nce import multi_positive_info_nce

CITATION = """@inproceedings{movshovitz2017proxies,
  title = {No Fuss Distance Metric Learning Using Proxies},
  author = {Movshovitz-Attias, Yair and Toshev, Alexander and Leung, Thomas K. and Ioffe, Sergey and Singh, Saurabh},
  booktitle = {ICCV},
  year = {2017},
}"""


def proxy_loss(
    embeds: Tensor,
    proxies: Tensor,
    categories: Tensor,
    scenes: Tensor,
    temperature: Tensor | float = 0.07,
) -> Tensor:
    """Multi-positive InfoNCE on cosines between a batch and the proxies, in both directions, of scenes plus of boxes.

    A proxy says of what class something is, not what holds what: that is left to the angles between nodes.

    Args:
        embeds: (N, D) vectors or space components.
        proxies: (C, D) likewise.
        categories: (N, C) bool, of a scene the classes that it holds, of a box its own.
        scenes: (N,) bool, which nodes are full scenes.
        temperature: tau of the cosine.

    Returns:
        0-d; scenes without a box count for nothing.
    """
    logits = F.normalize(embeds.float(), dim=-1) @ F.normalize(proxies.float(), dim=-1).T / temperature
    return _both_ways(logits, categories, scenes) + _both_ways(logits, categories, ~scenes)


def _both_ways(logits: Tensor, categories: Tensor, rows: Tensor) -> Tensor:
    """Of some rows alone: masked, as to pick them a GPU would have to say how many there are."""
    every = rows[:, None].expand_as(logits)
    positives = categories & every
    return multi_positive_info_nce(logits, positives, every) + multi_positive_info_nce(logits.T, positives.T, every.T)
