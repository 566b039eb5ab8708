"""The card of a model that was converted from what others published: `converted_card.md`, without a figure."""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from hf_hyperbolic import __version__
from hf_hyperbolic.converters.meru import PUBLISHED
from hf_hyperbolic.converters.timm_vit import PUBLISHED_HEADS
from hf_hyperbolic.encoder import CONVERSION_FILE
from hf_hyperbolic.hub.card_code import code_table, function_of, imported_packages, modules_of, scoring_functions
from hf_hyperbolic.hub.front_matter import CardFacts, converted_front_matter
from hf_hyperbolic.hub.model_card import curvature_of, markdown_table, parameters_of
from hf_hyperbolic.hub.run import TrainedModel
from hf_hyperbolic.report.numbers import measure_name

TEMPLATE = Path(__file__).with_name("converted_card.md")


def converted_card(model: TrainedModel, facts: CardFacts) -> str:
    """The text of the card with its front matter, from `conversion.json` and the weights.

    Args:
        model: whose `conversion` is not empty.
        facts: see there.

    Raises:
        ValueError: `conversion.json` does not say where the weights came from.
    """
    record = model.conversion
    try:
        source: dict[str, Any] = {
            name: str(record["source"][name]) for name in ("model", "repository", "paper", "file", "sha256")
        }
        measures = {direction: str(record["measures"][direction]) for direction in ("children", "parents")}
        words = {name: str(record[name]) for name in ("general", "specific", "direction", "converted_by")}
        functions = scoring_functions(measures).rstrip()
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{model.folder / CONVERSION_FILE} does not say where the weights came from ({error}): convert them again "
            "by `hf-hyperbolic backbone`"
        ) from error
    config = model.config
    card = ModelCard.from_template(
        converted_front_matter(facts, source["paper"]),
        template_path=str(TEMPLATE),
        title=facts.repo_id.rpartition("/")[2],
        repo_id=facts.repo_id,
        revision=facts.revision,
        source=source,
        command=_command(source, config["backbone_config"]),
        words=words,
        left_out=record.get("left_out"),  # by an earlier version
        has_text=model.has_text,
        tokenizer=model.has_tokenizer,
        curvature=f"{curvature_of(model):.4g}",
        dim=config["projection_dim"],
        backbone=config["backbone_config"]["model_type"],
        millions=f"{parameters_of(model) / 1e6:,.1f}",
        measure=measure_name(measures["parents"]),
        score=function_of(measures["parents"]),
        modules=modules_of(measures.values()),
        functions=functions,
        datasets=list(facts.datasets),
        code=markdown_table(["file", "lines", "SHA-256"], code_table(model.code)),
        packages=", ".join(imported_packages(model.code)),
        conversion_file=CONVERSION_FILE,
        version=__version__,
    )
    return str(card).rstrip() + "\n"


def _command(source: dict[str, str], backbone: dict[str, Any]) -> str:
    """By which it was converted; of a model that this version does not know, with KIND in place of its name."""
    kinds = [kind for kind, published in PUBLISHED.items() if published.name == source["model"]]
    words = ["hf-hyperbolic backbone", kinds[0] if kinds else "KIND", source["file"], "OUT"]
    heads = backbone.get("num_attention_heads")
    if heads != PUBLISHED_HEADS.get(backbone.get("hidden_size", 0)):
        words.append(f"--heads {heads}")
    return " ".join(words)
