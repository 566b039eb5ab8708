"""Figure of a threshold study."""

import numpy as np
from matplotlib.figure import Figure

from hf_hyperbolic.data.thresholds import ThresholdStudy
from hf_hyperbolic.report.style import (
    DEEPEST,
    INK,
    LEVEL_COLOURS,
    MUTED,
    SYSTEM_COLOURS,
    level_name,
    new_figure,
    style_axes,
)


def threshold_figure(study: ThresholdStudy) -> Figure:
    """Pairs (left) and boxes by level (right) over the threshold; a line marks the paper's 0.8 where it lies within."""
    figure = new_figure(10, 4)
    pairs, levels = figure.subplots(1, 2)
    x = np.array(study.thresholds)
    for counts, name, colour, marker in (
        (study.direct, "direct", SYSTEM_COLOURS[0], "o"),
        (study.transitive, "transitive", SYSTEM_COLOURS[1], "s"),
    ):
        pairs.plot(x, counts, color=colour, marker=marker, markersize=4, linewidth=1.8, label=name, clip_on=False)
    style_axes(pairs, "Pairs of boxes", "share of the child inside the parent", "pairs")
    pairs.set_ylim(bottom=0)

    deep = np.zeros((len(x), min(study.levels.shape[1], DEEPEST)))
    for level in range(study.levels.shape[1]):
        deep[:, min(level, DEEPEST - 1)] += study.levels[:, level]
    share = 100 * deep / np.maximum(deep.sum(axis=1, keepdims=True), 1)
    names = [level_name(level + 1) for level in range(deep.shape[1])]
    levels.stackplot(x, share.T, colors=LEVEL_COLOURS[1 : 1 + deep.shape[1]], labels=names)
    style_axes(levels, "Boxes by level", "share of the child inside the parent", "% of boxes")
    levels.set_ylim(0, 100)
    for axes in (pairs, levels):
        axes.set_xlim(x[0], x[-1])
        if x[0] < 0.8 < x[-1]:
            axes.axvline(0.8, color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.legend(
            frameon=False, fontsize=9, labelcolor=MUTED, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4
        )
    return figure
