"""Figures of a run and of its embeddings: training curves, radius by level, precision against recall.

Each function returns matplotlib figures outside pyplot, small enough to be read on a phone one below the other.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hf_hyperbolic.report.style import (
    DEEPEST,
    INK,
    LEVEL_COLOURS,
    MUTED,
    PAPER,
    SYSTEM_COLOURS,
    SYSTEM_DASHES,
    level_colour,
    level_name,
    new_figure,
    style_axes,
)

PANEL = (4.6, 3.1)
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 9.5, "labelcolor": INK}

# panel -> (title, metric -> legend)
_PANELS: dict[str, tuple[str, dict[str, str]]] = {
    "loss": (
        "Loss",
        {
            "loss_parent_to_child": "parent → child",
            "loss_child_to_parent": "child → parent",
            "loss_similarity": "similarity, before its weight",
            "loss_proxies": "class proxies, before their weight",
            "loss": "all, weighted",
        },
    ),
    "curvature": ("Curvature", {"curvature": "c of the space of curvature −c"}),
    "temperature": ("Temperature", {"temperature": "τ"}),
    "radius": ("Mean distance from the origin", {"radius_scene": "scenes", "radius_box": "boxes"}),
}
_COLOURS = {
    "loss_parent_to_child": LEVEL_COLOURS[1],
    "loss_child_to_parent": LEVEL_COLOURS[2],
    "loss_similarity": LEVEL_COLOURS[3],
    "loss_proxies": SYSTEM_COLOURS[1],
    "radius_box": LEVEL_COLOURS[1],
}
_DASHES = {
    "loss_child_to_parent": SYSTEM_DASHES[1],
    "loss_similarity": SYSTEM_DASHES[2],
    "loss_proxies": SYSTEM_DASHES[3],
    "radius_box": SYSTEM_DASHES[1],
}


def training_curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Curves of a run, one figure a panel: loss, curvature, temperature, radius, validation.

    A thin line is what was logged, the thick one its running mean; validation figures are drawn as points. A panel
    whose figures were never logged is left out, and so are values that are not finite.

    Args:
        metrics: the lines of `metrics.jsonl`, each with `step`.

    Returns:
        Panel name -> figure, in reading order.
    """
    figures: dict[str, Figure] = {}
    for panel, (title, names) in _PANELS.items():
        series = {name: line for name in names if len((line := _series(metrics, name))[0])}
        if not series:
            continue
        figure, axes = _panel(title)
        for name, (steps, values) in series.items():
            colour, dash = _COLOURS.get(name, SYSTEM_COLOURS[0]), _DASHES.get(name, "-")
            # dots too, lest a single logged value be no mark at all
            axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.35, marker="." if len(steps) < 3 else None)
            axes.plot(steps, _running_mean(values), color=colour, linewidth=2, linestyle=dash, label=names[name])
        axes.legend(**LEGEND)
        figures[panel] = figure
    validation = sorted({name for row in metrics for name in row if name.startswith("val_")})
    lines = {name.removeprefix("val_").replace("_", " "): _series(metrics, name) for name in validation}
    lines = {name: line for name, line in lines.items() if len(line[0])}
    if lines:
        figures["validation"] = _validation(lines)
    return figures


def radius_by_level(radii: np.ndarray, levels: np.ndarray) -> Figure:
    """How far from the origin each level of the hierarchy lies: one density a level, median and quartiles marked.

    Args:
        radii: (N,) distances to the origin.
        levels: (N,) int, depth in the hierarchy.
    """
    radii, levels = np.asarray(radii, dtype=np.float64), np.minimum(levels, DEEPEST)
    present = [int(level) for level in np.unique(levels)]
    figure = new_figure(5.0, 1.0 + 0.72 * len(present))
    axes = figure.add_subplot()
    low, high = float(radii.min()), float(radii.max())
    margin = 0.06 * (high - low) or 0.5
    grid = np.linspace(max(0.0, low - margin), high + margin, 240)
    for row, level in enumerate(present):
        values, base = radii[levels == level], float(len(present) - 1 - row)
        colour = level_colour(level)
        density = _density(values, grid)
        axes.fill_between(grid, base, base + 0.72 * density, color=colour, alpha=0.85, linewidth=0)
        first, median, third = np.quantile(values, (0.25, 0.5, 0.75))
        axes.plot([first, third], [base - 0.08] * 2, color=colour, linewidth=3, solid_capstyle="round")
        axes.plot(
            [median], [base - 0.08], marker="o", markersize=6, color=PAPER, markeredgecolor=colour, markeredgewidth=2
        )
        left = median > grid[0] + 0.65 * (grid[-1] - grid[0])
        axes.annotate(
            f"median {median:.3g}", (first if left else third, base - 0.08), xytext=(-8 if left else 8, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", fontsize=9.5, color=INK,
        )  # fmt: skip
    style_axes(axes, xlabel="distance from the origin")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#eef1f3", linewidth=0.8)
    axes.set_yticks(range(len(present)))
    axes.set_yticklabels([f"{level_name(level)}\nn = {(levels == level).sum():,}" for level in reversed(present)])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.3, len(present) - 0.1)
    axes.set_xlim(grid[0], grid[-1])
    return figure


class Curve(NamedTuple):
    """Interpolated precision at fixed recall, all in [0, 1].

    Attributes:
        recall: (L,) levels.
        precision: (L,) at each, NaN where undefined.
        low: (L,) lower end of its interval; None for none.
        high: (L,) upper end.
    """

    recall: Sequence[float]
    precision: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def numbers(values: Sequence[float | None]) -> list[float]:
    """JSON's numbers: None becomes NaN."""
    return [math.nan if value is None else float(value) for value in values]


def precision_recall(
    curves: Mapping[str, Curve | tuple[Sequence[float], Sequence[float]]],
    chance: tuple[Sequence[float], Sequence[float]] | None,
    ceiling: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Figure:
    """Precision at fixed recall, one line a system and a band for its interval.

    Args:
        curves: system -> curve, or recall levels and precisions alone; the main system first.
        chance: recall levels and precisions of random rankings.
        ceiling: those of the best possible ranking.
    """
    figure = new_figure(5.0, 3.5)
    axes = figure.add_subplot()
    lines = {name: Curve(*curve) for name, curve in curves.items()}
    drawn = [np.asarray(line, dtype=np.float64) for c in lines.values() for line in (c.precision, c.high) if line]
    # the main system last, so that it lies on top
    for index, (name, curve) in reversed(list(enumerate(lines.items()))):
        colour = SYSTEM_COLOURS[index % len(SYSTEM_COLOURS)]
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.recall, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(
            curve.recall, curve.precision, label=name, color=colour,
            linestyle=SYSTEM_DASHES[index % len(SYSTEM_DASHES)], linewidth=2.4 if index == 0 else 1.8,
        )  # fmt: skip
    for level, name, dash in ((chance, "chance", ":"), (ceiling, "best possible", (0, (1, 3)))):
        if level is not None:
            axes.plot(*level, label=name, color=MUTED, linestyle=dash, linewidth=1.6)
            drawn.append(np.asarray(level[1], dtype=np.float64))
    style_axes(axes, xlabel="recall", ylabel="precision")
    axes.set_xlim(0, 1)
    highest = max((float(np.nanmax(line)) for line in drawn if line.size and not np.isnan(line).all()), default=1.0)
    # the best possible, a line at 1, is to be seen whole
    axes.set_ylim(0, min(1.0 if ceiling is None else 1.02, 1.12 * highest) or 1.0)
    handles, labels = axes.get_legend_handles_labels()
    systems = len(curves)
    order = [*reversed(range(systems)), *range(systems, len(labels))]
    axes.legend(
        [handles[i] for i in order], [labels[i] for i in order], handlelength=3, **LEGEND
    )  # fmt: skip
    return figure


def _panel(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(*PANEL)
    axes = figure.add_subplot()
    style_axes(axes, title=title, xlabel="step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure, axes


def _validation(lines: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    figure, axes = _panel("Validation figures")
    for index, (name, (steps, values)) in enumerate(lines.items()):
        again = index >= len(SYSTEM_COLOURS)  # a colour that stands for an earlier line too
        axes.plot(
            steps, values, marker="s" if again else "o", markersize=5 if again else 4, linewidth=1.8, label=name,
            markerfacecolor=PAPER if again else None,
            color=SYSTEM_COLOURS[index % len(SYSTEM_COLOURS)], linestyle=SYSTEM_DASHES[index % len(SYSTEM_DASHES)],
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.45 * (high - low))  # room for the legend, lest it hide a line
    axes.legend(**LEGEND, ncols=2)
    return figure


def _series(metrics: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and finite values of one metric."""
    points = [
        (float(row["step"]), float(row[name]))
        for row in metrics
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Centred mean over about a twentieth of the run; the window shrinks at the ends."""
    half = len(values) // 40
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    start, stop = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (total[stop] - total[start]) / (stop - start)


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density on the grid, highest point 1; Silverman's bandwidth, floored so that ties show."""
    spread = min(values.std(), float(np.subtract(*np.quantile(values, (0.75, 0.25)))) / 1.349 or values.std())
    bandwidth = max(0.9 * spread * len(values) ** -0.2, (grid[-1] - grid[0]) / 150)
    # histogram first: the cost no longer grows with the number of embeddings
    counts, edges = np.histogram(values, bins=400, range=(grid[0], grid[-1]))
    centres = (edges[1:] + edges[:-1]) / 2
    density = np.exp(-(((grid[:, None] - centres) / bandwidth) ** 2) / 2) @ counts
    return density / density.max()
