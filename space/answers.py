"""What the demo answers: for a picture and a box, by the hierarchy, by plain similarity, and on the way to the origin.

Nothing here knows of a web page.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from PIL import Image

from hf_hyperbolic.data.images import BrokenImageError, decode
from hf_hyperbolic.data.levels import level_name
from hf_hyperbolic.retrieval import Index
from hf_hyperbolic.retrieval.index_results import Results

Box = tuple[float, float, float, float]
DIRECTIONS = ("parents", "children")
MOST_RESULTS = 50
_SAME_BOX = 0.01
_SMALLEST_SIDE = 2.0
# classes that a whole image is called by
_NAMED = 2
# images that examples are sought in
_LOOKED_AT = 60


class QuestionError(ValueError):
    """A question that cannot be answered; its text is for the person who asked."""


@dataclass(frozen=True)
class Known:
    """An item of the index that lies in a picture: its row, its box (None for all of the picture), and what it is."""

    row: int
    box: Box | None
    name: str
    level: int


@dataclass(frozen=True)
class Subject:
    """A picture that can be asked about.

    Attributes:
        image: RGB, as shown.
        known: what the index holds of it; empty for an upload.
        title: what it is called on the page.
    """

    image: Image.Image
    known: tuple[Known, ...]
    title: str

    def row(self, box: Box | None) -> int | None:
        """The row that a box of it (None for all of it) is in the index."""
        for item in self.known:
            same = box == item.box if box is None or item.box is None else np.allclose(box, item.box, atol=_SAME_BOX)
            if same:
                return item.row
        return None


@dataclass(frozen=True)
class Answer:
    """What was found.

    Attributes:
        embedding: (D,) of what was asked about.
        row: of it in the index, None where it is not in there.
        hierarchy: by the model's own measure for the direction, among what can be a whole or a part.
        similarity: by cosine; among all items, or among the same ones.
        path: on the way to the origin; None where the model's space is not hyperbolic.
    """

    embedding: np.ndarray
    row: int | None
    direction: str
    hierarchy: Results
    similarity: Results
    path: Results | None


class Answers:
    """
    Args:
        index: what is searched.
        images: folder that the index's image names are relative to, where they are not absolute.
    """

    def __init__(self, index: Index, images: Path | None = None) -> None:
        self.index, self.images = index, images

    def of_row(self, row: int) -> tuple[Subject, Box | None]:
        """The picture that an item of the index lies in, and its box there; its thumbnail where that is all there is.

        Raises:
            QuestionError: there is no such row.
        """
        if not 0 <= row < len(self.index):
            raise QuestionError(f"There is no item {row}: rows go from 0 to {len(self.index) - 1}.")
        item = self.index.items([row])[0]
        box = tuple(item["box"]) if item["box"] else None
        picture = self._picture(item["image"])
        if picture is not None:
            return Subject(picture, self._known(item["image"]), item["id"]), box
        small = item["thumbnail"]
        picture = decode(item["id"], small) if small else Image.new("RGB", (96, 96), "#d5dde1")
        return Subject(picture, (Known(row, None, name_of(item), item["level"]),), item["id"]), None

    def ask(
        self, subject: Subject, box: Sequence[float] | None, direction: str, k: int = 8, same_candidates: bool = False
    ) -> Answer:
        """Searches.

        Args:
            subject: the picture.
            box: x0 y0 x1 y1 in its pixels; None for all of it.
            direction: "parents" (what is this part of?) or "children" (what is in this?).
            k: results of each kind, from 1 to `MOST_RESULTS`.
            same_candidates: whether plain similarity searches the same items as the hierarchy, or all.

        Raises:
            QuestionError: a box outside the picture, an unknown direction, or k out of range.
        """
        if direction not in DIRECTIONS:
            raise QuestionError(f"Unknown direction {direction!r}: choose parents or children.")
        if not 1 <= k <= MOST_RESULTS:
            raise QuestionError(f"k must be from 1 to {MOST_RESULTS}, got {k}.")
        asked = checked_box(box, subject.image.size)
        row = subject.row(asked)
        if row is not None:
            embedding = self.index.embeddings([row])[0]
        else:
            embedding = self.index.encoder.encode([subject.image], [asked])[0]
        query = embedding if row is None else row
        search = self.index.parents if direction == "parents" else self.index.children
        if same_candidates:
            similar = search(query, k, measure="cosine")
        else:
            found = self.index.search(embedding[None], k + 1, "cosine", direction)[0]
            kept = [item for item in found if item.row != row][:k]
            similar = Results(kept, "cosine", direction, found.candidates - (row is not None))
        path = self.index.path(query) if self.index.curvature is not None else None
        return Answer(embedding, row, direction, search(query, k), similar, path)

    def thumbnails(self, rows: Sequence[int]) -> list[bytes | None]:
        """JPEG files of items, None where the index keeps none."""
        return [item["thumbnail"] for item in self.index.items(rows)]

    def names(self, rows: Sequence[int]) -> list[str]:
        """What items are called: their class, and a whole image by the largest things in it."""
        named = []
        for item in self.index.items(rows):
            things: list[Known] = []
            if item["label"] is None and item["box"] is None and item["image"] is not None:
                things = [known for known in self._known(item["image"]) if known.level == 1]
            things.sort(key=lambda known: -_area(known.box))
            classes = list(dict.fromkeys(known.name for known in things))
            named.append(", ".join(classes[:_NAMED]) or name_of(item))
        return named

    def examples(self, most: int = 8) -> list[tuple[int, str]]:
        """Rows and directions that show something: in turn a part, a thing with parts, and a whole picture.

        Parts are the largest of their picture at level 2 or below, no class twice; pictures are taken from all over
        the index.
        """
        columns = {}
        for name in ("image", "label", "level", "box", "can_be_parent"):
            columns[name] = [value for table in self.index.tables() for value in table[name].to_pylist()]
        of_image: dict[str, list[int]] = {}
        for row, image in enumerate(columns["image"]):
            of_image.setdefault(image or str(row), []).append(row)
        levels, parents, boxes = columns["level"], columns["can_be_parent"], columns["box"]
        images = list(of_image)
        kinds = (
            (lambda row: levels[row] >= 2 and not parents[row], "parents"),
            (lambda row: boxes[row] is not None and levels[row] == 1 and parents[row], "children"),
            (lambda row: levels[row] >= 2 and not parents[row], "parents"),
            (lambda row: boxes[row] is None, "children"),
        )
        found: list[tuple[int, str]] = []
        seen: set[str] = set()
        for image in dict.fromkeys(images[place * len(images) // _LOOKED_AT] for place in range(_LOOKED_AT)):
            if len(found) == most:
                break
            fits, direction = kinds[len(found) % len(kinds)]
            rows = [row for row in of_image[image] if fits(row) and columns["label"][row] not in seen]
            if not rows:
                continue
            row = max(rows, key=lambda row: _shorter(boxes[row]))
            if columns["label"][row] is not None:
                seen.add(columns["label"][row])
            found.append((row, direction))
        return found or [(rows[0], "children") for rows in list(of_image.values())[:most]]

    def _known(self, image: str) -> tuple[Known, ...]:
        known = []
        for first, table in zip(self.index.first.tolist(), self.index.tables(), strict=False):
            places = np.flatnonzero(pc.equal(table["image"], image).fill_null(False).to_numpy()).tolist()
            rows = [first + place for place in places]
            for row, item in zip(rows, self.index.items(rows), strict=True):
                box = tuple(item["box"]) if item["box"] else None
                known.append(Known(row, box, name_of(item), item["level"]))
        return tuple(known)

    def _picture(self, name: str | None) -> Image.Image | None:
        if name is None:
            return None
        file = Path(name) if Path(name).is_absolute() or self.images is None else self.images / name
        try:
            return decode(str(file))
        except BrokenImageError:  # an index may travel without its images
            return None


def _shorter(box: Sequence[float] | None) -> float:
    return math.inf if box is None else min(box[2] - box[0], box[3] - box[1])


def _area(box: Sequence[float] | None) -> float:
    return math.inf if box is None else (box[2] - box[0]) * (box[3] - box[1])


def name_of(item: Mapping[str, Any]) -> str:
    """What an item of the index is called, as `Found.name`."""
    return item["label"] or ("whole image" if item["box"] is None else level_name(item["level"]))


def parse_box(text: str | None) -> Box | None:
    """`"20, 60, 90, 150"` -> box; None for an empty text, which stands for the whole picture.

    Raises:
        QuestionError: it is not four finite numbers with x0 < x1 and y0 < y1.
    """
    if text is None or not text.strip():
        return None
    try:
        sides = [float(side) for side in text.replace(",", " ").split()]
    except ValueError:
        sides = []
    if len(sides) != 4 or not np.isfinite(sides).all() or not (sides[0] < sides[2] and sides[1] < sides[3]):
        raise QuestionError("A box is x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1, such as 20, 60, 90, 150.")
    return sides[0], sides[1], sides[2], sides[3]


def checked_box(box: Sequence[float] | None, size: tuple[int, int]) -> Box | None:
    """A box cut at the borders of a picture of (width, height) pixels.

    Raises:
        QuestionError: less than 2 pixels a side of it lie in the picture.
    """
    if box is None:
        return None
    width, height = size
    x0, y0, x1, y1 = (float(side) for side in box)
    cut = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if cut[2] - cut[0] < min(_SMALLEST_SIDE, width) or cut[3] - cut[1] < min(_SMALLEST_SIDE, height):
        raise QuestionError(f"The box lies outside the picture or is too small: it has {width} x {height} pixels.")
    return cut


def plain(results: Results) -> dict[str, Any]:
    """Results in plain values; of images only the file names, not where they lie on this machine."""
    content = results.as_dict()
    for item in content["results"]:
        item["image"] = item["image"] and Path(item["image"]).name
    return content
