"""Collects what a reader skips, in memory that does not grow with the file."""

from collections import Counter
from collections.abc import Iterable

from hf_hyperbolic.data.boxes import Problem, count_problems

# problems of a reason that are listed one by one
EXAMPLES = 20


class ProblemLog:
    """Problems in the order met: the first of each reason one by one, the rest of it as one with a count.

    Args:
        problems: to begin with.
        examples: how many of a reason stand one by one.
    """

    def __init__(self, problems: Iterable[Problem] = (), examples: int = EXAMPLES) -> None:
        self.examples = examples
        # a problem for each listed one and, last of its reason, for the rest; where in the list that is
        self._listed: list[Problem] = []
        self._kept: Counter[str] = Counter()
        self._rest: dict[str, int] = {}
        for problem in problems:
            self.add(problem.reason, problem.where, problem.detail, problem.count)

    def add(self, reason: str, where: str, detail: str, count: int = 1) -> None:
        """Records a problem; the arguments are those of `Problem`."""
        if reason in self._rest:
            self._count_rest(reason, count)
        elif self._kept[reason] == self.examples:
            self._rest[reason] = len(self._listed)
            self._listed.append(Problem(reason, where, detail, count))
        else:
            self._kept[reason] += 1
            self._listed.append(Problem(reason, where, detail, count))

    def add_many(self, reason: str, count: int, first: Iterable[Problem]) -> None:
        """Records `count` problems of one each, of which `first` are the first `examples + 1`, or all of them."""
        named = 0
        for problem in first:
            self.add(reason, problem.where, problem.detail)
            named += 1
        if count > named:
            self._count_rest(reason, count - named)

    def merge(self, later: "ProblemLog") -> None:
        """Adds the problems of a later part of the same file."""
        for problem in later._listed:
            self.add(problem.reason, problem.where, problem.detail, problem.count)

    def _count_rest(self, reason: str, count: int) -> None:
        place = self._rest[reason]
        rest = self._listed[place]
        self._listed[place] = Problem(reason, rest.where, rest.detail, rest.count + count)

    def problems(self) -> tuple[Problem, ...]:
        """What `BoxTable.problems` takes."""
        return tuple(self._listed)

    def summary(self) -> str:
        """`" (skipped: 3 missing_file, 1 no_image_id)"` for an error message; empty where nothing was met."""
        counts = count_problems(self._listed).most_common()
        listed = ", ".join(f"{count} {reason}" for reason, count in counts)
        return f" (skipped: {listed})" if listed else ""
