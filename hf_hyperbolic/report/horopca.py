"""HoroPCA with two components: the hyperbolic plane through the origin that keeps most of the spread of the points.

Chami et al. 2021, "HoroPCA: hyperbolic dimensionality reduction via horospherical projections". An ideal point is where
a ray from the origin ends, given by its unit direction p. The Busemann function of p says how far towards p a point
lies, and its level sets are the horospheres centred at p. A point is projected along the horospheres of two orthogonal
ideal points onto the plane that they span with the origin: both Busemann functions are kept, and a point of the plane
stays where it is. No distance between points on one side of the axis between the ideal points grows. Among all pairs of
ideal points the one is sought whose projections have the largest mean squared distance from each other.

Two choices are ours. The paper first moves the mean of the data to the origin; here the origin stays, since it is the
root that radii and angles are measured from. And two points of the plane have the same two Busemann values, mirror
images of each other about the axis: the paper takes the one on the origin's side, which folds points beyond the axis
back; here it is the one on the point's own side, so that the plane is kept as a whole. The two differ only for points
at least `acosh(sqrt(2)) = 0.88` from the origin, at curvature -1.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic.lorentz import pairwise_distance

STEPS = 120
MOST_POINTS = 400


class Kept(NamedTuple):
    """What a flat picture keeps of the space.

    Attributes:
        variance: mean squared distance in the picture, as a share of that in the space.
        distortion: mean of |distance in the picture - distance in the space| / distance in the space, over pairs.
    """

    variance: float
    distortion: float


def horospherical_projection(points: Tensor, frame: Tensor) -> Tensor:
    """Projection onto the plane through the origin spanned by two ideal points, at curvature -1.

    With `s_i = t - x . p_i`, of which the Busemann function is the logarithm, the time component of the image is
    `s_1 + s_2 +- sqrt(2 s_1 s_2 - 1)` and its coordinate along p_i that less s_i.

    Args:
        points: (N, D) space components.
        frame: (D, 2) orthonormal columns, the ideal points.

    Returns:
        (N, 2) space components in the plane, along the two ideal points.
    """
    along = points @ frame
    time = (1 + points.square().sum(1, keepdim=True)).sqrt()
    s = time - along
    # s_1 s_2 >= 1/2, with equality on the axis between the two ideal points; the floor keeps the gradient finite there
    off_axis = (2 * s.prod(1, keepdim=True) - 1).clamp(min=1e-12).sqrt()
    beyond = along.sum(1, keepdim=True) > time
    return s.sum(1, keepdim=True) + torch.where(beyond, off_axis, -off_axis) - s


def fit_frame(points: Tensor, steps: int = STEPS) -> Tensor:
    """(D, 2) orthonormal ideal points whose projections of (N, D) points, at curvature -1, lie furthest apart.

    The search starts from the principal axes of the tangent vectors at the origin, and keeps the best frame that it
    meets. Points of one dimension get a second that is 0.
    """
    lengths = points.norm(dim=1, keepdim=True)
    tangent = points * (lengths.asinh() / lengths.clamp(min=1e-12))
    # the axes of the spread, not of the mean: most embeddings share a direction that tells nothing apart
    centred = tangent - tangent.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -2:].flip(1).contiguous()
    signs = torch.where(axes.gather(0, axes.abs().argmax(0, keepdim=True)) < 0, -1.0, 1.0)
    free = (axes * signs).requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=0.05)
    best, most = free.detach().clone(), -math.inf
    for _ in range(steps + 1):
        frame = torch.linalg.qr(free).Q
        spread = _mean_square(horospherical_projection(points, frame))
        if float(spread.detach()) > most:
            best, most = frame.detach().clone(), float(spread.detach())
        optimizer.zero_grad()
        (-spread).backward()
        optimizer.step()
    return best


def horopca(embeds: np.ndarray, curvature: float, steps: int = STEPS, seed: int = 0) -> np.ndarray:
    """The two components of embeddings.

    Args:
        embeds: (N, D) space components, D at least 2.
        curvature: c > 0 of the space of curvature -c.
        steps: of the search.
        seed: draws the `MOST_POINTS` points that it looks at, where there are more.

    Returns:
        (N, 2) space components of the projections, at the same curvature.

    Raises:
        ValueError: embeddings have fewer than two dimensions.
    """
    points = torch.from_numpy(np.asarray(embeds, dtype=np.float64)) * math.sqrt(curvature)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"embeds has shape {tuple(points.shape)}: two components need at least two dimensions")
    seen = torch.from_numpy(_drawn(len(points), MOST_POINTS, seed))
    frame = fit_frame(points[seen], steps)
    with torch.no_grad():
        return (horospherical_projection(points, frame) / math.sqrt(curvature)).numpy()


def kept(embeds: np.ndarray, flat: np.ndarray, curvature: float, most_points: int = 1000, seed: int = 0) -> Kept:
    """How well distances between (N, 2) points of a picture tell those between (N, D) embeddings.

    Args:
        embeds: (N, D) space components.
        flat: (N, 2) space components in the hyperbolic plane.
        curvature: c > 0 of both.
        most_points: pairs are those among so many points, drawn by `seed`.
        seed: of that draw.
    """
    seen = _drawn(len(embeds), most_points, seed)
    pairs = tuple(np.triu_indices(len(seen), 1))
    drawn = (torch.from_numpy(np.asarray(rows[seen], dtype=np.float64)) for rows in (embeds, flat))
    true, shown = (pairwise_distance(rows, rows, curvature).numpy()[pairs] for rows in drawn)
    apart = true > 1e-9
    if not apart.any():
        return Kept(1.0, 0.0)
    return Kept(
        float((shown[apart] ** 2).mean() / (true[apart] ** 2).mean()),
        float((np.abs(shown - true)[apart] / true[apart]).mean()),
    )


def _mean_square(flat: Tensor) -> Tensor:
    distances: Tensor = pairwise_distance(flat, flat, 1.0)
    return distances.square().mean()


def _drawn(count: int, most: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])
