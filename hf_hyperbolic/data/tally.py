"""Counting problems in files of millions of rows: a few examples of a kind, and how many more."""

from collections.abc import Iterable

from hf_hyperbolic.data.boxes import Problem

# examples of a kind that are listed one by one
EXAMPLES = 20


class Tally:
    """Collects problems by reason; only the first `EXAMPLES` of a reason are kept one by one."""

    def __init__(self) -> None:
        self._first: dict[str, list[Problem]] = {}
        self._count: dict[str, int] = {}

    def add(self, reason: str, count: int, examples: Iterable[Problem]) -> None:
        """Counts `count` problems of a kind, of which `examples` are the first, `EXAMPLES + 1` or all of them."""
        if not count:
            return
        first = self._first.setdefault(reason, [])
        self._count[reason] = self._count.get(reason, 0) + count
        # one more than is listed: it names where the rest begins
        first.extend(list(examples)[: EXAMPLES + 1 - len(first)])

    def merge(self, later: "Tally") -> None:
        """Adds the problems of a later part of the same file."""
        for reason, first in later._first.items():
            self.add(reason, later._count[reason], first)

    def problems(self) -> tuple[Problem, ...]:
        """By reason in the order met: the first `EXAMPLES`, then one that stands for all others."""
        found: list[Problem] = []
        for reason, first in self._first.items():
            found.extend(first[:EXAMPLES])
            rest = self._count[reason] - EXAMPLES
            if rest > 0:
                found.append(Problem(reason, first[EXAMPLES].where, first[EXAMPLES].detail, rest))
        return tuple(found)

    def summary(self) -> str:
        """`" (skipped: 3 crowd, 1 too_small)"`, or nothing."""
        listed = ", ".join(
            f"{count} {reason}" for reason, count in sorted(self._count.items(), key=lambda item: -item[1])
        )
        return f" (skipped: {listed})" if listed else ""
