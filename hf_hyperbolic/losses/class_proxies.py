"""Class proxies: one learnt point a class, which scenes entail and boxes resemble.

A batch shows a class by the few boxes of it that it happens to hold. A proxy is always there, and is the mean of what
was seen of its class: categories are learnt from far fewer batches (Movshovitz-Attias et al. 2017). They need no label
beyond what cross-image pairs need.
"""

import math

import torch.nn.functional as F
from torch import Tensor

from hf_hyperbolic import euclidean, lorentz
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
    curvature: Tensor | float,
    geometry: str = "lorentz",
    scene_temperature: Tensor | float = 0.15,
    box_temperature: Tensor | float = 0.07,
    directed: bool = True,
) -> Tensor:
    """Multi-positive InfoNCE between a batch and the proxies, in both directions, of scenes plus of boxes.

    A scene is a parent of the proxies of the classes it holds, scored by `beta`, the angle at the scene. A box and the
    proxy of its class are neither parent nor child of one another: they are scored by cosine.

    Args:
        embeds: (N, D) space components.
        proxies: (C, D) space components.
        categories: (N, C) bool, of a scene the classes that it holds, of a box its own.
        scenes: (N,) bool, which nodes are full scenes.
        curvature: c of the hyperboloid of curvature -c; not used when `geometry` is `"euclidean"`.
        geometry: `"lorentz"` or `"euclidean"`.
        scene_temperature: tau of the angle, in radians.
        box_temperature: tau of the cosine, and of the scenes where they are not directed.
        directed: score scenes by angle; otherwise by cosine, for the losses that know no direction.

    Returns:
        0-d; scenes without a box count for nothing.
    """
    cosine = F.normalize(embeds.float(), dim=-1) @ F.normalize(proxies.float(), dim=-1).T
    if directed:
        space = lorentz if geometry == "lorentz" else euclidean
        scene_logits = (math.pi - space.pairwise_exterior_angle(embeds[scenes], proxies, curvature)) / scene_temperature
    else:
        scene_logits = cosine[scenes] / box_temperature
    loss = _both_ways(scene_logits, categories[scenes])
    return loss + _both_ways(cosine[~scenes] / box_temperature, categories[~scenes])


def _both_ways(logits: Tensor, positives: Tensor) -> Tensor:
    every = positives | ~positives
    return multi_positive_info_nce(logits, positives, every) + multi_positive_info_nce(logits.T, positives.T, every.T)
