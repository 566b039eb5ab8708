"""The model card: `model_card.md`, filled in from the files of a run. What is not known is left out or said so."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from safetensors import safe_open

from hf_hyperbolic import __version__
from hf_hyperbolic.encoder import ranking_measures
from hf_hyperbolic.hub.card_code import (
    code_table,
    function_of,
    imported_packages,
    modules_of,
    scoring_functions,
)
from hf_hyperbolic.hub.evaluations import Evaluation
from hf_hyperbolic.hub.front_matter import CardFacts, called, front_matter
from hf_hyperbolic.hub.run import TrainedModel, hub_name, public_settings
from hf_hyperbolic.report.numbers import measure_name
from hf_hyperbolic.training.arguments import IMMATERIAL, TrainArguments
from hf_hyperbolic.training.backbones import FROM_SCRATCH
from hf_hyperbolic.training.class_phrases import phrase_of
from hf_hyperbolic.training.text_arguments import TextArguments
from hf_hyperbolic.training.text_tower import FROM_SCRATCH as TEXT_FROM_SCRATCH

TEMPLATE = Path(__file__).with_name("model_card.md")


def model_card(
    model: TrainedModel,
    evaluations: Sequence[Evaluation],
    facts: CardFacts,
    training: str | None = None,
    disk: str | None = None,
) -> str:
    """The text of the card with its front matter.

    Args:
        model: that it is of.
        evaluations: of it; where there are none the card says so.
        facts: see there.
        training: path in the repository of the picture of the training curves.
        disk: of the picture of the Poincare disk.

    Raises:
        ValueError: a file of the run is damaged.
    """
    settings, config = public_settings(model.settings), model.config
    hyperbolic = config["geometry"] == "lorentz"
    measures = ranking_measures(settings, config["geometry"])
    limits = [*_own_limits(settings, model.words)]
    for evaluation in evaluations[:1]:
        limits += evaluation.limits(settings)
    with_disk = next((found for found in evaluations if found.disk), None)
    card = ModelCard.from_template(
        front_matter(model, evaluations, facts),
        template_path=str(TEMPLATE),
        title=facts.repo_id.rpartition("/")[2],
        repo_id=facts.repo_id,
        revision=facts.revision,
        hyperbolic=hyperbolic,
        space="hyperbolic" if hyperbolic else "Euclidean",
        curvature=f"{curvature_of(model):.3f}" if hyperbolic else None,
        dim=config["projection_dim"],
        children_words=measure_name(measures["children"]),
        parents_words=measure_name(measures["parents"]),
        children=function_of(measures["children"]),
        parents=function_of(measures["parents"]),
        modules=modules_of(measures.values()),
        functions=scoring_functions(measures).rstrip(),
        proxies=config.get("num_proxies", 0),
        tokenizer=model.has_tokenizer,
        phrase=_phrase(model),
        names=_has_names(model.words),
        captions=bool(model.words.get("captions")),
        context=settings.get("context"),
        what=_what(model, settings),
        evaluations=[_section(evaluation) for evaluation in evaluations],
        left_out="; ".join(facts.left_out),
        disk=disk if with_disk else None,
        disk_of=called(with_disk) if with_disk else None,
        recipe=" ".join([_recipe(model, settings), *_words(model)]),
        changed=_changed(settings),
        changed_known=bool(settings),
        training=training,
        emissions=facts.emissions,
        data=_data(model, settings, facts),
        limits=limits,
        code=markdown_table(["file", "lines", "SHA-256"], code_table(model.code)),
        packages=", ".join(imported_packages(model.code)),
        version=__version__,
    )
    return str(card).rstrip() + "\n"


def curvature_of(model: TrainedModel) -> float:
    """c of the hyperboloid of curvature -c, from the weights, without loading the model."""
    for file in model.weights:
        with safe_open(file, framework="pt") as tensors:
            if "log_curvature" in tensors.keys():  # noqa: SIM118 - no mapping
                low, high = model.config["curvature_bounds"]
                return min(max(tensors.get_tensor("log_curvature").double().exp().item(), low), high)
    raise ValueError(f"{model.folder} has no curvature among its weights: is it whole?")


def parameters_of(model: TrainedModel) -> int:
    """How many numbers the weights hold."""
    total = 0
    for file in model.weights:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                count = 1
                for side in tensors.get_slice(name).get_shape():
                    count *= side
                total += count
    return total


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _section(evaluation: Evaluation) -> dict[str, str]:
    counts, measures = evaluation.counts, evaluation.measures[evaluation.main]
    about = (
        f"{counts['images']:,} images with {counts['boxes']:,} boxes of {counts['classes']:,} classes. From a whole to "
        f"its parts by {measure_name(measures['children'])}, from a part to its wholes by "
        f"{measure_name(measures['parents'])}; pairs are told by {measure_name(measures['pairs'])}."
    )
    if evaluation.chosen_on_it:
        about += " **The model was chosen among its checkpoints on this very split**, which flatters it a little."
    about += f" Made by `{evaluation.command}`."
    head = ["figure", "value", "95 % interval", "chance", "best possible", *evaluation.others]
    return {
        "title": called(evaluation)[0].upper() + called(evaluation)[1:],
        "about": about,
        "table": markdown_table(head, [row.cells() for row in evaluation.rows()]),
    }


def _what(model: TrainedModel, settings: dict[str, Any]) -> str:
    config = model.config
    millions = parameters_of(model) / 1e6
    parts = [
        f"The backbone is a {config['backbone_config']['model_type']}; a projection takes its pooled feature to "
        f"{config['projection_dim']} dimensions ({millions:,.1f} million numbers in all)."
    ]
    if settings.get("image_size"):
        parts.append(f"It sees images and boxes squeezed to {settings['image_size']} x {settings['image_size']} px."
                     if settings.get("crop_mode", "resize") == "resize"
                     else f"It sees images and boxes padded to a square of {settings['image_size']} px.")  # fmt: skip
    return " ".join(parts)


def _recipe(model: TrainedModel, settings: dict[str, Any]) -> str:
    if not settings:
        return "Nothing is known of how it was trained: its run left no `arguments.json`."
    known = {entry.name for entry in fields(TrainArguments)}
    lines = ["`training/train.py` of hf_hyperbolic; `arguments.json` holds its settings."]
    if {"backbone", "loss", "max_steps", "scenes_per_batch", "boxes_per_scene", "seed"} <= set(settings):
        start = "from scratch" if settings["backbone"] in FROM_SCRATCH else "from its weights, where it has any"
        crops = settings["scenes_per_batch"] * (1 + settings["boxes_per_scene"])
        lines = [
            f"`training/train.py` of hf_hyperbolic, backbone `{settings['backbone']}` {start}, loss "
            f"`{settings['loss']}`, {settings['max_steps']:,} steps of up to {crops:,} crops, seed {settings['seed']}."
        ]
    if model.chosen == "best":
        lines.append("Of the checkpoints that validation looked at it is the best by the validation figure.")
    elif model.chosen == "final":
        lines.append("It is the model after the last step, not chosen among checkpoints.")
    if unknown := sorted(set(settings) - known):
        lines.append(f"Settings of another version: {', '.join(f'`{name}`' for name in unknown)}.")
    return " ".join(lines)


def _phrase(model: TrainedModel) -> str:
    """One that the text tower has learnt, as far as the configuration names a class and captions speak of streets."""
    if not _has_names(model.words):
        return "a street"
    name = phrase_of(model.config["id2label"]["0"]) if model.config.get("num_proxies") else "wheel"
    return f"the {name}"


def _has_names(words: dict[str, Any]) -> bool:
    """Whether the text tower was taught the names of classes, as it is unless captions alone were asked for."""
    return bool(words.get("names", True))


def _words(model: TrainedModel) -> list[str]:
    """How the text tower was trained."""
    words = public_settings(model.words)
    if not model.has_text:
        return []
    if not words:
        return ["How its text tower was trained is not known."]
    own = words["text"] in TEXT_FROM_SCRATCH
    tower = f"Its text tower, `{words['text']}` {'from scratch' if own else 'from its weights'},"
    if "run" not in words:
        return [f"{tower} was trained with the images, on {_learnt(words, 'the names of their classes')}."]
    data = f" of `{words['data']}`" if words.get("data") else ""
    learnt = _learnt(words, "the names of the classes")
    return [
        f"{tower} was fitted by `training/add_text.py` once the images were learnt, to {learnt}{data}; "
        f"`{TextArguments.FILE}` holds its settings."
    ]


def _learnt(words: dict[str, Any], names: str) -> str:
    """What the text tower was trained on, `names` being how those of the classes are called."""
    named = [names] if _has_names(words) else []
    return " and ".join([*named, *(["captions"] if words.get("captions") else [])])


def _changed(settings: dict[str, Any]) -> str:
    if not settings:
        return ""
    defaults = TrainArguments()
    leave = IMMATERIAL | {"cpu"}
    rows = [
        [f"`{entry.name}`", f"`{settings[entry.name]}`", f"`{getattr(defaults, entry.name)}`"]
        for entry in fields(TrainArguments)
        if entry.name in settings and entry.name not in leave and settings[entry.name] != getattr(defaults, entry.name)
    ]
    return markdown_table(["setting", "here", "default"], rows) if rows else ""


def _data(model: TrainedModel, settings: dict[str, Any], facts: CardFacts) -> str:
    given = settings.get("data")
    listed = ", ".join(f"[{name}](https://huggingface.co/datasets/{name})" for name in facts.datasets)
    if given == "scenes":
        count = f"{settings['train_scenes']:,} " if "train_scenes" in settings else ""
        text = (
            f"The embedded scenes of hf_hyperbolic: {count}drawn pictures with boxes of objects, "
            "their parts, and parts of parts. Each is drawn from its number, so they can be drawn again "
            "(`python -m hf_hyperbolic.data.scenes --help`). There are no photographs among them."
        )
    elif found := hub_name(model.settings.get("data")):
        text = f"[{found}](https://huggingface.co/datasets/{found})."
    elif given:
        text = f"A data set that lay in a folder `{given}`" + (
            f": {listed}." if listed else "; no more is stated here."
        )
        listed = ""
    else:
        text = "Not stated."
    if listed:
        text += f" Also: {listed}."
    if given and "threshold" in settings:
        text += (
            f" A box is a part of a larger one where {100 * settings['threshold']:g} % of it lie inside; the full "
            "image is the root. No relation was annotated by hand."
        )
    return text


def _own_limits(settings: dict[str, Any], words: dict[str, Any]) -> list[str]:
    found = []
    if words.get("text") in TEXT_FROM_SCRATCH:
        found.append(
            f"Its tokenizer knows the words of the {_learnt(words, 'class names')} it was trained with alone. "
            "hf_hyperbolic refuses any other; to transformers alone all others are one and the same unknown word."
        )
    if settings.get("data") == "scenes":
        found.append("It was trained on drawings and has seen no photograph.")
    found.append("It embeds and ranks. It finds no boxes, and names no class beyond those of its training, if any.")
    return found
