"""Radial order as a loss term: a child lies farther from the origin than its parent."""

from torch import Tensor


def radial_order_loss(radii: Tensor, own: Tensor, margin: float = 0.1) -> Tensor:
    """`mean max(0, margin + radius(parent) - radius(child))` over the own-image pairs.

    The order emerges from the angle loss without any such term; this one asks for it outright, as a study of what it
    is worth.

    Args:
        radii: (N,) distances to the origin.
        own: (N, N) bool, row the parent.
        margin: at least 0, in units of distance.

    Returns:
        0-d; a zero that still carries gradient where there is no pair.
    """
    gap = margin + radii[:, None] - radii[None, :]
    return (gap.clamp(min=0) * own).sum() / own.sum().clamp(min=1)
