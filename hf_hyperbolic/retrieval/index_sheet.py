"""A picture of a query and of what an index found for it."""

import textwrap
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hf_hyperbolic.data.draw import BOX_COLOURS, Sheet
from hf_hyperbolic.data.images import BrokenImageError, decode
from hf_hyperbolic.retrieval.encoders import Box
from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.index_results import Found, Results

_QUERY, _RESULT = BOX_COLOURS[0], BOX_COLOURS[1]
_MISSING = "#eef1f3"
_COLUMNS = 5


def result_sheet(
    index: Index, image: Image.Image | str, box: Box | None, results: Results, columns: int = _COLUMNS, cell: int = 240
) -> Image.Image:
    """The query first, then each result in its image, its box outlined; below each its score and what it is.

    Where an image is no longer there, the index's thumbnail of the item is shown.

    Args:
        index: the results are from.
        image: of the query, as shown; or a phrase, which is written in its place.
        box: of the query in its pixels.
        results: to show.
        columns: of the sheet.
        cell: side of a square in pixels.
    """
    asked = {"children": "what is inside this?", "parents": "what is this a part of?", "path": "on the way from here"}
    sheet = Sheet(1 + len(results), min(columns, 1 + len(results)), cell)
    shown = _written(image, cell) if isinstance(image, str) else _outlined(image, box, _QUERY, cell)
    sheet.add(0, shown, asked[results.direction])
    for place, (found, item) in enumerate(zip(results, index.items([found.row for found in results]), strict=True), 1):
        picture = _picture(found, item["thumbnail"], cell)
        first = f"{place}" if found.at is None else f"{found.at:.0%}"
        sheet.add(place, picture, f"{first}: {found.name}, {results.measure} {found.score:.2f}, {found.id}")
    return sheet.finished([(_QUERY, "query"), (_RESULT, "result")])


def _written(phrase: str, cell: int) -> Image.Image:
    picture = Image.new("RGB", (cell, cell), _MISSING)
    lines = textwrap.fill(phrase, max(8, cell // 16))
    ImageDraw.Draw(picture).multiline_text(
        (cell / 2, cell / 2), lines, fill=_QUERY, anchor="mm", align="center", font=ImageFont.load_default(cell / 12)
    )
    return picture


def _picture(found: Found, thumbnail: bytes | None, cell: int) -> Image.Image:
    try:
        return _outlined(decode(found.image or ""), found.box, _RESULT, cell)
    except BrokenImageError as error:
        if thumbnail:
            return _outlined(Image.open(BytesIO(thumbnail), formats=["JPEG"]), None, _RESULT, cell)
        picture = Image.new("RGB", (cell, cell), _MISSING)
        ImageDraw.Draw(picture).text((8, 8), error.reason, fill="black")
        return picture


def _outlined(image: Image.Image, box: Sequence[float] | np.ndarray | None, colour: str, cell: int) -> Image.Image:
    factor = cell / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    picture = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    if box is not None:
        placed = np.clip(np.asarray(box, dtype=float) * factor, 0, [size[0] - 1, size[1] - 1] * 2)
        ImageDraw.Draw(picture).rectangle(placed.tolist(), outline=colour, width=3)
    return picture
