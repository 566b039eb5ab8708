"""Collects what a reader skips, in memory that does not grow with the file."""

from collections import Counter
from dataclasses import replace

from hf_hyperbolic.data.boxes import Problem


class ProblemLog:
    """Problems in the order met: the first of each reason one by one, the rest of it as one with a count.

    Args:
        examples: how many of a reason stand one by one.
    """

    def __init__(self, examples: int = 20) -> None:
        self._examples = examples
        self._listed: list[Problem] = []
        self._of_reason: Counter[str] = Counter()
        self._rest: dict[str, int] = {}
        self._rest_count: Counter[str] = Counter()

    def add(self, reason: str, where: str, detail: str, count: int = 1) -> None:
        """Records a problem; the arguments are those of `Problem`."""
        self._of_reason[reason] += 1
        if self._of_reason[reason] <= self._examples:
            self._listed.append(Problem(reason, where, detail, count))
            return
        if reason not in self._rest:
            self._rest[reason] = len(self._listed)
            self._listed.append(Problem(reason, where, detail))
        self._rest_count[reason] += count

    def problems(self) -> tuple[Problem, ...]:
        """What `BoxTable.problems` takes."""
        listed = list(self._listed)
        for reason, place in self._rest.items():
            listed[place] = replace(listed[place], count=self._rest_count[reason])
        return tuple(listed)

    def summary(self) -> str:
        """`" (skipped: 3 missing_file, 1 no_image_id)"` for an error message; empty where nothing was met."""
        counts: Counter[str] = Counter()
        for problem in self.problems():
            counts[problem.reason] += problem.count
        listed = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        return f" (skipped: {listed})" if listed else ""
