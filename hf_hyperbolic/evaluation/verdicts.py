"""Claims written down before anybody looks, and a verdict on each from the units of all runs.

A claim is a sentence, its source, and the tests it stands for; a test compares one figure of one system with another
system's, or with a level, by `claims.compare_seeds`. It holds, does not hold or is undecided at its own 95 % interval,
which no number of other tests widens. A claim holds when all its tests do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from hf_hyperbolic.evaluation.bootstrap import image_pseudo_values
from hf_hyperbolic.evaluation.claims import Comparison, compare_seeds

Outcome = Literal["holds", "does not hold", "undecided", "not run", "no room"]


@dataclass(frozen=True)
class Test:
    """One comparison.

    Attributes:
        figure: `"<section>/<figure>"`, as `SplitEvaluation` names it.
        first: system that is claimed to be better (or lower, see `lower`).
        second: the other system, or a level of the figure.
        lower: the claim is that the first is the lower one: of a figure where lower is better, or of a cost.
        share: the first is claimed to be ahead by at least this share of the way from the second to the ceiling.
    """

    __test__ = False  # no test of pytest's

    figure: str
    first: str
    second: str | float
    lower: bool = False
    share: float = 0.0

    @property
    def systems(self) -> tuple[str, ...]:
        return (self.first, self.second) if isinstance(self.second, str) else (self.first,)


@dataclass(frozen=True)
class Claim:
    """A sentence, where it is from, and what it comes to."""

    sentence: str
    source: str
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class Found:
    """A test and what came of it; without a comparison where systems were not run or there is no way to go."""

    test: Test
    outcome: Outcome
    comparison: Comparison | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        compared = asdict(self.comparison) if self.comparison else {}
        return {**asdict(self.test), **compared, "outcome": self.outcome} | ({"why": self.why} if self.why else {})


@dataclass(frozen=True)
class Verdict:
    """A claim and its tests."""

    claim: Claim
    found: tuple[Found, ...]

    @property
    def outcome(self) -> Outcome:
        """Holds if every test does; one that does not hold decides against it, one that was not run decides nothing."""
        outcomes = {found.outcome for found in self.found}
        order: tuple[Outcome, ...] = ("does not hold", "not run", "undecided", "no room")
        return next((outcome for outcome in order if outcome in outcomes), "holds")

    def as_dict(self) -> dict[str, Any]:
        return {
            "claim": self.claim.sentence,
            "source": self.claim.source,
            "outcome": self.outcome,
            "tests": [found.as_dict() for found in self.found],
        }


def per_image(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Figures of queries as a mean over images, so that those of one image are drawn together.

    Args:
        values: (..., Q); NaN where undefined.
        images: (Q,) image of each.

    Returns:
        (..., I) float64 over the images that occur, whose mean is that over the queries; NaN for an image without one.
    """
    _, place = np.unique(images, return_inverse=True)
    count = int(place.max()) + 1

    def of_run(run: np.ndarray) -> np.ndarray:
        defined = ~np.isnan(run)
        if not defined.any():
            return np.full(count, np.nan)
        kept = run[defined]
        mean = float(kept.mean())
        return image_pseudo_values(mean, (kept - mean) / len(kept), place[defined], count)

    return np.apply_along_axis(of_run, -1, np.asarray(values, dtype=np.float64))


def judge(
    claims: Sequence[Claim],
    units: Mapping[str, Mapping[str, np.ndarray]],
    images: Mapping[str, np.ndarray],
    ceilings: Mapping[str, float | None],
) -> list[Verdict]:
    """A verdict on every claim.

    Args:
        claims: what is claimed.
        units: system -> figure -> (S, Q) values of its S runs, unit for unit the same for all systems.
        images: section -> (Q,) image of each unit, for sections whose units are boxes.
        ceilings: figure -> the best possible.

    Raises:
        ValueError: two systems do not have the same units.
    """
    return [
        Verdict(claim, tuple(_judge(test, units, images, ceilings) for test in claim.tests)) for claim in claims
    ]  # fmt: skip


def _judge(
    test: Test,
    units: Mapping[str, Mapping[str, np.ndarray]],
    images: Mapping[str, np.ndarray],
    ceilings: Mapping[str, float | None],
) -> Found:
    missing = [system for system in test.systems if test.figure not in units.get(system, {})]
    if missing:
        return Found(test, "not run", why=f"without {' and '.join(missing)}")
    first, *others = (units[system][test.figure] for system in test.systems)
    # a level is a system of one run that reaches it everywhere
    second = others[0] if others else np.full((1, first.shape[1]), float(test.second))
    section = test.figure.partition("/")[0]
    if section in images:
        if len(images[section]) != first.shape[1]:
            raise ValueError(f"{test.figure} has {first.shape[1]} units, and their images are {len(images[section])}")
        first, second = per_image(first, images[section]), per_image(second, images[section])
    if test.share:
        ceiling = ceilings.get(test.figure)
        if ceiling is None:
            return Found(test, "no room", why="its best possible value is not known")
        room = float(np.nanmean(second)) - ceiling if test.lower else ceiling - float(np.nanmean(second))
        if room <= 0:
            return Found(test, "no room", why=f"{test.second} is not short of the ceiling")
        # first - second - share (ceiling - second), unit by unit
        second = (1 - test.share) * second + test.share * ceiling
    compared = compare_seeds(first, second)
    return Found(test, compared.verdict(lower_is_better=test.lower), compared)


def systems_of(claims: Sequence[Claim]) -> Iterator[str]:
    """Names of all systems that claims are about, each once."""
    yield from dict.fromkeys(system for claim in claims for test in claim.tests for system in test.systems)
