"""Verdicts on claims as a person reads them: a line a claim, its tests below, what was not run at the end."""

from collections.abc import Sequence

from hf_hyperbolic.evaluation.seed_tables import COLUMNS, as_markdown, as_text
from hf_hyperbolic.evaluation.verdicts import Found, Verdict

_HEADINGS = ["compared", "figure", "difference", "95 % interval", "seeds", "verdict"]
_WAYS = {"parent_to_child": "parent to child, ", "child_to_parent": "child to parent, "} | {
    "precision_recall": "precision "
}


def verdicts_text(verdicts: Sequence[Verdict]) -> str:
    """Plain text, one block a claim."""
    blocks = []
    for verdict in _judged(verdicts):
        table = as_text(_rows(verdict)).replace("\n", "\n    ")
        blocks.append(f"{verdict.outcome.upper()}: {verdict.claim.sentence} [{verdict.claim.source}]\n    {table}")
    if lines := _not_run(verdicts):
        blocks.append("\n    ".join(["NOT RUN", *lines]))
    return "\n\n".join(blocks)


def verdicts_markdown(verdicts: Sequence[Verdict]) -> str:
    """The same as Markdown."""
    blocks = [
        f"**{verdict.outcome}**: {verdict.claim.sentence} ({verdict.claim.source})\n\n{as_markdown(_rows(verdict))}"
        for verdict in _judged(verdicts)
    ]
    if lines := _not_run(verdicts):
        blocks.append("\n- ".join(["**not run**\n", *lines]))
    return "\n\n".join(blocks)


def _judged(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if any(found.outcome != "not run" for found in verdict.found)]


def _not_run(verdicts: Sequence[Verdict]) -> list[str]:
    lines = []
    for verdict in verdicts:
        if all(found.outcome == "not run" for found in verdict.found):
            why = "; ".join(dict.fromkeys(found.why for found in verdict.found))
            lines.append(f"{verdict.claim.sentence} [{verdict.claim.source}]: {why}")
    return lines


def _rows(verdict: Verdict) -> list[list[str]]:
    return [_HEADINGS, *map(_cells, verdict.found)]


def _cells(found: Found) -> list[str]:
    test, column, got = found.test, COLUMNS[found.test.figure], found.comparison
    second = test.second if isinstance(test.second, str) else column.text(test.second)
    if test.share:
        second += f" and {100 * test.share:.0f} % of its way to the ceiling"
    figure = f"{_WAYS.get(test.figure.partition('/')[0], '')}{column.title}{' ↓' if test.lower else ''}"
    start = [f"{test.first} against {second}", figure]
    if got is None:
        return [*start, "", "", "", f"{found.outcome}: {found.why}"]
    interval = f"[{column.difference(got.low)}, {column.difference(got.high)}]"
    seeds = f"{got.seeds[0]} and {got.seeds[1]}" if isinstance(test.second, str) else str(got.seeds[0])
    return [*start, column.difference(got.difference), interval, seeds, found.outcome]
