"""A picture of what a model retrieves: a row a query, the same queries each time it is drawn."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw

from hf_hyperbolic.data.batches import node_crops
from hf_hyperbolic.data.draw import Sheet
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.evaluation.nodes import Direction
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer
from hf_hyperbolic.report.gallery import galleries, node_name

_QUERY, _RIGHT, _WRONG = "#123a63", "#2a9d9a", "#c8553d"
_FRAME = 4


def retrieval_sheet(
    embeds: np.ndarray,
    hierarchy: Hierarchy,
    reader: ImageReader,
    measures: Mapping[str, str],
    curvature: float | None,
    top: int = 6,
    cell: int = 112,
) -> Image.Image | None:
    """One query of each level in each direction, and the best of what it brings back, framed by right and wrong.

    Parents are sought among scenes, and of what lies deeper a second time among boxes, as wholes.

    Args:
        embeds: (N, D) float32 of all nodes.
        hierarchy: of the split.
        reader: of its images.
        measures: `"children"` and `"parents"` -> what ranks.
        curvature: c of the space of curvature -c; None or 0 for a Euclidean model.
        top: results of a query.
        cell: side of a crop in pixels.

    Returns:
        The picture; None where nothing holds anything.
    """
    vectors = torch.from_numpy(embeds)
    ways: tuple[Direction, Direction] = ("children", "parents")
    scorers = {way: EmbeddingScorer(vectors, measures[way], curvature) for way in ways}
    found = galleries(hierarchy, scorers, measures, queries_per_level=1, top=top)
    rows = [(gallery.title.endswith("among boxes"), row) for gallery in found for row in gallery.rows]
    if not rows:
        return None

    def framed(node: int, colour: str) -> Image.Image:
        crops, broken, _ = node_crops(reader, hierarchy, np.array([node]), cell, mode="pad")
        picture = Image.new("RGB", (cell, cell), "white") if broken else Image.fromarray(crops[0])
        ImageDraw.Draw(picture).rectangle((0, 0, cell - 1, cell - 1), outline=colour, width=_FRAME)
        return picture

    sheet = Sheet(len(rows) * (1 + top), 1 + top, cell)
    for line, (among_boxes, row) in enumerate(rows):
        first = line * (1 + top)
        sought = "wholes" if among_boxes else row.direction
        sheet.add(first, framed(row.query, _QUERY), f"{sought} of {node_name(hierarchy, row.query)}")
        for place, hit in enumerate(row.hits, 1):
            name = node_name(hierarchy, hit.node) + (", own" if hit.own_image else "")
            sheet.add(first + place, framed(hit.node, _RIGHT if hit.right else _WRONG), name)
    return sheet.finished([(_QUERY, "query"), (_RIGHT, "right"), (_WRONG, "wrong")])
