"""Headline cards: a value, how sure it is, and a rule on which chance, the best possible and the baselines stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_hyperbolic.report.html import Markup, join, tag
from hf_hyperbolic.report.numbers import Entry, interval, lookup, number, oracle_name
from hf_hyperbolic.report.style import LEVEL_COLOURS, MUTED, SYSTEM_COLOURS

Directions = Mapping[str, str]


@dataclass(frozen=True)
class Headline:
    """What a card shows.

    Attributes:
        title: the figure in plain words.
        about: one sentence on what is counted.
        figure: name of the figure, which says how it is written.
        path: (system's measures) -> path in a results dict, `{children}`, `{parents}` and `{pairs}` standing for
            measures.
        oracles: whether the figure's image-free oracles are listed.
    """

    title: str
    about: str
    figure: str
    path: tuple[str, ...]
    oracles: bool = False


HEADLINES: tuple[Headline, ...] = (
    Headline(
        "Scene → what is in it",
        "Of the boxes whose class occurs in a scene, the share found in the first half of the ranking (Recall@50 %).",
        "recall@50%",
        ("parent_to_child", "{children}", "recall@50%"),
        oracles=True,
    ),
    Headline(
        "Box → scenes that hold it",
        "Of the ten scenes ranked first for a box, the share that holds its class (Top-10).",
        "top_10",
        ("child_to_parent", "{parents}", "top_10"),
        oracles=True,
    ),
    Headline(
        "Box → its very own scene",
        "How often the scene a box was cut from is among the first five (recall@5).",
        "recall@5",
        ("own_scene", "{parents}", "recall@5"),
    ),
    Headline(
        "Entailment",
        "How well the angle tells pairs of whole and part from random pairs (AUC).",
        "auc_random",
        ("entailment", "{pairs}", "auc_random"),
        oracles=True,
    ),
    Headline(
        "Radial order",
        "Pairs of whole and part in which the whole lies nearer the origin.",
        "all",
        ("radial", "all"),
    ),
)


def headline_entry(headline: Headline, results: Mapping[str, Any], measures: Directions) -> Entry | None:
    """The figure of a headline under a system's measures, None where it was not computed."""
    return lookup(results, *(step.format(**measures) for step in headline.path))


def headline_cards(results: Mapping[str, Mapping[str, Any]], measures: Mapping[str, Directions]) -> Markup:
    """Cards of the first system, the others beside it as baselines.

    Args:
        results: system -> results of `evaluate_embeddings`, main system first.
        measures: system -> `{"children": measure, "parents": measure, "pairs": measure}`.
    """
    main, *others = results
    cards = []
    for headline in HEADLINES:
        entry = headline_entry(headline, results[main], measures[main])
        if entry is None or entry.get("value") is None:
            continue
        baselines = {name: headline_entry(headline, results[name], measures[name]) for name in others}
        cards.append(_card(headline, entry, {name: found for name, found in baselines.items() if found}))
    return tag("div", join(cards), class_="cards")


def _card(headline: Headline, entry: Entry, baselines: Mapping[str, Entry]) -> Markup:
    figure = headline.figure
    span = interval(entry, figure)
    lines = [(name, found.get("value")) for name, found in baselines.items()]
    lines += [("chance", entry.get("chance")), ("best possible", entry.get("ceiling"))]
    if headline.oracles:
        oracles = entry.get("oracles") or {}
        lines += [(f"no image seen: {oracle_name(name)}", value) for name, value in oracles.items()]
    listed = join(
        Markup(tag("dt", name) + tag("dd", number(value, figure))) for name, value in lines if value is not None
    )
    parts = [
        tag("h3", headline.title),
        tag("p", headline.about, class_="what"),
        tag("div", number(entry["value"], figure), class_="value"),
        tag("div", f"95 % interval {span}" if span else "", class_="interval"),
        _rule(entry, [found.get("value") for found in baselines.values()]),
        tag("dl", listed),
    ]
    return tag("div", join(parts), class_="card")


def _rule(entry: Entry, baselines: Sequence[float | None]) -> Markup:
    """A rule from 0 to 1: the band from chance to the best possible, baselines hollow, the value filled."""
    chance, ceiling, value = entry.get("chance"), entry.get("ceiling"), float(entry["value"])
    low, high = entry.get("low"), entry.get("high")
    parts = [_line(0, 1, "#e6ebee")]
    if chance is not None:
        parts += [_line(chance, 1.0 if ceiling is None else ceiling, "#cbd8df"), _tick(chance, "2 2")]
    if ceiling is not None:
        parts.append(_tick(ceiling, "none"))
    if low is not None and high is not None:
        parts.append(_line(low, high, LEVEL_COLOURS[1]))
    for index, baseline in enumerate(baselines):
        if baseline is not None:
            colour = SYSTEM_COLOURS[(index + 1) % len(SYSTEM_COLOURS)]
            parts.append(f'<circle cx="{_at(baseline)}" cy="13" r="4" fill="#fff" stroke="{colour}" stroke-width="2"/>')
    parts.append(f'<circle cx="{_at(value)}" cy="13" r="6" fill="{SYSTEM_COLOURS[0]}"/>')
    label = "on a rule from 0 to 1: the value filled, baselines hollow, chance dashed, the best possible a line"
    return Markup(f'<svg role="img" aria-label="{label}">{"".join(parts)}</svg>')


def _at(value: float) -> str:
    """Place on the rule, in per cent of the card's width; the ends leave room for the dots."""
    return f"{2 + 96 * min(1.0, max(0.0, value)):.2f}%"


def _line(start: float, end: float, colour: str) -> str:
    return f'<line x1="{_at(start)}" x2="{_at(end)}" y1="13" y2="13" stroke="{colour}" stroke-width="6"/>'


def _tick(value: float, dashes: str) -> str:
    place, paint = _at(value), f'stroke="{MUTED}" stroke-width="1.5" stroke-dasharray="{dashes}"'
    return f'<line x1="{place}" x2="{place}" y1="4" y2="22" {paint}/>'
