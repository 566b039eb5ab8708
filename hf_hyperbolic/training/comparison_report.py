"""What a comparison prints and writes: tables over seeds, verdicts on claims, and the drawn precision-recall curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_hyperbolic.data.files import write_text, written_aside
from hf_hyperbolic.evaluation.bootstrap import bootstrap_interval
from hf_hyperbolic.evaluation.seed_tables import (
    OUT_OF_DOMAIN,
    RANKED_BY,
    TABLES,
    ZERO_SHOT,
    Table,
    as_dict,
    as_markdown,
    as_text,
    rows,
    spread_rows,
)
from hf_hyperbolic.evaluation.split_evaluation import BOX_IMAGE, BOX_SECTIONS, RECALL_LEVELS
from hf_hyperbolic.evaluation.verdict_text import verdicts_markdown, verdicts_text
from hf_hyperbolic.evaluation.verdicts import Claim, Test, Verdict, judge
from hf_hyperbolic.report.figures import Curve, numbers, precision_recall
from hf_hyperbolic.report.style import SYSTEM_COLOURS, to_svg
from hf_hyperbolic.training.compared_systems import CURVES, OBJECT_IS_ROOT
from hf_hyperbolic.training.kept_figures import Kept
from hf_hyperbolic.training.paper_claims import (
    LOWER_IS_BETTER,
    OWN_SCENE,
    PAPER_CLAIMS,
    RECALL,
    SPREAD_FIGURES,
    SPREAD_SYSTEMS,
    TOP,
    TRANSPORT,
    goals,
)
from hf_hyperbolic.training.systems import UNTRAINED
from hf_hyperbolic.training.variants import difference_rows, settings_rows, variant_claims

# system -> what was found of each of its runs
Found = Mapping[str, Sequence[Kept]]
_HOW = (
    "Mean over seeds (smallest-largest). Shares in per cent, AUC in [0, 1]; lower is better where ↓ stands. The oracle "
    "is a ranking that knows the gallery's labels and no query."
)
_ABOUT_VERDICTS = (
    "A claim holds, or does not, where the 95 % interval of the difference excludes zero: a bootstrap over scenes or "
    "whole images, widened by how far the runs of a system lie apart (Student's t). Each interval stands for itself."
)
# what a ranking can change
RANKED = (RECALL, TRANSPORT, TOP, "child_to_any_parent/top_10", OWN_SCENE)
_ABOUT_DIFFERENCES = (
    "Each less the first, with a 95 % interval over scenes or whole images and runs; a star where it excludes "
    "zero. For OT less is better."
)


@dataclass(frozen=True)
class Comparison:
    """What was found of all systems on a split; parts that were not asked for are empty.

    Attributes:
        split: its name.
        found: retrieval figures, of the untrained start and the systems.
        out_of_domain: the same on another set.
        other: that set's name.
        zero_shot: zero-shot figures of the split, or of the other set.
        variants: of a study, the settings of each variant, the one that the others are held against first.
        ranked: of one system, what it reaches ranked by its own measures, first, and by others.
    """

    split: str
    found: Found
    out_of_domain: Found = field(default_factory=dict)
    other: str = ""
    zero_shot: Mapping[str, Found] = field(default_factory=dict)
    variants: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranked: Found = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in (self.found, self.out_of_domain, *self.zero_shot.values(), self.ranked):
            check_same_queries(part)

    def tables(self) -> list[tuple[str, Table, Found]]:
        """Key, table and what fills it, in reading order."""
        shown = [(key, table, self.found) for key, table in TABLES.items()]
        if self.out_of_domain:
            shown.append(("out_of_domain", OUT_OF_DOMAIN, self.out_of_domain))
        if self.ranked:
            shown.append(("ranked_by", RANKED_BY, self.ranked))
        return [*shown, *((f"zero_shot {name}", ZERO_SHOT, found) for name, found in self.zero_shot.items())]

    def verdicts(self) -> list[Verdict]:
        """On every claim of the paper, and on what this library sets out to reach; of a study, on every variant."""
        systems = [system for system in self.found if system != UNTRAINED]
        return _judged(variant_claims(systems) if self.variants else (*PAPER_CLAIMS, *goals(systems)), self.found)

    def ranking_verdicts(self) -> list[Verdict]:
        """On every other score, whether it ranks better than the system's own measures."""
        if not self.ranked:
            return []
        own, *others = self.ranked
        units = _units(self.ranked)
        # of the same models: what another score changes is a figure of each, and its runs differ in little else
        changes = {other: {figure: units[other][figure] - units[own][figure] for figure in RANKED} for other in others}
        claims = [
            Claim(
                f"Ranked by {other} the models do better than by their own measures.",
                "study",
                tuple(Test(figure, other, 0.0, figure in LOWER_IS_BETTER) for figure in RANKED),
            )
            for other in others
        ]
        return judge(claims, changes, _images(self.ranked), {})


def _judged(claims: Sequence[Claim], found: Found) -> list[Verdict]:
    first = next(iter(found.values()))[0]
    ceilings = {name: figure["ceiling"] for name, figure in first.figures.items()}
    return judge(claims, _units(found), _images(found), ceilings)


def _units(found: Found) -> dict[str, dict[str, np.ndarray]]:
    return {
        system: {name: np.stack([run.units[name] for run in runs]) for name in runs[0].units}
        for system, runs in found.items()
    }


def _images(found: Found) -> dict[str, np.ndarray]:
    return dict.fromkeys(BOX_SECTIONS, next(iter(found.values()))[0].units[BOX_IMAGE])


def check_same_queries(found: Found) -> None:
    """
    Raises:
        ValueError: two runs were evaluated on splits that differ.
    """
    prints = {
        f"{system}, run {number}": run.about.get("fingerprint")
        for system, runs in found.items()
        for number, run in enumerate(runs, 1)
    }
    if len(set(prints.values())) > 1:
        (first, one), *others = prints.items()
        other = next(name for name, entry in others if entry != one)
        raise ValueError(
            f"{first} and {other} were evaluated on different boxes: the data changed in between. Delete the files "
            "figures-*.json in their folders, and they are evaluated again"
        )


def _notes(table: Table, found: Found) -> list[str]:
    """What is to be said of a table: clamped cut-offs, gaps, and systems whose hierarchy is the other way round."""
    first = next(iter(found.values()))[0]
    shown = {column.figure: column.title for column in table.columns}
    notes = [
        f"the gallery holds {size} scenes: {shown[figure]} means Top-{size}"
        for figure, size in first.about.get("clamped", {}).items()
        if figure in shown
    ]
    having: dict[str, list[str]] = {}
    for system, runs in found.items():
        for note in runs[0].about.get("notes", []):
            having.setdefault(note, []).append(system)
    notes += [note if len(of) == len(found) else f"{note} ({', '.join(of)})" for note, of in having.items()]
    reversed_ones = [system for system in OBJECT_IS_ROOT if system in found]
    if "radial/all" in shown and reversed_ones:
        notes.append(f"{' and '.join(reversed_ones)}: the object is the root, so its place is nearer the origin")
    return notes


def as_documents(comparison: Comparison, seeds: Sequence[int]) -> tuple[str, str, dict[str, Any]]:
    """The comparison as plain text, as Markdown, and JSON-ready."""
    text, marked, tables = [_HOW], [f"# Comparison, {comparison.split}\n\n{_HOW}"], {}
    for key, table, found in comparison.tables():
        figures = {system: [run.figures for run in runs] for system, runs in found.items()}
        where = comparison.other if key == "out_of_domain" else key.partition(" ")[2] or comparison.split
        title, cells, notes = f"{table.title} ({where})", rows(table, figures), _notes(table, found)
        notes = [f"note: {note}" for note in notes]
        text.append("\n".join([title, table.about, as_text(cells), *notes]))
        marked.append("\n\n".join([f"## {title}", table.about, as_markdown(cells), *notes]))
        tables[key] = {**as_dict(table, figures), "on": where, "notes": notes}
    figures = {system: [run.figures for run in runs] for system, runs in comparison.found.items()}
    cells = spread_rows(SPREAD_FIGURES, SPREAD_SYSTEMS, figures)
    if len(cells) > 1:
        title = "Spread over seeds: both directions of the loss, and one"
        text.append(f"{title}\n{as_text(cells)}")
        marked.append(f"## {title}\n\n{as_markdown(cells)}")
    verdicts = comparison.verdicts()
    more = []
    rankings = comparison.ranking_verdicts()
    if rankings:
        more.append(("Differences of other scores", _ABOUT_DIFFERENCES, difference_rows(rankings, "score")))
    if comparison.variants:
        about = "What a variant has beside the settings of all."
        more.append(("Settings", about, settings_rows(comparison.variants)))
        if verdicts:  # none of a single variant
            more.append(("Differences", _ABOUT_DIFFERENCES, difference_rows(verdicts)))
    for title, about, cells in more:
        text.append(f"{title}\n{about}\n{as_text(cells)}")
        marked.append(f"## {title}\n\n{about}\n\n{as_markdown(cells)}")
    if not comparison.variants:
        text.append(f"Claims\n{_ABOUT_VERDICTS}\n\n{verdicts_text(verdicts)}")
        marked.append(f"## Claims\n\n{_ABOUT_VERDICTS}\n\n{verdicts_markdown(verdicts)}")
    document = {
        "split": comparison.split,
        "seeds": list(seeds),
        "tables": tables,
        "claims": [verdict.as_dict() for verdict in verdicts],
        "rankings": [verdict.as_dict() for verdict in rankings],
    }
    return "\n\n".join(text) + "\n", "\n\n".join(marked) + "\n", document


def write_comparison(comparison: Comparison, seeds: Sequence[int], output: Path) -> str:
    """Writes `comparison-SPLIT.txt`, `.md` and `.json`, and `precision-recall-SPLIT.svg`; gives the text."""
    text, marked, document = as_documents(comparison, seeds)
    stem = f"comparison-{comparison.split}"
    write_text(output / f"{stem}.txt", text)
    write_text(output / f"{stem}.md", marked)
    write_text(output / f"{stem}.json", json.dumps(document, indent=1) + "\n")
    draw_curves(comparison.found, output / f"precision-recall-{comparison.split}.svg")
    return text


def draw_curves(found: Found, path: Path) -> None:
    """Precision against recall: over seeds the mean and range, of one run its 95 % interval.

    Args:
        found: all are drawn, the untrained start last; of more than can be told apart, those of `CURVES`.
        path: of the SVG.
    """
    if len(found) > len(SYSTEM_COLOURS):
        found = {system: found[system] for system in (*CURVES, UNTRAINED) if system in found}
    names = [f"precision_recall/{level}" for level in RECALL_LEVELS]
    drawn = {}
    for system, runs in sorted(found.items(), key=lambda entry: entry[0] == UNTRAINED):
        values = np.array([numbers([run.figures[name]["value"] for name in names]) for run in runs])
        low, high = values.min(0), values.max(0)
        if len(runs) == 1:
            low, high = bootstrap_interval(np.stack([runs[0].units[name] for name in names], axis=1))
        drawn[system] = Curve(RECALL_LEVELS, *(line.tolist() for line in (values.mean(0), low, high)))
    first = next(iter(found.values()))[0].figures
    levels = [(RECALL_LEVELS, numbers([first[name][level] for name in names])) for level in ("chance", "ceiling")]
    with written_aside(path) as aside:
        aside.write_bytes(to_svg(precision_recall(drawn, *levels)))
