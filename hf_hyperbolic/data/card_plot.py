"""Class frequencies as a figure; needs matplotlib (the extra "demo")."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

_NAMED = 40
_COLOUR = "#2f6f9f"
_INK = "#26323a"


def class_frequencies(names: tuple[str, ...], classes: np.ndarray) -> Figure:
    """Boxes of each class, most frequent first: named bars up to 40 classes, beyond that one curve on two log axes
    with the most and least frequent named.

    Args:
        names: (C,) class names.
        classes: (C,) number of boxes.
    """
    order = np.argsort(-classes, kind="stable")
    if len(names) <= _NAMED:
        figure = Figure(figsize=(6.4, 0.8 + 0.2 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh(range(len(names)), classes[order], color=_COLOUR)
        axes.set_yticks(range(len(names)), [names[c] for c in order], fontsize=8)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("boxes")
    else:
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        shown = order[classes[order] > 0]
        rank = np.arange(1, len(shown) + 1)
        axes.loglog(rank, classes[shown], color=_COLOUR, linewidth=2)
        axes.set_xlabel("class, by rank")
        axes.set_ylabel("boxes")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        marks = np.unique(np.geomspace(1, len(shown), 9).astype(int)) - 1
        axes.plot(rank[marks], classes[shown[marks]], "o", color=_COLOUR, markersize=4)
        for mark in marks.tolist():
            late = mark > 0.5 * len(shown)
            axes.annotate(
                names[shown[mark]], (rank[mark], classes[shown[mark]]), xytext=(-7 if late else 6, -9 if late else 4),
                textcoords="offset points", ha="right" if late else "left", fontsize=8, color=_INK,
            )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)
    return figure
