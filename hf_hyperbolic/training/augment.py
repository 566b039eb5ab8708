"""Random views of crops, as a few matrix products for a whole batch: part, mirror, colour.

The augmentations of SimCLR (Chen et al. 2020) at the strengths of MoCo v2 (Chen, Fan, Girshick and He 2020), without
blur. What is drawn is kept apart from what is done with it, so that a batch's draws are a function of (seed, step)
whatever device or process shows it.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# of red, green and blue in the grey that an eye sees (ITU-R BT.601)
_LUMA = np.array([0.299, 0.587, 0.114])
# red, green, blue -> luma and two axes of colour (YIQ, NTSC): a turn of these is a change of hue at equal luma
_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_JITTERED, _GREY = 0.8, 0.2  # shares of the views
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.4, 0.1
_RATIO = np.log(4 / 3)


class Views(NamedTuple):
    """What n views show of n crops.

    Attributes:
        windows: (n, 4) float32 x0 y0 x1 y1, the part that is shown, in shares of the crop's sides.
        mirrored: (n,) bool.
        colour: (n, 3, 3) float32, by which colours are multiplied.
        grey: (n,) float32, how much of the crop's mean grey is then added, for the contrast.
    """

    windows: np.ndarray
    mirrored: np.ndarray
    colour: np.ndarray
    grey: np.ndarray

    def take(self, places: np.ndarray) -> "Views":
        """The views at (m,) places."""
        return Views(*(drawn[places] for drawn in self))


def draw_views(
    count: int, rng: np.random.Generator, min_area: float = 0.2, colour: float = 1.0, flip: bool = True
) -> Views:
    """Draws `count` views.

    Args:
        count: n.
        rng: where the draws come from; their number depends on `count` alone.
        min_area: least share of a crop's area that is shown, in (0, 1]; the largest is all of it.
        colour: factor on the strength of all changes of colour, in [0, 1]; at 0 there are none, nor grey views.
        flip: mirror every second view.
    """
    area, ratio = rng.uniform(min_area, 1, count), np.exp(rng.uniform(-_RATIO, _RATIO, count))
    sides = np.minimum(np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=1), 1)
    corner = rng.random((count, 2)) * (1 - sides)
    mirrored = (rng.random(count) < 0.5) & flip

    strength = colour * (rng.random(count) < _JITTERED)
    change = rng.uniform(-1, 1, (4, count)) * strength
    brightness, contrast, saturation = 1 + np.array([[_BRIGHTNESS], [_CONTRAST], [_SATURATION]]) * change[:3]
    saturation = np.where(rng.random(count) < _GREY * bool(colour), 0, saturation)
    windows = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    return Views(windows, mirrored, *change_of_colour(brightness, contrast, saturation, 2 * np.pi * _HUE * change[3]))


def change_of_colour(
    brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray, hue: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`colour` and `grey` of `Views` for (n,) factors and (n,) turns of hue in radians, in YIQ: at equal luma."""
    turn = np.zeros((len(hue), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(hue)
    turn[:, 2, 1] = saturation * np.sin(hue)
    turn[:, 1, 2] = -turn[:, 2, 1]
    # greys stay as they are under `turn`: contrast is towards the mean grey before or after it alike
    matrix = (brightness * contrast)[:, None, None] * (np.linalg.inv(_YIQ) @ turn @ _YIQ)
    return matrix.astype(np.float32), (brightness * (1 - contrast)).astype(np.float32)


def show(crops: Tensor, views: Views, size: int) -> Tensor:
    """One view of each crop.

    Args:
        crops: (n, 3, H, W) uint8.
        views: n of them.
        size: side of the views in pixels.

    Returns:
        (n, 3, size, size) float32 in [0, 255], on the device of `crops`.
    """
    windows, matrix, grey = (torch.from_numpy(drawn).to(crops.device) for drawn in (*views[:1], *views[2:]))
    height, width = crops.shape[-2:]
    columns = _weights(windows[:, 0], windows[:, 2], width, size)
    columns = torch.where(torch.from_numpy(views.mirrored).to(crops.device)[:, None, None], columns.flip(1), columns)
    rows = _weights(windows[:, 1], windows[:, 3], height, size)
    pixels = crops.float()
    mean_grey = pixels.mean((2, 3)) @ torch.tensor(_LUMA, dtype=torch.float32, device=crops.device)
    pixels = rows[:, None] @ (pixels.flatten(1, 2) @ columns.mT).unflatten(1, (3, height))
    coloured = torch.baddbmm((grey * mean_grey)[:, None, None], matrix, pixels.flatten(2))
    return coloured.clamp_(0, 255).unflatten(2, (size, size))


def _weights(first: Tensor, last: Tensor, length: int, size: int) -> Tensor:
    """(n,) ends of windows -> (n, size, length), by which `length` pixels are averaged to `size` ones.

    The triangle filter of Pillow's `Image.resize(..., BILINEAR, box=...)`, as wide as a pixel of the result.
    """
    step = (last - first) * (length / size)
    centre = (first * length)[:, None] + (torch.arange(size, device=first.device) + 0.5) * step[:, None]
    pixel = torch.arange(length, device=first.device) + 0.5
    distance = (pixel - centre[..., None]).abs_() / step.clamp(min=1)[:, None, None]
    weights = (1 - distance).clamp_(min=0)
    return weights / weights.sum(-1, keepdim=True)
