"""Frequent and rare classes in the report: a table of the groups, and each class's figure against its frequency."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from hf_hyperbolic.report import html
from hf_hyperbolic.report.figures import LEGEND
from hf_hyperbolic.report.html import Markup, join, row, table, tag, text
from hf_hyperbolic.report.numbers import cell, figure_name, lookup, measure_name, number
from hf_hyperbolic.report.style import INK, LEVEL_COLOURS, LEVEL_MARKERS, MUTED, new_figure, style_axes
from hf_hyperbolic.report.tables import Measures, Results

GROUPS = ("head", "middle", "tail")
_COLOURS = dict(zip(GROUPS, LEVEL_COLOURS, strict=False))
_MARKERS = dict(zip(GROUPS, LEVEL_MARKERS, strict=False))

# protocol -> (title, direction whose measure ranks, figures by preference)
_SHOWN = {
    "parent_to_child": ("Scene → boxes of the class", "children", ("recall@50%", "recall@10%")),
    "child_to_parent": ("Box → scenes", "parents", ("top_10", "top_5")),
    "own_scene": ("Box → its own scene", "parents", ("recall@5", "recall@1")),
}


def class_section(results: Results, measures: Measures) -> Markup:
    """Table and figures, empty where the results hold no `by_class`.

    Args:
        results: system -> result, the main system first.
        measures: system -> direction -> measure that ranks.
    """
    main, result = next(iter(results.items()))
    by_class = result.get("by_class")
    if not by_class:
        return Markup("")
    parts = [tag("h3", "Frequent and rare classes"), tag("p", _about(by_class), class_="note")]
    drawings = []
    for section, (title, direction, preferred) in _SHOWN.items():
        name = _figure(by_class, section, preferred)
        if name is None:
            continue
        parts.append(_table(results, measures, section, name, title, direction))
        measure = measures[main][direction]
        levels, classes = by_class["per_class"][section], by_class["classes"]
        if measure in levels["measures"]:
            drawing = figure_by_frequency(
                classes["images"], levels["measures"][measure][name], levels["chance"][name], classes["group"],
                figure_name(name), by_class[section][measure], name,
            )  # fmt: skip
            caption = (
                f"{title}: {figure_name(name)} of {main} by the {measure_name(measure)}, one mark a class. "
                "Line and band: mean and interval of a group."
            )
            drawings.append(html.figure(drawing, f"{title}, figure of each class against its frequency", caption))
    if drawings:
        parts.append(tag("div", join(drawings), class_="panels"))
    return join(parts)


def figure_by_frequency(
    images: Sequence[int],
    values: Sequence[float | None],
    chance: Sequence[float | None],
    groups: Sequence[str],
    ylabel: str,
    means: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    name: str = "",
) -> Figure:
    """A figure of every class against the number of images that hold it.

    Args:
        images: of each class; on a logarithmic axis, 0 drawn at 0.5.
        values: in [0, 1], None where undefined.
        chance: of each class, likewise.
        groups: `"head"`, `"middle"` or `"tail"`, of each class.
        ylabel: what the figure is.
        means: group -> figure -> macro mean and interval, drawn over the group's span.
        name: which of these figures.
    """
    drawing = new_figure(4.6, 3.3)
    axes = drawing.add_subplot()
    x = np.maximum(np.asarray(images, dtype=np.float64), 0.5)
    y, random = (np.array([np.nan if v is None else v for v in level], dtype=np.float64) for level in (values, chance))
    member, tops = np.array(groups), [0.0]
    for group in GROUPS:
        inside = member == group
        if not inside.any():
            continue
        axes.plot(
            x[inside], y[inside], linestyle="", marker=_MARKERS[group], markersize=4.5, color=_COLOURS[group],
            alpha=0.55, markeredgewidth=0, label=group,
        )  # fmt: skip
        entry = (means or {}).get(group, {}).get(name)
        if entry and entry["value"] is not None:
            span = [x[inside].min() / 1.08, x[inside].max() * 1.08]
            axes.plot(span, [entry["value"]] * 2, color=_COLOURS[group], linewidth=2.2)
            if entry["low"] is not None:
                tops.append(entry["high"])
                axes.fill_between(span, entry["low"], entry["high"], color=_COLOURS[group], alpha=0.16, linewidth=0)
    order = np.argsort(x, kind="stable")
    axes.plot(x[order], random[order], color=MUTED, linestyle=":", linewidth=1.4, label="chance")
    style_axes(axes, xlabel="images that hold the class", ylabel=ylabel)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    if x.max() / x.min() > 30:
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", colors=MUTED, labelsize=9.5, length=0)
    highest = np.nanmax(np.concatenate([y, random, tops]), initial=0.0)
    top = min(1.0, 1.2 * highest) or 1.0
    # marks at 0 and 1 are to be seen whole
    axes.set_ylim(-0.03 * top, 1.03 * top)
    axes.legend(**(LEGEND | {"labelcolor": INK, "fontsize": 9, "ncols": 4, "loc": "lower center"}),
                bbox_to_anchor=(0.5, 1.0), handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    return drawing


def _about(by_class: Mapping[str, Any]) -> str:
    split = "training images" if by_class["counted_in"] == "train" else "images of this split"
    bounds = by_class["bounds"]
    rule = (
        f"tail up to {bounds[0]:,} {split}, middle up to {bounds[1]:,}, head above (as LVIS has it)"
        if bounds
        else f"thirds of the classes by the number of {split}"
    )
    return (
        f"Groups are {rule}. Each class counts once, however frequent; intervals are over images. Scene → boxes: over "
        "the scenes that hold a class, the share of all its boxes among the scene's first."
    )


def _figure(by_class: Mapping[str, Any], section: str, preferred: Sequence[str]) -> str | None:
    """The first figure wanted that there is, else the first there is."""
    found = list(lookup(by_class, "per_class", section, "chance") or ())
    return next((name for name in preferred if name in found), found[0] if found else None)


def _table(results: Results, measures: Measures, section: str, name: str, title: str, direction: str) -> Markup:
    first = next(iter(results.values()))["by_class"]
    extents = {group: first["groups"][group] for group in (*GROUPS, "all")}
    heads = [Markup(text(group) + tag("small", _size(extent))) for group, extent in extents.items()]
    rows, level_entries = [], None
    for index, (system, result) in enumerate(results.items()):
        measure = measures[system][direction]
        entries = lookup(result, "by_class", section, measure)
        if entries is None:
            continue
        level_entries = level_entries or entries
        label = Markup(text(system) + tag("small", measure_name(measure)))
        rows.append(row(label, [cell(entries[g].get(name), name) for g in extents], "main" if index == 0 else None))
    if level_entries is not None:
        for field, words in (("chance", "chance"), ("ceiling", "best possible")):
            cells = [number((level_entries[g].get(name) or {}).get(field), name) for g in extents]
            rows.append(row(words, cells, "aside"))
    return table([f"{title}, {figure_name(name)}", *heads], rows)


def _size(extent: Mapping[str, Any]) -> str:
    classes = f"{extent['classes']} class{'es' if extent['classes'] != 1 else ''}"
    if not extent["images"]:
        return classes
    low, high = extent["images"]
    return f"{classes}, {low:,} to {high:,} images" if low != high else f"{classes}, {low:,} images"
