"""Agreement of two views of each image without any negative: what keeps embeddings apart is their spread."""

import torch.nn.functional as F
from torch import Tensor

CITATION = """@inproceedings{bardes2022vicreg,
  title = {{VICReg}: Variance-Invariance-Covariance Regularization for Self-Supervised Learning},
  author = {Bardes, Adrien and Ponce, Jean and LeCun, Yann},
  booktitle = {ICLR},
  year = {2022},
}"""

# lambda, mu and nu of the paper, and what keeps the root of a variance differentiable
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
_EPSILON = 1e-4


def vicreg_loss(first: Tensor, second: Tensor) -> Tensor:
    """VICReg (Bardes et al. 2022, equations 1 to 6): views agree, dimensions vary and are not correlated.

    As in its authors' code the distance of views is a mean over dimensions, the variance term one over the two views.

    Args:
        first: (n, D) one view of each item, n at least 2.
        second: (n, D) another.

    Returns:
        0-d float32.
    """
    first, second = first.float(), second.float()
    loss = _INVARIANCE * F.mse_loss(first, second)
    for view in (first, second):
        centred = view - view.mean(0)
        covariance = centred.T @ centred / (len(view) - 1)
        variance = covariance.diagonal()
        loss = loss + _VARIANCE / 2 * F.relu(1 - (variance + _EPSILON).sqrt()).mean()
        loss = loss + _COVARIANCE * (covariance.square().sum() - variance.square().sum()) / view.shape[1]
    return loss
