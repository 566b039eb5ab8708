"""Verdicts on claims as a person reads them: a line a claim, a table of its tests below."""

from collections.abc import Sequence

from hf_hyperbolic.evaluation.seed_tables import COLUMNS, as_markdown, as_text
from hf_hyperbolic.evaluation.verdicts import Found, Verdict

_HEADINGS = ["compared", "figure", "difference", "95 % interval", "seeds", "verdict"]
_WAYS = {
    "parent_to_child": "parent to child, ",
    "child_to_parent": "child to parent, ",
    "precision_recall": "precision ",
}


def verdicts_text(verdicts: Sequence[Verdict]) -> str:
    """Plain text, one block a claim."""
    blocks = []
    for verdict in verdicts:
        table = as_text(_rows(verdict)).replace("\n", "\n    ")
        blocks.append(f"{verdict.outcome.upper()}: {verdict.claim.sentence} [{verdict.claim.source}]\n    {table}")
    return "\n\n".join(blocks)


def verdicts_markdown(verdicts: Sequence[Verdict]) -> str:
    """The same as Markdown."""
    return "\n\n".join(
        f"**{verdict.outcome}**: {verdict.claim.sentence} ({verdict.claim.source})\n\n{as_markdown(_rows(verdict))}"
        for verdict in verdicts
    )


def _rows(verdict: Verdict) -> list[list[str]]:
    return [_HEADINGS, *map(_cells, verdict.found)]


def _cells(found: Found) -> list[str]:
    test, column, got = found.test, COLUMNS[found.test.figure], found.comparison
    level = isinstance(test.second, float)
    second = column.text(test.second) if isinstance(test.second, float) else test.second
    if test.share:
        second += f" - {100 * test.share:.0f} % of the way from it to the ceiling"
    figure = f"{_WAYS.get(test.figure.partition('/')[0], '')}{column.title}{' ↓' if test.lower else ''}"
    start = [f"{test.first} - {second}", figure]
    if got is None:
        return [*start, "", "", "", f"{found.outcome}: {found.why}"]
    interval = f"[{column.difference(got.low)}, {column.difference(got.high)}]"
    seeds = str(got.seeds[0]) if level else f"{got.seeds[0]} and {got.seeds[1]}"
    return [*start, column.difference(got.difference), interval, seeds, found.outcome]
