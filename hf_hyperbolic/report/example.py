"""One annotated image, as the model is taught it: the scene, its boxes, and the tree they make."""

from collections.abc import Sequence

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.report.gallery import CropOf, node_name
from hf_hyperbolic.report.html import Markup, image, join, tag, text, thumbnail_uri
from hf_hyperbolic.report.style import DEEPEST, level_colour, level_name

_SCENE_PIXELS = 720
_MOST_BOXES = 14


def example_images(hierarchy: Hierarchy, count: int, most_boxes: int = _MOST_BOXES) -> list[int]:
    """Images that show the hierarchy best: as deep as any, with boxes enough to be a tree and few enough to be read.

    Args:
        hierarchy: the split.
        count: how many.
        most_boxes: images with more boxes come last.
    """
    active = hierarchy.active()
    depth = np.zeros(hierarchy.num_images, dtype=np.int64)
    np.maximum.at(depth, hierarchy.node_image[active], hierarchy.level[active])
    boxes = np.bincount(hierarchy.node_image[active], minlength=hierarchy.num_images) - 1
    readable = boxes <= most_boxes
    order = np.lexsort((np.arange(len(boxes)), -np.where(readable, boxes, -boxes), -np.minimum(depth, 3), ~readable))
    return [int(index) for index in order[:count] if boxes[index] > 0]


def render_example(hierarchy: Hierarchy, chosen: int, crop_of: CropOf) -> Markup:
    """The scene with its boxes drawn in, and beside it the tree.

    Args:
        hierarchy: the split.
        chosen: image.
        crop_of: node -> (H, W, 3) uint8, exactly the node's box.
    """
    width, height = (float(side) for side in hierarchy.node_box[chosen, 2:])
    members = np.flatnonzero((hierarchy.node_image == chosen) & hierarchy.active())
    boxes = [int(node) for node in members if hierarchy.node_label[node] >= 0]
    # large boxes first, so that small ones lie on top
    boxes.sort(key=lambda node: int(hierarchy.level[node]))
    stroke = max(width, height) / 220
    drawn = []
    for node in boxes:
        x0, y0, x1, y1 = (float(value) for value in hierarchy.node_box[node])
        drawn.append(
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="none" '
            f'stroke="#fff" stroke-width="{2.2 * stroke:.2f}" stroke-opacity=".7"/>'
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="none" '
            f'stroke="{level_colour(int(hierarchy.level[node]))}" stroke-width="{stroke:.2f}">'
            f"<title>{text(node_name(hierarchy, node))}</title></rect>"
        )
    uri = thumbnail_uri(crop_of(chosen), _SCENE_PIXELS)
    picture = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="a scene with its annotated boxes">'
        f'<image href="{text(uri)}" width="{width:g}" height="{height:g}" preserveAspectRatio="none"/>'
        f"{''.join(drawn)}</svg>"
    )
    used = sorted({min(int(hierarchy.level[node]), DEEPEST) for node in members})
    key = join(tag("span", level_name(level), class_="level", style=f"--level:{level_colour(level)}") for level in used)
    left = tag("div", join([Markup(picture), tag("p", key, class_="key", style="margin-top:10px")]))
    tree = tag("ul", _branch(hierarchy, chosen, crop_of), class_="tree")
    return tag("div", join([left, tree]), class_="example")


def _branch(hierarchy: Hierarchy, node: int, crop_of: CropOf) -> Markup:
    """A node and, indented, its direct children; a child of two parents stands under both."""
    children: Sequence[int] = [int(child) for child in hierarchy.direct[hierarchy.direct[:, 0] == node, 1]]
    level, name = int(hierarchy.level[node]), node_name(hierarchy, node)
    leaf = [
        image(thumbnail_uri(crop_of(node), 76), ""),
        tag("span", name, class_="level", style=f"--level:{level_colour(level)};color:inherit;font-size:inherit"),
    ]
    inner = [tag("div", join(leaf), class_="leaf")]
    if children:
        inner.append(tag("ul", join(_branch(hierarchy, child, crop_of) for child in children)))
    return tag("li", join(inner))
