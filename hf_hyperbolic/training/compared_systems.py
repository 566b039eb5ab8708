"""The systems of a comparison, as settings of training/train.py: one backbone, the same pairs and budget."""

import itertools
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from hf_hyperbolic.retrieval.measures import HYPERBOLIC_MEASURES, euclidean_counterpart
from hf_hyperbolic.training.arguments import TrainArguments

_ALL_ALIKE = ["--own_weight", "0"]
_WITHOUT_PROXIES = ["--proxy_weight", "0"]


def _ranked_by(measure: str) -> list[str]:
    return ["--children_measure", measure, "--parents_measure", measure]


_COSINE = ["--loss", "cosine", "--temperature_init", "0.07", *_ranked_by("cosine")]


def _paper(geometry: str, measure: str) -> list[str]:
    return [
        "--geometry", geometry, "--upward_angle", "alpha", "--temperature_init", "0.07", "--similarity_weight", "0",
        *_ALL_ALIKE, *_WITHOUT_PROXIES, *_ranked_by(measure),
    ]  # fmt: skip


_PAPER = _paper("lorentz", "beta")


def _published(loss: str, temperature: str, measure: str) -> list[str]:
    return ["--loss", loss, "--temperature_init", temperature, *_ALL_ALIKE, *_WITHOUT_PROXIES, *_ranked_by(measure)]


# what training/train.py does with the settings that all systems share: its defaults, or those of a recipe's file
DEFAULT = "recipe at hand"
PAPER = "hyperbolic angle"
PAPER_EUCLIDEAN = "Euclidean angle"
INTRA_IMAGE = "hyperbolic angle, intra-image only"
ONE_DIRECTION = ("parent to child only", "child to parent only")

SYSTEMS: dict[str, list[str]] = {
    # all positives alike
    "cosine contrast": [*_COSINE, *_ALL_ALIKE, *_WITHOUT_PROXIES],
    # half of it on pairs of one image alone
    "cosine contrast, own share": [*_COSINE, "--own_weight", "0.5", *_WITHOUT_PROXIES],
    # Euclidean contrast and a tenth of contrast on hyperbolic distance
    "HCL": _published("hcl", "0.2", "distance"),
    "MERU cones": _published("meru", "0.07", "distance"),
    "HyCoCLIP cones": _published("hycoclip", "0.07", "distance"),
    "ACCEPT": _published("single_positive", "0.07", "beta"),
    # the paper's, as we read it, and its Euclidean variant
    PAPER_EUCLIDEAN: _paper("euclidean", "euclidean_beta"),
    PAPER: _PAPER,
    # its ablations: one direction of the loss; no pairs of a scene and boxes of other images, which then are neither
    # positives nor negatives nor sought for the batch
    ONE_DIRECTION[0]: [*_PAPER, "--directions", "parent_to_child"],
    ONE_DIRECTION[1]: [*_PAPER, "--directions", "child_to_parent"],
    INTRA_IMAGE: [*_PAPER, "--cross_parents", "none", "--mated_boxes_per_scene", "0"],
    # class proxies and an own share, without any angle: what of a lead is theirs
    "cosine contrast + proxies": [*_COSINE, "--own_weight", "0.5", "--proxy_weight", "1"],
    "recipe at hand, Euclidean": ["--geometry", "euclidean"],
    DEFAULT: [],
}
# drawn where there are more systems than a figure can tell apart
CURVES = (PAPER, INTRA_IMAGE, PAPER_EUCLIDEAN, "cosine contrast", DEFAULT)
# whose loss has the object for the root
OBJECT_IS_ROOT = ("HCL", "HyCoCLIP cones")


def settings_of(recipe: Sequence[str], words: Sequence[str]) -> list[str]:
    """The settings of a system: a recipe, and what the system has beside it.

    A recipe may name hyperbolic measures to rank by; a system that is Euclidean is ranked by their counterparts.
    """
    settings = [*recipe, *words]
    if ("--geometry", "euclidean") in itertools.pairwise(words):
        named = TrainArguments.parse(list(recipe))
        for option in ("--children_measure", "--parents_measure"):
            measure = getattr(named, option.removeprefix("--"))
            if measure in HYPERBOLIC_MEASURES and option not in words:
                settings += [option, euclidean_counterpart(measure)]
    return settings


def run_folder(output: Path, system: str, seed: int) -> Path:
    """Where a comparison keeps a run of a system, or the figures of its untrained start."""
    return output / f"{'-'.join(re.findall('[A-Za-z0-9.]+', system))}-seed-{seed}"


def check_systems(names: Sequence[str], known: Collection[str] = tuple(SYSTEMS)) -> None:
    """
    Raises:
        ValueError: a system is unknown or named twice.
    """
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"unknown systems {', '.join(unknown)}; known: {', '.join(known)}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--systems names {', '.join(twice)} twice")
