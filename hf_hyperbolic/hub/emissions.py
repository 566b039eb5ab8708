"""What training emitted, where it was measured: nothing is estimated here."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

FILE = "emissions.csv"  # codecarbon's


@dataclass(frozen=True)
class Emissions:
    """
    Attributes:
        grams: of CO2 equivalent.
        source: who measured or stated it.
    """

    grams: float
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.grams) and self.grams >= 0):
            raise ValueError(f"emissions must be grams of CO2 equivalent, 0 or more, got {self.grams}")


def read_emissions(folder: Path | None) -> Emissions | None:
    """Of codecarbon's `emissions.csv` in a run's folder; None where there is none.

    codecarbon writes a line when it stops, and a running total under the same `run_id` before: of each the last counts.

    Raises:
        ValueError: the file is not codecarbon's.
    """
    file = folder / FILE if folder else None
    if file is None or not file.is_file():
        return None
    kilograms: dict[str, float] = {}
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                kilograms[row["run_id"]] = float(row["emissions"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is not codecarbon's (columns run_id and emissions, in kg): {error}") from error
    return Emissions(1000 * sum(kilograms.values()), "codecarbon") if kilograms else None
