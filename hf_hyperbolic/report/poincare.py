"""A flat picture of embeddings of many dimensions: the Poincare disk, true in radius, chosen in direction.

No map to the plane keeps distances. Here every point keeps its distance from the origin, which is what a hierarchy is
read by; its direction is seen along the two principal axes of all directions. Points that lie side by side in the
picture may be far apart, and angles are not those of the full space.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Circle
from PIL import Image

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.lorentz import radius
from hf_hyperbolic.report.style import (
    DEEPEST,
    INK,
    LEVEL_COLOURS,
    MUTED,
    PAPER,
    level_colour,
    level_marker,
    level_name,
    new_figure,
)

THUMBNAIL = 96  # pixels of a thumbnail's longer side, twice what it takes on screen
LARGEST_CLOUD = 6000


def embedding_radii(embeds: np.ndarray, curvature: float | None) -> np.ndarray:
    """(N,) distances to the origin: hyperbolic at curvature -c for c > 0, Euclidean for c of 0 or None."""
    points = torch.from_numpy(np.asarray(embeds, dtype=np.float64))
    return (radius(points, curvature) if curvature else torch.linalg.vector_norm(points, dim=-1)).numpy()


class DirectionFrame(NamedTuple):
    """Where directions are seen along: (D,) mean of unit directions, and (D, 2) principal axes of what remains."""

    mean: np.ndarray
    axes: np.ndarray


def direction_frame(embeds: np.ndarray) -> DirectionFrame:
    """The two principal axes of the unit directions of (N, D) vectors, after centring."""
    units = _units(embeds)
    mean = units.mean(0)
    centred = units - mean
    # axes from the D x D matrix: its size does not grow with the number of embeddings
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    # an axis has no sign of its own; this one makes the picture the same every time
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    return DirectionFrame(mean, axes)


def plane_directions(embeds: np.ndarray, frame: DirectionFrame | None = None) -> np.ndarray:
    """Unit directions in the plane.

    Args:
        embeds: (N, D) vectors; a zero vector, or one at the mean direction, is given the direction (1, 0).
        frame: along which they are seen; default: their own, `direction_frame(embeds)`. With one frame, points that
            are seen at different times lie in one picture.

    Returns:
        (N, 2) unit vectors.
    """
    mean, axes = direction_frame(embeds) if frame is None else frame
    flat = np.zeros((len(embeds), 2))
    flat[:, : axes.shape[1]] = (_units(embeds) - mean) @ axes
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(size > 1e-12, flat / np.where(size > 1e-12, size, 1.0), np.array([1.0, 0.0]))


def disk_positions(embeds: np.ndarray, curvature: float, frame: DirectionFrame | None = None) -> np.ndarray:
    """(N, D) space components -> (N, 2) in the open unit disk, at the Poincare radius tanh(sqrt(c) radius / 2).

    `frame` as of `plane_directions`.
    """
    away = np.tanh(math.sqrt(curvature) * embedding_radii(embeds, curvature) / 2)
    return plane_directions(embeds, frame) * away[:, None]


def _units(embeds: np.ndarray) -> np.ndarray:
    points = np.asarray(embeds, dtype=np.float64)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1.0)


def plane_to_disk(flat: np.ndarray, curvature: float) -> np.ndarray:
    """(N, 2) space components of points of the hyperbolic plane of curvature -c -> (N, 2) in the open unit disk."""
    points = math.sqrt(curvature) * np.asarray(flat, dtype=np.float64)
    return points / (1 + np.sqrt(1 + (points**2).sum(1, keepdims=True)))


def geodesic_arc(start: np.ndarray, end: np.ndarray, steps: int = 24) -> np.ndarray:
    """(steps, 2) points of the geodesic of the Poincare disk from one point to another, evenly spaced in distance.

    The start is moved to the origin by a Moebius addition, where geodesics are straight, and back.
    """
    p, q = complex(*start), complex(*end)
    moved = (q - p) / (1 - p.conjugate() * q)
    length = min(abs(moved), 1 - 1e-12)
    if length < np.finfo(np.float64).tiny:  # a subnormal number has no direction
        return np.repeat(np.asarray(start, dtype=np.float64)[None], steps, axis=0)
    along = np.tanh(np.linspace(0, 1, steps) * math.atanh(length)) * moved / abs(moved)
    points = (along + p) / (1 + p.conjugate() * along)
    return np.stack([points.real, points.imag], axis=1)


def poincare_disk(
    embeds: np.ndarray,
    levels: np.ndarray,
    curvature: float | None,
    hierarchy: Hierarchy | None = None,
    nodes: np.ndarray | None = None,
    example_images: Sequence[int] = (),
    crop_of: Callable[[int], np.ndarray] | None = None,
    positions: np.ndarray | None = None,
) -> Figure:
    """Embeddings in the disk, coloured by level, with the trees of a few images drawn in.

    Args:
        embeds: (N, D) embeddings (space components for c > 0).
        levels: (N,) int, depth in the hierarchy.
        curvature: c > 0 of the space of curvature -c; 0 or None draws the plane with Euclidean radii instead.
        hierarchy: gives the trees of `example_images`.
        nodes: (N,) int64, node of each row; row n is node n where it is left out.
        example_images: images whose tree is drawn, scene to objects to parts along geodesics.
        crop_of: node -> (H, W, 3) uint8; with it some nodes of the trees are shown as thumbnails.
        positions: (N, 2) in the unit disk, in place of `disk_positions`; the picture then shows the part of the disk
            that they and the origin take.
    """
    hyperbolic, levels = bool(curvature), np.minimum(levels, DEEPEST)
    if hyperbolic:
        assert curvature is not None
        places = disk_positions(embeds, curvature) if positions is None else positions
    else:
        radii = embedding_radii(embeds, None)
        places = plane_directions(embeds) * (radii / max(float(radii.max()), 1e-12) * 0.97)[:, None]
    figure = new_figure(6.0, 6.3)
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    low, high = (-1.03, -1.03), (1.03, 1.03)
    if positions is not None:
        corners = np.array([[*places.min(0)], [*places.max(0)], [0, 0]])
        centre, half = (corners.min(0) + corners.max(0)) / 2, 0.55 * np.ptp(corners, axis=0).max() + 0.01
        low, high = tuple(centre - half), tuple(centre + half)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1] - 0.055 * (high[1] - low[1]), high[1])
    axes.axis("off")
    _backdrop(axes, embeds, curvature if hyperbolic else None)
    shown = _sample(levels)
    size = 14 * min(1.0, math.sqrt(1500 / len(shown)))
    for level in [int(level) for level in np.unique(levels)[::-1]]:
        rows = shown[levels[shown] == level]
        axes.scatter(
            places[rows, 0], places[rows, 1], s=1.5 * size if level == 0 else size, marker=level_marker(level),
            color=level_colour(level), alpha=0.55, linewidths=0, label=level_name(level), zorder=2,
        )  # fmt: skip
    if hierarchy is not None and len(example_images):
        row_of = {int(node): row for row, node in enumerate(np.arange(len(embeds)) if nodes is None else nodes)}
        _draw_trees(axes, places, hierarchy, row_of, example_images, crop_of, hyperbolic)
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(
        handles[::-1], labels[::-1], loc="lower center", ncols=len(labels), frameon=False, fontsize=11,
        labelcolor=INK, markerscale=7 / math.sqrt(size), handletextpad=0.2, columnspacing=1.4,
        bbox_to_anchor=(0.5, -0.005),
    )  # fmt: skip
    for handle in legend.legend_handles:
        handle.set_alpha(1)  # type: ignore[union-attr]
    return figure


def _backdrop(axes: Axes, embeds: np.ndarray, curvature: float | None) -> None:
    """The rim, and circles at round distances from the origin."""
    axes.add_patch(Circle((0, 0), 1, facecolor="#f7f9fa", edgecolor=LEVEL_COLOURS[0], linewidth=1.2, zorder=0))
    largest = float(embedding_radii(embeds, curvature).max())
    step = _round_step(min(largest, 5 / math.sqrt(curvature)) if curvature else largest)
    previous = 0.0
    for distance in np.arange(step, largest + step, step):
        place = math.tanh(math.sqrt(curvature) * distance / 2) if curvature else 0.97 * distance / max(largest, 1e-12)
        if place - previous < 0.05:
            break
        previous = place
        axes.add_patch(Circle((0, 0), place, fill=False, edgecolor="#d5dde1", linewidth=0.8, zorder=1))
        axes.annotate(
            f"{distance:g}", (0, place), fontsize=9.5, color=MUTED, ha="center", va="center", zorder=4,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip
    axes.plot([0], [0], marker="+", markersize=9, color=INK, zorder=4)


def _round_step(largest: float) -> float:
    """1, 2 or 5 times a power of ten, so that about four circles fit."""
    raw = max(largest, 1e-6) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    return power * min((1, 2, 5, 10), key=lambda factor: abs(factor - raw / power))


def _sample(levels: np.ndarray) -> np.ndarray:
    """Rows to draw: all of them, or LARGEST_CLOUD drawn at random."""
    if len(levels) <= LARGEST_CLOUD:
        return np.arange(len(levels))
    return np.sort(np.random.default_rng(0).permutation(len(levels))[:LARGEST_CLOUD])


def _draw_trees(
    axes: Axes,
    places: np.ndarray,
    hierarchy: Hierarchy,
    row_of: dict[int, int],
    example_images: Sequence[int],
    crop_of: Callable[[int], np.ndarray] | None,
    hyperbolic: bool,
) -> None:
    pairs = hierarchy.direct
    taken: list[np.ndarray] = []
    for image in example_images:
        own = pairs[hierarchy.node_image[pairs[:, 0]] == image]
        own = own[[int(p) in row_of and int(c) in row_of for p, c in own]]
        arcs, colours = [], []
        for parent, child in own:
            start, end = places[row_of[int(parent)]], places[row_of[int(child)]]
            arcs.append(geodesic_arc(start, end) if hyperbolic else np.stack([start, end]))
            colours.append(level_colour(int(hierarchy.level[child])))
        axes.add_collection(LineCollection(arcs, colors=colours, linewidths=1.2, alpha=0.7, zorder=3))
        members = sorted({int(node) for node in own.ravel()}, key=lambda node: int(hierarchy.level[node]))
        for node in members:
            place, level = places[row_of[node]], int(hierarchy.level[node])
            axes.scatter(
                place[0], place[1], s=46, marker=level_marker(level), color=level_colour(level), edgecolors=PAPER,
                linewidths=0.9,
                zorder=4,
            )  # fmt: skip
            if crop_of is not None and all(np.abs(place - other).max() > 0.17 for other in taken):
                taken.append(place)
                _add_thumbnail(axes, place, crop_of(node), level_colour(level))


def _add_thumbnail(axes: Axes, place: np.ndarray, crop: np.ndarray, colour: str) -> None:
    image = Image.fromarray(crop)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    box = OffsetImage(np.asarray(image), zoom=0.36, dpi_cor=True)
    # dpi_cor scales by dpi / 72, so 0.36 shows 96 pixels at about 35 points
    frame = {"edgecolor": colour, "linewidth": 2, "boxstyle": "square,pad=0.05"}
    axes.add_artist(AnnotationBbox(box, tuple(place), frameon=True, pad=0.1, bboxprops=frame, zorder=5))
