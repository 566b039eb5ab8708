"""The front matter of a model card: what the Hub reads, and shows beside the card."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_hyperbolic.hub.emissions import Emissions
from hf_hyperbolic.hub.evaluations import Evaluation
from hf_hyperbolic.hub.run import TrainedModel, hub_name, public_settings
from hf_hyperbolic.training.backbones import FROM_SCRATCH
from hf_hyperbolic.training.text_tower import FROM_SCRATCH as TEXT_FROM_SCRATCH

UNKNOWN_LICENSE = "unknown"
_TAGS = ["hyperbolic", "hierarchy", "image-retrieval", "entailment", "custom_code", "arxiv:2411.17490"]


@dataclass(frozen=True)
class CardFacts:
    """What a card says beyond the files of the run.

    Attributes:
        repo_id: "user/name".
        license: of the weights, as the Hub abbreviates it; None for what is known of it.
        datasets: names on the Hub of what it was trained on, beyond the one the run names itself.
        emissions: of training.
        revision: commit that weights and code are pinned to in the snippets; None before there is one.
        left_out: why evaluations were left out, a sentence each.
    """

    repo_id: str
    license: str | None = None
    datasets: Sequence[str] = ()
    emissions: Emissions | None = None
    revision: str | None = None
    left_out: Sequence[str] = field(default=())


def default_license(settings: dict[str, Any], words: dict[str, Any] | None = None, has_text: bool = False) -> str:
    """That of this library where nothing else went into the weights, else unknown.

    Args:
        settings: of the run.
        words: of the text tower, see `TrainedModel.words`.
        has_text: whether there is one.
    """
    own = settings.get("data") == "scenes" and settings.get("backbone") in FROM_SCRATCH
    if has_text:
        words = words or {}
        own = own and words.get("text") in TEXT_FROM_SCRATCH and words.get("data") in (None, "scenes")
        own = own and words.get("captions") in (None, "auto")
    return "apache-2.0" if own else UNKNOWN_LICENSE


def front_matter(model: TrainedModel, evaluations: Sequence[Evaluation], facts: CardFacts) -> ModelCardData:
    """The front matter, with the evaluated figures as `model-index`."""
    settings, words = public_settings(model.settings), public_settings(model.words)
    datasets = [hub_name(of.get("data")) for of in (model.settings, model.words)]
    bases = [hub_name(model.settings.get("backbone")), hub_name(model.words.get("text"))]
    base_models = list(dict.fromkeys(name for name in bases if name))
    extra: dict[str, Any] = {}
    if facts.emissions:
        extra["co2_eq_emissions"] = {"emissions": facts.emissions.grams, "source": facts.emissions.source}
    return ModelCardData(
        license=facts.license or default_license(settings, words, model.has_text),
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=_TAGS,
        base_model=base_models if len(base_models) > 1 else next(iter(base_models), None),
        datasets=list(dict.fromkeys(name for name in (*datasets, *facts.datasets) if name)) or None,
        model_name=facts.repo_id.rpartition("/")[2],
        eval_results=[result for evaluation in evaluations for result in _results(evaluation)] or None,
        **extra,
    )


def converted_front_matter(facts: CardFacts, paper: str) -> ModelCardData:
    """The front matter of a model that was converted from what others published: nothing of training, no figures.

    Args:
        facts: see there.
        paper: of the authors of the weights, `"arXiv:2304.09172"`.
    """
    return ModelCardData(
        license=facts.license or UNKNOWN_LICENSE,
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=[*(tag for tag in _TAGS if not tag.startswith("arxiv:")), paper.lower()],
        datasets=list(dict.fromkeys(facts.datasets)) or None,
        model_name=facts.repo_id.rpartition("/")[2],
    )


def _results(evaluation: Evaluation) -> list[EvalResult]:
    name = data_name(evaluation.data)
    return [
        EvalResult(
            task_type="image-feature-extraction",
            task_name="Hierarchical image retrieval",
            dataset_type=hub_name(evaluation.data) or name.lower().replace(" ", "-"),
            dataset_name=name,
            dataset_split=evaluation.split,
            metric_type=f"{row.headline.path[0]}_{row.headline.figure}",
            metric_name=row.name,
            metric_value=row.entry["value"],
            metric_args={
                key: value for key, value in {"measure": row.measure, **_known(row.entry)}.items() if value is not None
            },
        )
        for row in evaluation.rows()
    ]


def _known(entry: Any) -> dict[str, Any]:
    return {name: entry.get(name) for name in ("low", "high", "chance", "ceiling")}


def called(evaluation: Evaluation) -> str:
    """Data set and split."""
    return f"{data_name(evaluation.data)}, split {evaluation.split}"


def data_name(data: str | None) -> str:
    """A data set as a person calls it; of a folder its last part."""
    if data == "scenes":
        return "embedded scenes"
    return str(hub_name(data) or Path(str(data)).name)
