"""Variants of one recipe, from a YAML file: what each setting is worth, with an interval.

    default:
    paper's temperature: {temperature_init: 0.07}
    two terms: {similarity_weight: 1.0, own_weight: 0.5}

The first is what the others are held against.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from hf_hyperbolic.evaluation.seed_tables import COLUMNS
from hf_hyperbolic.evaluation.verdicts import Claim, Test, Verdict
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.compared_systems import run_folder
from hf_hyperbolic.training.paper_claims import LOWER_IS_BETTER, OWN_SCENE, RECALL, TOP, TRANSPORT

COMPARED = (RECALL, TRANSPORT, TOP, OWN_SCENE, "entailment/auc_random_boxes")


def read_variants(path: str | Path) -> dict[str, list[str]]:
    """Name -> settings of training/train.py, as on a command line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no mapping of at least two names to settings, or a setting is none of training/train.py's.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file of variants; see training/studies/recipe.yaml") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict) or len(content) < 2:
        raise ValueError(f"{path} must map at least two names to their settings")
    variants = {}
    for name, settings in content.items():
        if not isinstance(settings, dict | None):
            raise ValueError(f"{path}: {name!r} must have settings, such as {{own_weight: 0.5}}, got {settings!r}")
        words = [word for key, value in (settings or {}).items() for word in (f"--{key}", _word(value))]
        try:
            TrainArguments.parse(words)
        except (ValueError, SystemExit) as error:
            raise ValueError(f"{path}: {name!r} cannot be trained: {error}") from None
        variants[str(name)] = words
    folders = [run_folder(Path(), name, 0).name.casefold() for name in variants]
    if len(set(folders)) < len(folders):
        raise ValueError(f"{path}: two names differ in signs alone, and would share a folder")
    return variants


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def variant_claims(names: Sequence[str]) -> tuple[Claim, ...]:
    """Of every variant, that it is better than the first."""
    first, *others = names
    return tuple(
        Claim(
            f"{name} is better than {first}.",
            "study",
            tuple(Test(figure, name, first, figure in LOWER_IS_BETTER) for figure in COMPARED),
        )
        for name in others
    )


def difference_rows(verdicts: Sequence[Verdict], kind: str = "variant") -> list[list[str]]:
    """Heading and a row a claim of `variant_claims`, of which there is one at least: difference from the first with its
    interval; a star where that excludes zero."""
    columns = [COLUMNS[test.figure] for test in verdicts[0].claim.tests]
    rows = [[f"{kind} less the first", *(column.heading for column in columns)]]
    for verdict in verdicts:
        cells = [verdict.claim.tests[0].first]
        for column, found in zip(columns, verdict.found, strict=True):
            got = found.comparison
            if got is None:
                cells.append(found.outcome)
                continue
            star = "" if found.outcome == "undecided" else " *"
            interval = f"[{column.difference(got.low)}, {column.difference(got.high)}]"
            cells.append(f"{column.difference(got.difference)} {interval}{star}")
        rows.append(cells)
    return rows


def settings_rows(variants: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Heading and a row a variant: its settings as they are typed."""
    return [["variant", "settings"], *([name, " ".join(words) or "(none)"] for name, words in variants.items())]
