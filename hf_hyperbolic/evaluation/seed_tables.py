"""Tables of systems over seeds: mean (smallest-largest), chance, ceiling and query-blind ranking below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_hyperbolic.evaluation.split_evaluation import Figures, Levels

# system -> the figures of each of its runs
Runs = Mapping[str, Sequence[Figures]]


@dataclass(frozen=True)
class Column:
    """A figure as a table shows it.

    Attributes:
        title: its heading.
        figure: `"<section>/<figure>"`.
        factor: 100 for shares in per cent.
        decimals: shown.
        lower: lower is better.
    """

    title: str
    figure: str
    factor: float = 100.0
    decimals: int = 1
    lower: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title} ↓" if self.lower else self.title

    def text(self, value: float | None) -> str:
        return "-" if value is None or np.isnan(value) else f"{self.factor * value:.{self.decimals}f}"

    def difference(self, value: float) -> str:
        """With its sign, and a digit more than a value has."""
        return f"{self.factor * value:+.{self.decimals + 1}f}"


@dataclass(frozen=True)
class Table:
    """A title, what stands below it, and columns."""

    title: str
    columns: tuple[Column, ...]
    about: str = ""


_TOP = tuple(Column(f"Top-{k}", f"child_to_parent/top_{k}") for k in (5, 10, 50, 100))
_ANY = Column("any parent Top-10", "child_to_any_parent/top_10")
_SHARES = (
    *(Column(f"Recall@{k} %", f"parent_to_child/recall@{k}%") for k in (50, 80)),
    *(Column(f"OT@{k} %", f"parent_to_child/ot@{k}%", 1, 2, lower=True) for k in (50, 80)),
)
_OWN = tuple(Column(f"own scene@{k}", f"own_scene/recall@{k}") for k in (1, 5))
_STRUCTURE = (
    Column("AUC random", "entailment/auc_random", 1, 3),
    Column("AUC boxes", "entailment/auc_random_boxes", 1, 3),
    Column("AUC reversed", "entailment/auc_reversed", 1, 3),
    Column("parent nearer", "radial/all"),
    Column("largest hub", "hubness/child_to_parent", lower=True),
)
TABLES = {
    "child_to_parent": Table(
        "Child to parent", (*_TOP, _ANY),
        "Query: a box. Gallery: the scenes; of any parent the scenes and all boxes that hold boxes. Share of the first "
        "k that hold the box's class; oracle: scenes of many classes first.",
    ),
    "parent_to_child": Table(
        "Parent to child", _SHARES,
        "Query: a scene. Gallery: the boxes, k a share of them. Right: boxes of a class that the scene holds; oracle: "
        "boxes of common classes first. The ceiling puts all that is right first, in no order: OT may fall below it.",
    ),
    "structure": Table(
        "Own scene, whole and part, hubs", (*_OWN, *_STRUCTURE),
        "A box's own scene among the scenes. AUC: parts of a whole against random pairs, of boxes alone, and against "
        "the same pairs reversed. Pairs whose parent lies nearer the origin. Largest share of boxes with one and the "
        "same scene among their first ten.",
    ),
    "precision_recall": Table(
        "Precision at recall, parent to child",
        tuple(Column(f"at {level}", f"precision_recall/{level}") for level in (0.1, 0.25, 0.5, 0.75, 0.9)),
        "Interpolated, in the mean over scenes.",
    ),
}  # fmt: skip
OUT_OF_DOMAIN = Table(
    "Out of domain", (_TOP[1], _ANY, *_SHARES[::2], _OWN[1], *_STRUCTURE),
    "The figures above, on a set whose classes the models have not seen in training.",
)  # fmt: skip
RANKED_BY = Table(
    "Ranked by other scores", (_TOP[1], _ANY, *_SHARES[::2], _OWN[1], _STRUCTURE[-1]),
    "The same models, both directions by another score: what a ranking makes of the embeddings.",
)  # fmt: skip
ZERO_SHOT = Table(
    "Boxes told by the nearest class prototype",
    tuple(Column(title, f"zero_shot/{name}") for title, name in (
        ("accuracy", "accuracy"), ("mean of classes", "class_accuracy"), ("mAP", "map"), ("mAP@.50", "map_50"))),
    "Prototypes are means of boxes of the training split; oracle: always its commonest class.",
)  # fmt: skip
COLUMNS = {column.figure: column for table in (*TABLES.values(), ZERO_SHOT) for column in table.columns}
SHOWN = tuple(column.figure for table in TABLES.values() for column in table.columns)


def rows(table: Table, runs: Runs) -> list[list[str]]:
    """Heading, systems, chance, ceiling, oracle: a list of cells each."""
    first = next(iter(runs.values()))[0]
    found = [["system (seeds)", *(column.heading for column in table.columns)]]
    for system, figures in runs.items():
        found.append([f"{system} ({len(figures)})", *(_over_seeds(column, figures) for column in table.columns)])
    levels = ["chance", "ceiling"]
    if any("oracle" in first[column.figure] for column in table.columns):
        levels.append("oracle")
    for level in levels:
        found.append([level, *(column.text(first[column.figure].get(level)) for column in table.columns)])
    return found


def _over_seeds(column: Column, runs: Sequence[Figures]) -> str:
    values = _values(column.figure, runs)
    if len(values) == 1 or np.isnan(values).any():
        return column.text(float(values.mean()))
    return f"{column.text(float(values.mean()))} ({column.text(values.min())}-{column.text(values.max())})"


def _values(figure: str, runs: Sequence[Figures]) -> np.ndarray:
    return np.array([run[figure]["value"] for run in runs], dtype=np.float64)  # undefined: NaN


def as_dict(table: Table, runs: Runs) -> dict[str, Any]:
    """JSON-ready: `title`; `figures`: figure -> `chance`, `ceiling`, `oracle`, and `systems` -> one value a seed."""
    first = next(iter(runs.values()))[0]

    def of(figure: str) -> dict[str, Any]:
        levels: Levels = {level: value for level, value in first[figure].items() if level != "value"}
        return {
            **levels,
            "systems": {system: [run[figure]["value"] for run in found] for system, found in runs.items()},
        }

    return {"title": table.title, "figures": {column.figure: of(column.figure) for column in table.columns}}


def spread_rows(figures: Sequence[str], systems: Sequence[str], runs: Runs) -> list[list[str]]:
    """How far the runs of a system lie apart: standard deviation, smallest and largest; of systems with two or more."""
    shown = [COLUMNS[figure] for figure in figures]
    found = [["system (seeds)", *(f"{column.title}: deviation (range)" for column in shown)]]
    for system in systems:
        if len(runs.get(system, ())) < 2:
            continue
        cells = []
        for column in shown:
            values = column.factor * _values(column.figure, runs[system])
            digits = column.decimals + 1
            cells.append(f"{values.std(ddof=1):.{digits}f} ({values.min():.{digits}f}-{values.max():.{digits}f})")
        found.append([f"{system} ({len(runs[system])})", *cells])
    return found


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table of pipes."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]])
