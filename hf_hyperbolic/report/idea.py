"""The pictures of docs/idea.md: `python -m hf_hyperbolic.report.idea --output docs/idea`.

A few points of the hyperbolic plane of curvature -1, placed by hand as a trained model would like them: wholes near
the origin, their parts behind them. All else, every angle, distance, shade, line and order, is computed from these
points by `hf_hyperbolic.lorentz` and `hf_hyperbolic.retrieval.scores`, the functions that rank in earnest.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Arc, Circle
from torch import Tensor

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.report.poincare import geodesic_arc
from hf_hyperbolic.report.style import DARK, LIGHT, Look, level_marker, new_figure, style_axes, to_svg
from hf_hyperbolic.retrieval import scores

CURVATURE = 1.0
# name -> (level, distance from the origin, direction in degrees)
POINTS = {
    "street": (0, 0.75, 52), "harbour": (0, 0.75, 172), "kitchen": (0, 0.75, 292),
    "car": (1, 1.75, 42), "house": (1, 1.75, 72), "boat": (1, 1.75, 168), "table": (1, 1.75, 290),
    "wheel": (2, 2.75, 38), "another wheel": (2, 2.75, 31), "car window": (2, 2.75, 49), "door": (2, 2.75, 68),
    "sail": (2, 2.75, 165), "lamp": (1, 2.1, 80),
}  # fmt: skip
_GRID = 700  # points a side of a shaded disk
_WINDOW = 1.3


def place(name: str) -> Tensor:
    """(2,) float64 space components of a point."""
    _, distance, degrees = POINTS[name]
    direction = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=torch.float64)
    return lorentz.exp_map0(distance * direction, CURVATURE)


def places(names: list[str]) -> Tensor:
    """(N, 2) float64 space components."""
    return torch.stack([place(name) for name in names])


def beta(whole: Tensor, part: Tensor) -> Tensor:
    """Degrees of the angle at the whole, between the way to the origin and the way to the part: pi - ext."""
    return 180 - torch.rad2deg(lorentz.exterior_angle(whole, part, CURVATURE))


def alpha(whole: Tensor, part: Tensor) -> Tensor:
    """Degrees of the exterior angle at the part."""
    return torch.rad2deg(lorentz.exterior_angle(part, whole, CURVATURE))


def ranked(query: str, measure: str, direction: str, names: list[str]) -> list[tuple[str, float]]:
    """Names and scores, best first, by the library's own ranking score."""
    found = scores(place(query)[None], places(names), measure, direction, CURVATURE)[0]
    return [(names[n], float(found[n])) for n in found.argsort(descending=True)]


def walk(query: str, names: list[str], steps: int = 50) -> list[str]:
    """Names met on the geodesic to the origin, the nearest at each step, as `Index.path` meets them."""
    way = lorentz.geodesic_to_origin(place(query), steps, CURVATURE)[:-1]
    nearest = lorentz.pairwise_distance(way, places(names), CURVATURE).argmin(1).tolist()
    return [names[n] for n in dict.fromkeys(nearest)]


def triangle(look: Look = LIGHT) -> Figure:
    """Cone and angles: which parts a whole holds, and the two angles of a pair."""
    figure = _figure(10.4, 5.5, look)
    left, right = figure.subplots(1, 2)
    _disk(left, "The cone of “car”", look)
    shade = _shade(left, lambda z: beta(place("car"), z), look)
    _mark(left, ["street", "car", "wheel", "another wheel", "car window", "house", "door", "lamp"], look)
    _key(figure, [left, right], shade, "angle at “car”, in degrees: 180 straight behind it", look)

    _disk(right, "Two angles of one pair", look)
    # a pair that is no perfect fit, so that both angles can be seen
    whole, part = place("street"), place("lamp")
    origin = torch.zeros_like(whole)
    for start, end in ((origin, whole), (whole, part), (origin, part)):
        _line(right, start, end, look)
    outward = _at(lorentz.exp_map0(1.35 * lorentz.log_map0(part, CURVATURE), CURVATURE))
    right.plot(*zip(_at(part), outward, strict=True), color=look.muted, linewidth=1.1, linestyle=(0, (3, 3)))
    at_whole, at_part = float(beta(whole, part)), float(alpha(whole, part))
    _angle(right, whole, origin, part, 0.15, look.levels[3])
    _angle(right, part, outward, whole, 0.12, look.levels[1])
    _mark(right, ["street", "lamp"], look)
    right.plot([0], [0], marker="+", markersize=9, color=look.ink)
    for text, y, colour in (
        (f"beta = {at_whole:.0f}°, the angle at the whole", -0.45, look.levels[3]),
        (f"alpha = {at_part:.0f}°, the angle at the part", -0.60, look.levels[1]),
    ):
        right.text(0, y, text, color=colour, fontsize=11, ha="center", fontweight="bold")
    return figure


def similarity(look: Look = LIGHT) -> Figure:
    """One wheel asked about by distance and by angle."""
    figure = _figure(10.4, 5.5, look)
    left, right = figure.subplots(1, 2)
    others = [name for name in POINTS if name != "wheel"]
    _disk(left, "What is like the wheel? (distance)", look)
    near = _shade(
        left, lambda z: -lorentz.distance(z, place("wheel"), CURVATURE), look, levels=(-2.0, -1.5, -1.0), low=-5, high=0
    )
    _mark(left, list(POINTS), look)
    _key(figure, left, near, "minus the distance to “wheel”", look)
    _disk(right, "What holds the wheel? (angle)", look)
    holds = _shade(right, lambda z: beta(z, place("wheel")), look)
    _mark(right, list(POINTS), look)
    _key(figure, right, holds, "angle at the other, in degrees", look)
    for axes, measure, unit in ((left, "distance", ""), (right, "beta", "°")):
        lines = []
        for name, score in ranked("wheel", measure, "parents", others)[:3]:
            lines.append(f"{name} {math.degrees(score) if unit else score:.{0 if unit else 1}f}{unit}")
        axes.text(-_WINDOW, -1.15, "first: " + ",  ".join(lines), fontsize=9.5, color=look.ink)
    return figure


def directions(look: Look = LIGHT) -> Figure:
    """What competes for an answer in each direction, and why the angle at the part does not rank."""
    figure = _figure(13.2, 4.6, look)
    inside, part_of, hubs = figure.subplots(1, 3)
    for axes, title, value, names, key in (
        (inside, "What is inside the street?", lambda z: beta(place("street"), z), ["street"],
         "beta: angle at the street"),
        (part_of, "What is the wheel a part of?", lambda z: beta(z, place("wheel")), ["wheel"],
         "beta: angle at the other"),
        (hubs, "The same by the angle at the wheel", lambda z: alpha(z, place("wheel")), ["wheel"],
         "alpha: angle at the wheel"),
    ):  # fmt: skip
        _disk(axes, title, look)
        shade = _shade(axes, value, look)
        _mark(axes, names, look)
        axes.plot([0], [0], marker="+", markersize=9, color=look.ink)
        _key(figure, axes, shade, f"{key}, in degrees", look)
    return figure


def path(look: Look = LIGHT) -> Figure:
    """From the particular to the general, and how room grows on the way back."""
    figure = _figure(10.4, 5.5, look)
    left, right = figure.subplots(1, 2)
    others = [name for name in POINTS if name != "wheel"]
    met = walk("wheel", others)
    _disk(left, "From the wheel to the origin", look)
    way = lorentz.to_poincare(lorentz.geodesic_to_origin(place("wheel"), 12, CURVATURE), CURVATURE).numpy()
    left.plot(way[:, 0], way[:, 1], color=look.levels[3], linewidth=2, marker=".", markersize=7, zorder=4)
    _mark(left, list(POINTS), look, bold=["wheel", *met])
    left.plot([0], [0], marker="+", markersize=9, color=look.ink)
    left.text(-_WINDOW, -1.15, "met: " + " → ".join(["wheel", *met]), fontsize=10.5, color=look.ink)

    style_axes(right, "Room at a distance from the origin", "distance r", "length of a circle", look)
    r = np.linspace(0, 4, 200)
    # exp_map0 of a vector of length r has |x| = sinh(r): the circle through it is 2 pi |x| long
    vectors = torch.from_numpy(np.stack([r, np.zeros_like(r)], 1))
    around = 2 * math.pi * lorentz.norm(lorentz.exp_map0(vectors, CURVATURE)).squeeze(1).numpy()
    right.plot(r, around, color=look.levels[0], linewidth=2.2)
    right.plot(r, 2 * math.pi * r, color=look.levels[2], linewidth=2.2, linestyle=(0, (5, 2)))
    right.text(2.75, around[np.searchsorted(r, 2.9)] + 12, "hyperbolic", color=look.levels[0], fontsize=11, ha="right")
    right.text(3.4, 2 * math.pi * 3.4 + 6, "Euclidean", color=look.levels[2], fontsize=11, ha="center")
    right.set_xlim(0, 4)
    right.set_ylim(0, None)
    return figure


FIGURES: dict[str, Callable[[Look], Figure]] = {
    "cone": triangle, "similarity": similarity, "directions": directions, "path": path,
}  # fmt: skip


def _figure(width: float, height: float, look: Look) -> Figure:
    figure = new_figure(width, height)
    figure.set_facecolor(look.ground)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.12, h_pad=0.12)  # type: ignore[call-arg]
    figure.set_dpi(160)  # of what is shaded, inside the SVG
    return figure


def _at(point: Tensor) -> tuple[float, float]:
    x, y = lorentz.to_poincare(point, CURVATURE).tolist()
    return x, y


def _disk(axes: Axes, title: str, look: Look) -> None:
    axes.set_title(title, loc="left", fontsize=11.5, color=look.ink, fontweight="bold")
    axes.set_aspect("equal")
    axes.set_xlim(-_WINDOW, _WINDOW)
    axes.set_ylim(-1.2, 1.02)
    axes.axis("off")
    axes.add_patch(Circle((0, 0), 1, facecolor=look.disk, edgecolor=look.levels[0], linewidth=1.2, zorder=0))


def _shade(
    axes: Axes,
    value: Callable[[Tensor], Tensor],
    look: Look,
    levels: tuple[float, ...] = (120, 150, 165),
    low: float = 0,
    high: float = 180,
) -> AxesImage:
    """Shades the disk by a value of its points, with contours; gives the picture, for a colour bar."""
    side = torch.linspace(-1, 1, _GRID, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    disk = torch.stack([x, y], -1)
    # what lies beyond the rim is taken as just inside it, and not shown
    length = lorentz.norm(disk).clamp(min=lorentz.MIN_NORM)
    found = value(lorentz.from_poincare(disk * (length.clamp(max=0.999) / length), CURVATURE)).numpy()
    # bands of one colour: a file of a few kilobytes, where a smooth shade takes hundreds
    bands = matplotlib.colormaps[look.bands].resampled(12 if high > 0 else 10)
    picture = axes.imshow(
        found, extent=(-1, 1, -1, 1), origin="lower", cmap=bands, vmin=low, vmax=high, alpha=0.55, zorder=0.5,
        interpolation="nearest",
    )  # fmt: skip
    picture.set_clip_path(Circle((0, 0), 1, transform=axes.transData))
    few = slice(None, None, 5)
    lines = axes.contour(
        x[few, few], y[few, few], found[few, few], levels=levels, colors=look.levels[0], linewidths=0.7, zorder=1
    )
    lines.set_clip_path(Circle((0, 0), 1, transform=axes.transData))
    return picture


def _key(figure: Figure, axes: Axes | list[Axes], picture: AxesImage, text: str, look: Look) -> None:
    bar = figure.colorbar(picture, ax=axes, orientation="horizontal", fraction=0.035, pad=0.02, aspect=40, shrink=0.6)
    bar.set_ticks(np.arange(0, 181, 30) if picture.get_clim()[1] else np.arange(-5, 1))  # type: ignore[arg-type]
    bar.set_label(text, fontsize=9.5, color=look.muted)
    bar.ax.tick_params(labelsize=8.5, colors=look.muted, length=0)
    bar.ax.set_facecolor(look.paper)  # shades are translucent
    bar.outline.set_visible(False)  # type: ignore[operator]


def _mark(axes: Axes, names: list[str], look: Look, bold: list[str] | None = None) -> None:
    for name in names:
        level, _, degrees = POINTS[name]
        x, y = _at(place(name))
        axes.plot([x], [y], marker=level_marker(level), color=look.levels[level], markersize=7, zorder=5)
        left, met = 70 < degrees < 270, name in (bold or [])
        axes.annotate(
            # what lies on a path has its name below it
            name, (x, y), xytext=(-7 if left else 7, -10 if met else -1), textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=9.5, color=look.ink, zorder=6,
            fontweight="bold" if met else "normal",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": look.paper, "edgecolor": "none", "alpha": 0.6},
        ).set_in_layout(False)  # fmt: skip


def _line(axes: Axes, start: Tensor, end: Tensor, look: Look) -> None:
    arc = geodesic_arc(np.array(_at(start)), np.array(_at(end)), 40)
    axes.plot(arc[:, 0], arc[:, 1], color=look.ink, linewidth=1.3, zorder=3)


def _angle(
    axes: Axes, apex: Tensor, one: Tensor | tuple[float, float], other: Tensor, size: float, colour: str
) -> None:
    """An arc between two geodesics from the apex: the disk shows angles as they are."""
    centre = np.array(_at(apex))
    turned = []
    for end in (one, other):
        arc = geodesic_arc(centre, np.array(_at(end) if isinstance(end, Tensor) else end), 400)
        ahead = arc[1] - centre
        turned.append(math.degrees(math.atan2(ahead[1], ahead[0])))
    start, stop = turned if (turned[1] - turned[0]) % 360 < 180 else turned[::-1]
    axes.add_patch(
        Arc(tuple(centre), 2 * size, 2 * size, theta1=start, theta2=stop, color=colour, linewidth=2.4, zorder=4)
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hf_hyperbolic.report.idea", description=__doc__)
    parser.add_argument("--output", default="docs/idea", help="folder for the SVG files")
    folder = Path(parser.parse_args().output)
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        # the second for dark pages, which the site shows in its place
        for file, look in ((f"{name}.svg", LIGHT), (f"{name}-dark.svg", DARK)):
            write_text(folder / file, to_svg(draw(look)).decode())
            print(f"wrote {folder / file}")


if __name__ == "__main__":
    main()
