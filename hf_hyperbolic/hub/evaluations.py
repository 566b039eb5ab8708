"""What a run's evaluations found, as a model card shows it: figures with interval, chance and ceiling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.files import weights_digest
from hf_hyperbolic.evaluation.captions import KS
from hf_hyperbolic.hub.run import TrainedModel, hub_name, read_json
from hf_hyperbolic.report.cards import HEADLINES, Headline, headline_entry
from hf_hyperbolic.report.numbers import figure_name, interval, number
from hf_hyperbolic.report.prose import limit_points

RESULTS, DISK = "results.json", "poincare_disk.png"

_MORE = (
    Headline(
        "Scene → what is in it, by label transport",
        "Optimal transport between labels found and labels wanted, over the class index; lower is better, and "
        "may be lower than that of a ranking that puts every right box first (OT@50 %).",
        "ot@50%",
        ("parent_to_child", "{children}", "ot@50%"),
    ),
    Headline(
        "Entailment, boxes alone",
        "The same without the full scenes, which are easily told from boxes (AUC).",
        "auc_random_boxes",
        ("entailment", "{pairs}", "auc_random_boxes"),
    ),
    Headline(
        "Largest hub, box → scenes",
        "Share of the boxes that one and the same scene is among the first ten of; lower is better.",
        "largest_share",
        ("hubness", "child_to_parent", "{parents}", "largest_share"),
    ),
)
_CAPTIONS = tuple(
    Headline(
        title,
        f"How often {found} is {'the' if k == 1 else f'among the {k}'} first of all.",
        figure,
        ("captions", way, figure),
    )
    for title, found, way, gallery in (
        ("Caption → its image", "the image that a caption is of", "{children}", "images"),
        ("Image → its captions", "one of the captions of an image", "{parents}", "captions"),
    )
    for k in KS
    for figure in (f"{gallery}_recall@{k}",)
)
_SHOWN = (*HEADLINES, *_MORE, *_CAPTIONS)


@dataclass(frozen=True)
class Row:
    """One figure: in words, and as the evaluation has it.

    Attributes:
        headline: what it is.
        measure: that ranked; None where no measure has a part.
        entry: `value`, `low`, `high`, `chance`, `ceiling`.
        others: other system -> its value, by its own measure.
    """

    headline: Headline
    measure: str | None
    entry: Mapping[str, Any]
    others: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """The title, with the figure's own name where that adds to it."""
        figure = figure_name(self.headline.figure)
        return self.headline.title + (f", {figure}" if "@" in figure or figure.startswith("Top") else "")

    def cells(self) -> list[str]:
        """Title and meaning, value, interval, chance, best possible, then the others."""
        figure = self.headline.figure
        values = [self.entry.get("chance"), self.entry.get("ceiling"), *self.others.values()]
        return [
            f"**{self.headline.title}**: {self.headline.about}",
            f"**{number(self.entry['value'], figure)}**",
            interval(self.entry, figure) or number(None, figure),
            *(number(value, figure) for value in values),
        ]


@dataclass(frozen=True)
class Evaluation:
    """
    Attributes:
        folder: that training/evaluate.py wrote.
        data: data set.
        split: of it.
        results: system -> figures, the model itself first.
        measures: system -> `{"children": measure, "parents": measure, "pairs": measure}`.
        chosen_on_it: whether the model was chosen among its checkpoints on this very split.
        options: that training/evaluate.py was given.
    """

    folder: Path
    data: str
    split: str
    results: Mapping[str, Mapping[str, Any]]
    measures: Mapping[str, Mapping[str, str]]
    chosen_on_it: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The name of the model among the systems."""
        return next(iter(self.results))

    @property
    def counts(self) -> Mapping[str, int]:
        """`images`, `boxes` and `classes` of the split."""
        return self.results[self.main]["counts"]

    @property
    def others(self) -> list[str]:
        """The systems beside it."""
        return [name for name in self.results if name != self.main]

    @property
    def command(self) -> str:
        """The command that makes these figures again; words in capitals stand for places."""
        given = self.options
        words = ["python training/evaluate.py", "--run RUN" if given.get("run") else "--checkpoint MODEL"]
        if given.get("run"):
            words.append(f"--which {given.get('which', 'best')}")
        if given.get("data"):
            words.append(f"--data {hub_name(given['data']) or ('scenes' if given['data'] == 'scenes' else 'DATA')}")
        words.append(f"--split {self.split}")
        for name in ("threshold", "context", "ground", "seed"):
            if given.get(name) not in (None, 0, 0.0, "index"):
                words.append(f"--{name} {given[name]}")
        if given.get("class_hierarchy"):
            words.append("--class_hierarchy TREE")
        if captions := given.get("captions"):
            words.append(f"--captions {captions if captions == 'auto' else 'CAPTIONS'}")
        return " ".join(words)

    def rows(self) -> list[Row]:
        """The figures that were computed, in reading order."""
        found = []
        for headline in _SHOWN:
            entry = headline_entry(headline, self.results[self.main], self.measures[self.main])
            if entry is None or entry.get("value") is None:
                continue
            others = {
                name: (headline_entry(headline, self.results[name], self.measures[name]) or {}).get("value")
                for name in self.others
            }
            asked = next((step.strip("{}") for step in headline.path if step.startswith("{")), None)
            measure = self.measures[self.main][asked] if asked else None
            found.append(Row(headline, measure, entry, others))
        return found

    def limits(self, settings: Mapping[str, Any]) -> list[str]:
        """What the figures do not show, with the model's own numbers."""
        results = dict(self.results[self.main])
        # about a table that the card does not have
        results["notes"] = [note for note in results.get("notes", []) if not note.startswith("by_class")]
        return limit_points(results, self.measures[self.main], settings)

    @property
    def disk(self) -> Path | None:
        """The picture of the Poincare disk, where there is one."""
        file = self.folder / DISK
        return file if file.is_file() else None


def find_evaluations(model: TrainedModel, named: Sequence[str | Path] = ()) -> tuple[list[Evaluation], list[str]]:
    """Evaluations of exactly this model.

    Args:
        model: that is published.
        named: folders of training/evaluate.py to look at; without any, the folders `evaluation-*` of the run.

    Returns:
        The evaluations, and in one sentence each why others were left out.

    Raises:
        FileNotFoundError: a folder that was named holds no evaluation.
        ValueError: one that was named is of another model, or damaged.
    """
    folders = [Path(folder) for folder in named]
    if not named and model.run:
        folders = sorted(file.parent for file in model.run.glob(f"evaluation-*/{RESULTS}"))
    weights = weights_digest(model.folder)
    found, left_out = [], []
    for folder in folders:
        if not (folder / RESULTS).is_file():
            raise FileNotFoundError(f"{folder} holds no evaluation ({RESULTS}): write one by training/evaluate.py")
        content = read_json(folder / RESULTS)
        fault = _fault(content, weights)
        if fault and named:
            raise ValueError(f"{folder / RESULTS} {fault}")
        if fault:
            left_out.append(f"{folder.name} {fault}")
            continue
        options = content["options"]
        own = content["data"] == model.settings.get("data")
        found.append(
            Evaluation(
                folder,
                content["data"],
                options["split"],
                content["results"],
                content["measures"],
                model.chosen == "best" and own and options["split"] == "val",
                options,
            )
        )
    return found, left_out


def _fault(content: Mapping[str, Any], weights: str | None) -> str | None:
    """Why an evaluation cannot stand on the card."""
    if any(name not in content for name in ("options", "data", "results", "measures", "weights")):
        return "does not say which weights it is of: evaluate the model again"
    if content["weights"] != weights:
        return "is of other weights than those pushed"
    return None
