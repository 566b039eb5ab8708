"""Evaluates runs on one split for a comparison, each by its own ranking measures, and keeps what it finds with them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hf_hyperbolic.data.files import sha256
from hf_hyperbolic.evaluation.seed_tables import SHOWN, ZERO_SHOT
from hf_hyperbolic.evaluation.split_evaluation import RECALL_LEVELS, SplitEvaluation, fingerprint
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot, nearest_measure
from hf_hyperbolic.evaluation.zero_shot_task import Support, told_boxes
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.kept_figures import Kept, kept_embeddings, kept_figures, parameters_digest
from hf_hyperbolic.training.measures import ranking_measures
from hf_hyperbolic.training.output_names import file_name
from hf_hyperbolic.training.sources import Split, class_frequencies_for, load_split, same_data
from hf_hyperbolic.training.support import load_support
from hf_hyperbolic.training.systems import System, trained, untrained

# as training/evaluate.py has them unless told otherwise
SUPPORT_SPLIT, SHOTS, DRAWS = "train", 50, 3


@dataclass(frozen=True)
class Run:
    """A model to evaluate, loaded only where it is needed.

    Attributes:
        folder: where its figures are kept.
        which: `"final"` or `"best"`; `"untrained"` for the start of a run.
        model: digest of its weights.
        measures: see `ranking_measures`.
        load: gives the system.
        label: part of the names of what is kept, where the measures are not the system's own.
    """

    folder: Path
    which: str
    model: str
    measures: dict[str, str]
    load: Callable[[], System]
    label: str = ""

    def ranked_by(self, measure: str) -> "Run":
        """The same model, both directions ranked by another measure."""
        measures = {**self.measures, "children": measure, "parents": measure}
        return replace(self, measures=measures, label=f"-by-{measure.replace('+', '-')}")


def trained_run(folder: Path, which: str, device: str = "cpu") -> Run:
    """A finished run of training/train.py.

    Raises:
        FileNotFoundError: it kept no such model.
    """
    weights = folder / which / "model.safetensors"
    if not weights.exists():
        raise FileNotFoundError(f"{folder / which} holds no model: is the run finished?")
    measures = ranking_measures(TrainArguments.load(folder / which))
    return Run(folder, which, sha256(weights), measures, lambda: trained(folder, device, which))


def untrained_run(folder: Path, args: TrainArguments, device: str = "cpu") -> Run:
    """What a run of `args` starts from."""
    start = untrained(args, device)
    return Run(folder, "untrained", parameters_digest(start.model), start.measures, lambda: start)


@dataclass(frozen=True)
class Target:
    """A split that runs are evaluated on.

    Attributes:
        args: data settings of the comparison.
        split: its name.
        data: another data set than the comparison's.
        image_folder: where the images of `data` lie, if not with it.
    """

    args: TrainArguments
    split: str
    data: str | None = None
    image_folder: str | None = None

    @property
    def name(self) -> str:
        """As part of files' names."""
        return self.split if self.data is None else f"{file_name(Path(self.data).name)}-{self.split}"

    @property
    def source(self) -> str:
        return self.args.data if self.data is None else self.data

    def retrieval(self, run: Run) -> Kept:
        """Every figure of the tables but those of zero-shot classification."""

        def make() -> Kept:
            figures, units = self._evaluation(*self._embed(run), run.measures)
            note = self._frequencies[1]
            return Kept(figures, units, self._evaluation.about | {"notes": [note] if note else []})

        source = {"model": run.model, "data": self.source, "split": self.split, "measures": run.measures}
        wanted = (*SHOWN, *(f"precision_recall/{level}" for level in RECALL_LEVELS))
        return kept_figures(run.folder, f"{run.which}-{self.name}{run.label}", source, wanted, make)

    def zero_shot(self, run: Run) -> Kept:
        """Boxes told by the nearest class prototype."""

        def make() -> Kept:
            embeds, curvature = self._embed(run)
            support_split, support = self._support
            reference = run.load().embed(support_split, support.nodes, progress=False)
            measure, hierarchy = nearest_measure(curvature), self._loaded.hierarchy
            found, units = evaluate_zero_shot(
                embeds, hierarchy, reference, support, curvature, [measure], map_resamples=1,
                trained_here=same_data(self.source, self.args.data) and run.which != "untrained",
            )  # fmt: skip
            figures = {
                f"zero_shot/{name}": {level: figure[level] for level in ("value", "chance", "ceiling")}
                | {"oracle": figure["oracles"]["most_common_class"]}
                for name, figure in found["zero_shot"][measure].items()
            }
            about = {key: value for key, value in found["zero_shot_about"].items() if key != "per_class"}
            told = {"zero_shot/accuracy": units[f"zero_shot/{measure}/accuracy"]}
            told["image_of_told_box"] = hierarchy.node_image[told_boxes(hierarchy, support)].astype(np.int64)
            return Kept(figures, told, about | {"fingerprint": fingerprint(hierarchy)})

        source: dict[str, Any] = {"model": run.model, "data": self.source, "split": self.split}
        source |= {"support": SUPPORT_SPLIT, "shots": SHOTS, "draws": DRAWS}
        wanted = [column.figure for column in ZERO_SHOT.columns]
        return kept_figures(run.folder, f"zero-shot-{run.which}-{self.name}", source, wanted, make)

    def _embed(self, run: Run) -> tuple[np.ndarray, float]:
        def make() -> tuple[np.ndarray, float]:
            system = run.load()
            return system.embed(self._loaded, progress=False), system.curvature

        source = {"model": run.model, "data": self.source, "split": self.split}
        source["fingerprint"] = self._evaluation.about["fingerprint"]
        return kept_embeddings(run.folder, f"{run.which}-{self.name}", source, make)

    @cached_property
    def _loaded(self) -> Split:
        return load_split(self.args, self.split, self.data, image_folder=self.image_folder)

    @cached_property
    def _evaluation(self) -> SplitEvaluation:
        return SplitEvaluation(self._loaded.hierarchy, self._frequencies[0])

    @cached_property
    def _frequencies(self) -> tuple[Any, str]:
        return class_frequencies_for(self.args, self._loaded.hierarchy, self.source, trained_on=self.args.data)

    @cached_property
    def _support(self) -> tuple[Split, Support]:
        return load_support(
            self.args, SUPPORT_SPLIT, self.source, self._loaded.hierarchy, SHOTS, DRAWS,
            image_folder=self.image_folder,
        )  # fmt: skip
