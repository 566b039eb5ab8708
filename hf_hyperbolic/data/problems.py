"""Long lists of problems, made short."""

from collections.abc import Iterable
from dataclasses import replace

from hf_hyperbolic.data.boxes import Problem


def shorten(problems: Iterable[Problem], examples: int = 20) -> tuple[Problem, ...]:
    """Keeps the first `examples` problems of each reason; those beyond become one, with their count.

    `BoxTable.skipped` counts the same before and after.
    """
    seen: dict[str, int] = {}
    kept: list[Problem] = []
    beyond: dict[str, Problem] = {}
    for problem in problems:
        reason = problem.reason
        seen[reason] = seen.get(reason, 0) + 1
        if seen[reason] <= examples:
            kept.append(problem)
        elif reason in beyond:
            beyond[reason] = replace(beyond[reason], count=beyond[reason].count + problem.count)
        else:
            beyond[reason] = problem
    return (*kept, *beyond.values())
