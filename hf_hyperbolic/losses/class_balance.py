"""Balance of classes: a frequent class has no more say in a batch than a rare one."""

from torch import Tensor


def inverse_prevalence(categories: Tensor, scenes: Tensor) -> Tensor:
    """What the nodes of a batch weigh: a box the inverse of how many boxes of its class are there, a scene 1.

    Args:
        categories: (N, C) bool, of a box its one class, of a scene the classes that it holds.
        scenes: (N,) bool, which nodes are full scenes.

    Returns:
        (N,) float32, positive, of boxes with a mean of 1.
    """
    boxes = categories & ~scenes[:, None]
    count = boxes.sum(0).clamp(min=1)
    inverse = (boxes / count).sum(1)
    present = (inverse > 0).sum().clamp(min=1)
    # a box without a class, if there is one, weighs as a scene does
    return (inverse * present / inverse.sum().clamp(min=1)).where(inverse > 0, 1.0)
