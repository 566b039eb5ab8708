"""Tables of systems and measures; oracles that see no image, chance and the best possible in the last rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from hf_hyperbolic.report.html import Markup, folded, join, row, table, tag, text
from hf_hyperbolic.report.numbers import MISSING, Entry, cell, figure_name, lookup, measure_name, number, oracle_name

Results = Mapping[str, Mapping[str, Any]]
Measures = Mapping[str, Mapping[str, str]]

# section -> (title, direction whose measure ranks, what is counted)
RETRIEVAL = {
    "parent_to_child": (
        "Scene → boxes",
        "children",
        "Query: a full scene. Gallery: all boxes. Right: boxes whose class occurs in the scene. OT: how far the "
        "classes retrieved are from those wanted (1-D Wasserstein distance; lower is better). Common classes first: "
        "the same order for every scene, boxes of the classes that most training images hold before others.",
    ),
    "child_to_parent": (
        "Box → scenes",
        "parents",
        "Query: a box. Gallery: all full scenes. Top-k: share of the first k that holds the query's class, first "
        "with the query's own image among the gallery, then without it. Scenes of many classes first: the "
        "same order for every box.",
    ),
    "child_to_any_parent": (
        "Box → anything that holds boxes",
        "parents",
        "As above; the gallery is every scene and every box that holds other boxes.",
    ),
    "own_scene": (
        "Box → its own scene",
        "parents",
        "How often a box's own scene is ranked first, or among the first five, of all scenes; and its median rank "
        "(lower is better).",
    ),
}


# what the first table of a section shows; all figures stand behind "every figure and measure"
_FIRST_FIGURES = {
    "parent_to_child": (
        "recall@10%", "recall@50%", "recall@80%", "ot@10%", "ot@50%", "precision@10", "average_precision",
    ),
    "child_to_parent": (
        "top_5", "top_10", "top_50", "top_5_other_images", "top_10_other_images", "top_50_other_images",
    ),
}  # fmt: skip
_VARIANTS = ("child_to_any_parent",)


def retrieval_tables(results: Results, measures: Measures) -> Markup:
    """Each retrieval protocol: every system under its own measure, then, folded away, under every measure."""
    parts: list[Markup] = []
    for section, (title, direction, about) in RETRIEVAL.items():
        figures = _figures(results, section)
        if not figures:
            continue
        first = [name for name in _FIRST_FIGURES.get(section, ()) if name in figures] or figures
        chosen = [(system, measures[system][direction]) for system in results]
        every = [(system, measure) for system in results for measure in results[system].get(section, {})]
        note = tag("p", about, class_="note")
        in_full = protocol_table(results, section, figures, every)
        if section in _VARIANTS:
            parts.append(folded(f"Variant: {title}", note, in_full))
            continue
        short = protocol_table(results, section, first, chosen)
        parts += [tag("h3", title), note, short, folded("Every figure, every measure", in_full)]
    return join(parts)


def entailment_table(results: Results, measures: Measures) -> Markup:
    """Entailment AUC of every system, the oracles that see no image below."""
    figures = _figures(results, "entailment")
    if not figures:
        return Markup("")
    chosen = [(system, measures[system]["pairs"]) for system in results]
    every = [(system, measure) for system in results for measure in results[system].get("entailment", {})]
    heads = [
        Markup(text(figure_name(f)) + tag("small", "boxes only" if f.endswith("_boxes") else "with scenes"))
        for f in figures
    ]

    def build(pairs: Sequence[tuple[str, str]]) -> Markup:
        rows = _system_rows(results, "entailment", figures, pairs) + _oracle_rows(results, "entailment", figures)
        rows += _levels(results, "entailment", figures, ("chance",))
        return table(["AUC against", *heads], rows)

    return join([build(chosen), folded("Every measure", build(every))])


def geometry_table(results: Results, measures: Measures) -> Markup:
    """Radial order, hubs and the cone, one row a system."""
    hubs = "hubness"
    columns = {
        "Parent nearer the origin": ("radial", "all"),
        "… boxes only": ("radial", "boxes"),
        "Busiest box, scene → boxes": (hubs, "parent_to_child", "{children}", "largest_share"),
        "Busiest scene, box → scenes": (hubs, "child_to_parent", "{parents}", "largest_share"),
    }
    rows: list[Markup] = []
    chance: list[str] = []
    for index, system in enumerate(results):
        paths = [[step.format(**measures[system]) for step in path] for path in columns.values()]
        entries = [lookup(results[system], *path) for path in paths]
        cosine = lookup(results[system], "cone", "mean_cosine")
        cells = [
            *(cell(entry, "share") for entry in entries),
            f"{cosine:.2f}" if isinstance(cosine, float) else MISSING,
        ]
        rows.append(row(system, cells, "main" if index == 0 else None))
        chance = chance or [number((entry or {}).get("chance"), "share") for entry in entries]
    return table(["System", *columns, "Mean cosine"], [*rows, _aside("chance", [*chance, ""])])


def comparison_table(comparisons: Mapping[str, Mapping[str, Entry]]) -> Markup:
    """Paired differences of the main system and others.

    Args:
        comparisons: other system -> figure in words -> `paired_difference`, main system minus the other, of shares.
    """
    names = list(dict.fromkeys(name for figures in comparisons.values() for name in figures))
    rows = []
    for system, figures in comparisons.items():
        cells: list[object] = []
        for name in names:
            entry = figures.get(name)
            if entry is None:
                cells.append(MISSING)
                continue
            verdict = "apart from 0" if entry["excludes_zero"] else "not told from 0"
            span = f"{_points(entry['low'])} to {_points(entry['high'])}"
            cells.append(Markup(text(_points(entry["value"])) + tag("small", span) + tag("small", verdict)))
        rows.append(row(f"minus {system}", cells))
    return table(["Main system, percentage points", *names], rows)


def settings_table(settings: Mapping[str, Any]) -> Markup:
    """Every setting as it was, one a row."""
    return table([], [row(key, [_plain(value)]) for key, value in settings.items()], class_="settings")


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _figures(results: Results, section: str) -> list[str]:
    """Names of a section's figures, in the order met."""
    return list(dict.fromkeys(f for r in results.values() for figures in r.get(section, {}).values() for f in figures))


def protocol_table(results: Results, section: str, figures: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Markup:
    """Figures of a section for (system, measure) pairs; oracles, chance and the best possible below."""
    rows = _system_rows(results, section, figures, pairs) + _oracle_rows(results, section, figures)
    rows += _levels(results, section, figures, ("chance", "ceiling"))
    heads = [
        Markup(text(figure_name(f)) + (tag("small", "other images") if f.endswith("_other_images") else ""))
        for f in figures
    ]
    return table(["System", *heads], rows)


def _system_rows(
    results: Results, section: str, figures: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> list[Markup]:
    main = next(iter(results))
    rows = []
    for system, measure in pairs:
        entries = lookup(results[system], section, measure)
        if entries is None:
            continue
        label = Markup(text(system) + tag("small", measure_name(measure)))
        rows.append(row(label, [cell(entries.get(f), f) for f in figures], "main" if system == main else None))
    return rows


def _oracle_rows(results: Results, section: str, figures: Sequence[str]) -> list[Markup]:
    """Rows of the section's oracles, which are the same for every system and measure."""
    first = next((entry for entry in results.values() if entry.get(section)), {})
    any_measure: Entry = next(iter(first.get(section, {}).values()), {})
    beside = [any_measure.get(f, {}).get("oracles") or {} for f in figures]
    rows = []
    for oracle in dict.fromkeys(name for oracles in beside for name in oracles):
        label = Markup(text(oracle_name(oracle).capitalize()) + tag("small", "sees no image"))
        rows.append(_aside(label, [number(o.get(oracle), f) for o, f in zip(beside, figures, strict=True)]))
    return rows


def _levels(results: Results, section: str, figures: Sequence[str], fields: Sequence[str]) -> list[Markup]:
    """Rows of chance and of the best possible, which are the same for every system and measure."""
    names = {"chance": "chance", "ceiling": "best possible"}
    known: dict[str, Entry] = {}
    for result in results.values():
        for entries in result.get(section, {}).values():
            known = {**entries, **known}
    return [_aside(names[field], [number((known.get(f) or {}).get(field), f) for f in figures]) for field in fields]


def _aside(label: object, cells: Sequence[object]) -> Markup:
    return row(label, cells, "aside")


def _points(share: float) -> str:
    """A difference of shares in percentage points, signed."""
    return f"{100 * share:+.1f}".replace("-", "−")
