"""Pictures of recovered trees beside the true ones: of an image with its crops, of classes by name; and of angles."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.report.gallery import CropOf
from hf_hyperbolic.report.style import INK, LEVEL_COLOURS, MUTED, RULE, level_colour, new_figure, style_axes
from hf_hyperbolic.report.tree_layout import depth_first, depths, tidy_positions

RIGHT, WRONG = LEVEL_COLOURS[1], "#b3261e"
_MISSED = "#a9b1ba"
_THUMBNAIL = 88  # pixels of a crop's longer side, shown at half that
# below a right angle the first does not hold the second; above it does
_ANGLES = LinearSegmentedColormap.from_list("angles", ["#e39b2d", "#f8ecd8", "#ffffff", "#a8cfd6", "#123a63"])


def image_trees(
    hierarchy: Hierarchy, nodes: np.ndarray, parent: np.ndarray, crop_of: CropOf
) -> tuple[Figure, int, int, int]:
    """The true hierarchy of an image above the recovered tree; right edges solid, wrong ones red and dashed.

    A node with two direct parents hangs from the deeper one, the other edge is drawn too. Edges of the true hierarchy
    that were not found are grey and dashed.

    Args:
        hierarchy: the split.
        nodes: (n,) nodes of one image that take part.
        parent: (n,) recovered parent node of each, -1 at the root.
        crop_of: node -> (H, W, 3) uint8.

    Returns:
        The figure, and the number of edges that are right, recovered and true.
    """
    place = {int(node): index for index, node in enumerate(nodes)}
    true = [
        (place[u], place[v])
        for u, v in hierarchy.direct[np.isin(hierarchy.direct[:, 1], nodes)].tolist()
        if u in place and v in place
    ]
    found = [(place[u], index) for index, u in enumerate(parent.tolist()) if u >= 0]
    hung = np.full(len(nodes), -1)
    for u, v in sorted(true, key=lambda edge: int(hierarchy.level[nodes[edge[0]]])):
        hung[v] = u
    recovered = np.array([-1 if u < 0 else place[u] for u in parent.tolist()])
    right = {*true} & {*found}
    rows = [(hung, true, "True", _MISSED), (recovered, found, "Recovered", WRONG)]
    heights = [int(depths(tree).max(initial=0)) + 1 for tree, *_ in rows]
    width = max(float(tidy_positions(tree)[:, 0].max()) + 1 for tree, *_ in rows)
    figure = new_figure(max(5.0, 0.56 * width + 0.4), 0.72 * sum(heights) + 0.8)
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    for index, (tree, edges, title, colour) in enumerate(rows):
        axes = figure.add_subplot(grid[index])
        places = tidy_positions(tree)
        places[:, 0] += (width - 1 - places[:, 0].max()) / 2
        for edge in edges:
            sure = edge in right
            axes.plot(
                *places[list(edge)].T, color=RIGHT if sure else colour, linewidth=1.6 if sure else 1.4,
                linestyle="-" if sure else (0, (4, 2)), zorder=1,
            )  # fmt: skip
        for node, (x, y) in zip(nodes.tolist(), places.tolist(), strict=True):
            _thumbnail(axes, x, y, crop_of(node), level_colour(int(hierarchy.level[node])))
        style_axes(axes, title=title)
        axes.axis("off")
        axes.set_xlim(-0.6, width - 0.4)
        axes.set_ylim(-heights[index] + 0.45, 0.55)
    return figure, len(right), len(found), len(true)


def class_trees(names: Sequence[str], true: np.ndarray, found: np.ndarray) -> Figure:
    """The tree of classes of the data beside the one recovered, as indented lists; wrong edges red and dashed.

    Args:
        names: (n,) of the categories.
        true: (n,) parent of each, -1 at the root.
        found: (n,) recovered parents.
    """
    figure = new_figure(9.0, 0.21 * len(names) + 0.7)
    left, right = figure.subplots(1, 2)
    agree = true == found
    _indented(left, names, true, agree, "Of the data", _MISSED)
    _indented(right, names, found, agree, "Recovered from angles", WRONG)
    return figure


def angle_heat_map(names: Sequence[str], interior: np.ndarray, between: np.ndarray, true: np.ndarray) -> Figure:
    """Mean interior angle at the row's class towards the column's, classes in the order of a dendrogram at the side.

    Args:
        names: (n,) of the categories, at least two.
        interior: (n, n) degrees, NaN where there is none; the diagonal is drawn too.
        between: (n, n) degrees between directions, of which the dendrogram joins the smallest first (average linkage).
        true: (n,) parent of each, framed in its column.
    """
    n = len(names)
    apart = np.nan_to_num((between + between.T) / 2, nan=90.0)
    np.fill_diagonal(apart, 0.0)
    figure = new_figure(9.0, 7.8)
    side, axes = figure.subplots(1, 2, width_ratios=(0.13, 1))
    drawn = dendrogram(
        linkage(squareform(apart, checks=False), "average"), orientation="left", ax=side, no_labels=True,
        color_threshold=0, above_threshold_color=MUTED,
    )  # fmt: skip
    side.invert_yaxis()
    side.axis("off")
    order = np.array(drawn["leaves"])
    shown = interior[np.ix_(order, order)]
    low, high = (float(np.nanquantile(interior, q)) for q in (0.0, 1.0))
    norm = TwoSlopeNorm(90.0, min(low, 89.0), max(high, 91.0))
    picture = axes.imshow(shown, cmap=_ANGLES, norm=norm, aspect="auto")
    at = np.argsort(order)
    for column, above in enumerate(true.tolist()):
        if above >= 0:
            axes.add_patch(Rectangle((at[column] - 0.5, at[above] - 0.5), 1, 1, fill=False, edgecolor=WRONG, lw=1.4))
    size = 8.5 if n <= 45 else 6
    axes.set_xticks(range(n), [names[i] for i in order], rotation=90, fontsize=size, color=INK)
    axes.set_yticks(range(n), [names[i] for i in order], fontsize=size, color=INK)
    axes.tick_params(length=0)
    axes.set_xlabel("part", fontsize=10, color=MUTED)
    axes.set_ylabel("whole, at which the angle is measured", fontsize=10, color=MUTED)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(picture, ax=axes, fraction=0.03, pad=0.01)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=9, colors=MUTED)
    bar.ax.yaxis.set_major_formatter("{x:.0f}°")
    return figure


def _indented(axes: Axes, names: Sequence[str], parent: np.ndarray, agree: np.ndarray, title: str, colour: str) -> None:
    order, depth = depth_first(parent), depths(parent)
    row = {node: index for index, node in enumerate(order)}
    for node in order:
        above = int(parent[node])
        sure = bool(agree[node])
        if above >= 0:
            axes.plot(
                [depth[above], depth[above], depth[node] - 0.1], [row[above] + 0.35, row[node], row[node]],
                color=RIGHT if sure else colour, linewidth=1.3, linestyle="-" if sure else (0, (3, 2)), zorder=1,
            )  # fmt: skip
        ink = INK if sure or above < 0 or colour != WRONG else WRONG
        axes.text(depth[node], row[node], names[node], fontsize=9.5, color=ink, va="center", zorder=2)
    style_axes(axes, title=title)
    axes.axis("off")
    axes.set_xlim(-0.1, max(int(depth.max(initial=0)) + 1.6, 4))
    axes.set_ylim(len(order) - 0.4, -0.6)


def _thumbnail(axes: Axes, x: float, y: float, crop: np.ndarray, colour: str) -> None:
    image = Image.fromarray(crop)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    if max(image.size) < _THUMBNAIL:
        scale = _THUMBNAIL / max(image.size)
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    # dpi_cor scales by dpi / 72: a crop of 88 pixels takes 32 points
    box = OffsetImage(np.asarray(image), zoom=32 / _THUMBNAIL, dpi_cor=True)
    frame = {"edgecolor": colour, "linewidth": 1.8, "boxstyle": "square,pad=0.05", "facecolor": RULE}
    axes.add_artist(AnnotationBbox(box, (x, y), frameon=True, pad=0.1, bboxprops=frame, zorder=3))
