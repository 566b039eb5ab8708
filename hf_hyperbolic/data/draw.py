"""Pictures of images with their boxes: sheets of whole images, coloured by level, and sheets of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.levels import DEEPEST, level_name

# by depth below the scene: objects, parts, parts of parts, ... (told apart by the colour-blind too)
BOX_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#f0e442")
_INK, _PAPER, _EMPTY = "#22303c", "#ffffff", "#eef1f3"
_FONT_SIZE = 12
_LINE = 18
_GAP = 8


@dataclass(frozen=True)
class PairExample:
    """A pair of boxes to show.

    Attributes:
        image: row of the image.
        parent: (4,) box x0 y0 x1 y1, in the table's units.
        child: (4,) box.
        caption: one line; cut where it is too long.
    """

    image: int
    parent: np.ndarray
    child: np.ndarray
    caption: str


def box_colour(level: int) -> str:
    """Colour of a box at a level, 1 (an object) or deeper."""
    return BOX_COLOURS[min(max(level, 1), len(BOX_COLOURS)) - 1]


def draw_boxes(image: Image.Image, boxes: np.ndarray, levels: Sequence[int], width: int = 1) -> None:
    """Outlines (n, 4) boxes in pixels on an image, in place, coloured by (n,) level."""
    pen = ImageDraw.Draw(image)
    for box, level in zip(boxes, levels, strict=True):
        pen.rectangle([float(side) for side in box], outline=box_colour(level), width=width)


def contact_sheet(
    hierarchy: Hierarchy, images: ImageReader, rows: int = 3, columns: int = 4, seed: int = 0, cell: int = 320
) -> Image.Image:
    """Images drawn at random, their boxes coloured by level and named, above a legend.

    Args:
        hierarchy: of the same table as `images`.
        images: reader of the images.
        rows: of images.
        columns: of images.
        seed: of the draw; images are shown in the order of the table.
        cell: side of an image's square in pixels.

    Raises:
        ValueError: rows, columns or cell are not positive.
    """
    if min(rows, columns, cell) < 1:
        raise ValueError(f"rows, columns and cell must be at least 1, got {rows}, {columns} and {cell}")
    count = min(rows * columns, len(images))
    chosen = np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False))
    boxes = np.flatnonzero(hierarchy.active() & (hierarchy.node_label >= 0))
    sheet = Sheet(count, columns, cell)
    for place, index in enumerate(chosen.tolist()):
        here = boxes[hierarchy.node_image[boxes] == index]
        # parents first, so that what lies inside stays in sight
        here = here[np.argsort(hierarchy.level[here], kind="stable")]
        level = hierarchy.level[here].tolist()
        names = [hierarchy.class_names[label] for label in hierarchy.node_label[here]]
        caption = f"{images.table.image_ids[index]}: {len(here)} box{'es' if len(here) != 1 else ''}"
        sheet.add(place, _shown(images, index, hierarchy.node_box[here], level, names, cell), caption)
    deepest = max(1, int(hierarchy.level.max(initial=1)))
    last = len(BOX_COLOURS)
    named = [level_name(level) if level < DEEPEST else f"level {level}" for level in range(1, last)]
    legend = list(zip(BOX_COLOURS, [*named, f"level {last} and deeper"], strict=True))
    return sheet.finished(legend[:deepest])


def pair_sheet(
    examples: Sequence[PairExample], images: ImageReader, columns: int = 4, cell: int = 320, margin: float = 0.15
) -> Image.Image:
    """One square for each example: what lies around the pair, the parent's box and the child's.

    Args:
        examples: at least one.
        images: reader of the images.
        columns: of squares.
        cell: side of a square in pixels.
        margin: share of the pair's own size shown around it.

    Raises:
        ValueError: there is no example.
    """
    if not examples:
        raise ValueError("examples is empty: there is no pair to show")
    sheet = Sheet(len(examples), min(columns, len(examples)), cell)
    for place, example in enumerate(examples):
        both = np.stack([example.parent, example.child])
        sheet.add(place, _shown(images, example.image, both, [1, 2], ["", ""], cell, margin), example.caption)
    return sheet.finished([(box_colour(1), "parent"), (box_colour(2), "child")])


def _shown(
    images: ImageReader,
    index: int,
    boxes: np.ndarray,
    levels: list[int],
    names: list[str],
    cell: int,
    margin: float | None = None,
) -> Image.Image:
    """The image, or with a margin what lies around its boxes, scaled to fit a square, with the boxes on it."""
    try:
        image = images[index]
    except BrokenImageError as error:
        picture = Image.new("RGB", (cell, cell), _EMPTY)
        ImageDraw.Draw(picture).text((_GAP, _GAP), error.reason, fill=_INK, font=_font())
        return picture
    scaled = boxes * images.pixel_scale(index)
    window = np.array([0.0, 0.0, *image.size])
    if margin is not None:
        low, high = scaled[:, :2].min(axis=0), scaled[:, 2:].max(axis=0)
        around = margin * (high - low)
        window = np.rint(np.concatenate([np.maximum(low - around, 0), np.minimum(high + around, image.size)]))
    left, top, right, bottom = window.tolist()
    factor = cell / max(right - left, bottom - top, 1)
    size = (max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor)))
    picture = image.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    placed = np.clip((scaled - [left, top, left, top]) * factor, 0, [size[0] - 1, size[1] - 1] * 2)
    draw_boxes(picture, placed, levels, width=2)
    pen = ImageDraw.Draw(picture)
    for (x0, y0, x1, y1), level, name in zip(placed.tolist(), levels, names, strict=True):
        width = pen.textlength(name, _font()) + 4
        # a name wider or taller than its box would stand on another
        if name and x1 - x0 >= width and y1 - y0 >= _FONT_SIZE + 4:
            pen.rectangle((x0, y0, x0 + width, y0 + _FONT_SIZE + 3), fill=box_colour(level))
            pen.text((x0 + 2, y0), name, fill=_INK if box_colour(level) == BOX_COLOURS[-1] else _PAPER, font=_font())
    return picture


class Sheet:
    """Squares in rows, a line of text under each and a legend at the foot."""

    def __init__(self, count: int, columns: int, cell: int) -> None:
        self.columns, self.cell = columns, cell
        self.height = cell + _LINE
        rows = -(-count // columns)
        size = (columns * (cell + _GAP) + _GAP, rows * (self.height + _GAP) + _GAP + _LINE)
        self.picture = Image.new("RGB", size, _PAPER)
        self.pen = ImageDraw.Draw(self.picture)

    def add(self, place: int, picture: Image.Image, caption: str) -> None:
        x = _GAP + place % self.columns * (self.cell + _GAP)
        y = _GAP + place // self.columns * (self.height + _GAP)
        self.pen.rectangle((x, y, x + self.cell - 1, y + self.cell - 1), fill=_EMPTY)
        self.picture.paste(picture, (x + (self.cell - picture.width) // 2, y + (self.cell - picture.height) // 2))
        while self.pen.textlength(caption, _font()) > self.cell:
            caption = caption[:-2].rstrip("…") + "…"
        self.pen.text((x, y + self.cell + 2), caption, fill=_INK, font=_font())

    def finished(self, legend: Sequence[tuple[str, str]]) -> Image.Image:
        x, y = _GAP, self.picture.height - _LINE - _GAP // 2
        for colour, name in legend:
            self.pen.rectangle((x, y + 3, x + 11, y + 14), outline=colour, width=3)
            self.pen.text((x + 18, y), name, fill=_INK, font=_font())
            x += 18 + int(self.pen.textlength(name, _font())) + 2 * _GAP
        return self.picture


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)
