"""What a search in an index finds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

from hf_hyperbolic.data.levels import level_name


@dataclass(frozen=True)
class Found:
    """An item of an index, and how well it answers.

    Attributes:
        score: by the measure of the `Results`, larger is better.
        row: in the index.
        id: of the item.
        label: class, None for whole images and where none is known.
        image: path of the image, or by what its data set calls it.
        box: x0 y0 x1 y1 in pixels of the image as shown, None for the whole image.
        level: 0 for a scene, 1 for an object, 2 for a part, ...
        split: of the data set it comes from.
        parent: row of the smallest item that directly contains it, None where none is known.
        at: of `Index.path`, where on the way it was met: 0 at the query, 1 at the origin; else None.
    """

    score: float
    row: int
    id: str
    label: str | None
    image: str | None
    box: tuple[float, float, float, float] | None
    level: int
    split: str | None
    parent: int | None
    at: float | None = None

    @property
    def name(self) -> str:
        """What it is called: its class, or what it is by its level."""
        return self.label or ("whole image" if self.box is None else level_name(self.level))


class Results(Sequence[Found]):
    """Items, best first (those of `Index.path` in the order they are met); prints as a table.

    Attributes:
        measure: what the scores are, see `hf_hyperbolic.retrieval.scores`.
        direction: `"children"`, `"parents"` or `"path"`.
        candidates: how many items competed.
    """

    def __init__(self, found: Sequence[Found], measure: str, direction: str, candidates: int) -> None:
        self._found, self.measure, self.direction, self.candidates = list(found), measure, direction, candidates

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Found]:
        return iter(self._found)

    @overload
    def __getitem__(self, place: int) -> Found: ...
    @overload
    def __getitem__(self, place: slice) -> "Results": ...
    def __getitem__(self, place: int | slice) -> "Found | Results":
        if isinstance(place, slice):
            return Results(self._found[place], self.measure, self.direction, self.candidates)
        return self._found[place]

    def as_dict(self) -> dict[str, Any]:
        """In plain values, for JSON."""
        found = [asdict(item) for item in self]
        return {
            "direction": self.direction,
            "measure": self.measure,
            "candidates": self.candidates,
            "results": found,
        }

    def __repr__(self) -> str:
        if not self._found:
            return f"no item competes as {self.direction}"
        head = ["", self.measure, "what", "level", "box", "id", "image"]
        rows = [head]
        for place, item in enumerate(self, 1):
            first = f"{place}" if item.at is None else f"{item.at:.2f}"
            box = " ".join(f"{side:.0f}" for side in item.box) if item.box else "-"
            rows.append(
                [first, f"{item.score:.3f}", item.name, level_name(item.level), box, item.id, item.image or "-"]
            )
        width = [max(len(row[column]) for row in rows) for column in range(len(head))]
        # numbers to the right
        lines = (
            "  ".join(
                cell.rjust(width[column]) if column < 2 else cell.ljust(width[column])
                for column, cell in enumerate(row)
            ).rstrip()
            for row in rows
        )
        return "\n".join(lines)
