"""Everything that a model's repository holds, in one folder."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hf_hyperbolic.hub.converted_card import converted_card
from hf_hyperbolic.hub.evaluations import Evaluation
from hf_hyperbolic.hub.front_matter import CardFacts
from hf_hyperbolic.hub.model_card import model_card
from hf_hyperbolic.hub.run import TrainedModel
from hf_hyperbolic.hub.upload import Kind

CARD, FIGURES = "README.md", "figures"
# with or without a text tower: "hyperbolic_clip" or "hyperbolic_clip_vision"
MODEL = Kind("model", "model", "config.json", '"model_type": "hyperbolic_clip', (f"{FIGURES}/*",))
_COLUMNS = 3


@dataclass(frozen=True)
class Figures:
    """Pictures in the folder, by their path in it; None for one that could not be drawn."""

    training: str | None
    disk: str | None


def write_model_folder(model: TrainedModel, evaluations: Sequence[Evaluation], facts: CardFacts, folder: Path) -> None:
    """Writes what travels: weights, configuration, code, image processor, settings, pictures and card.

    Args:
        model: to be published.
        evaluations: of it.
        facts: what the card says beyond them.
        folder: that is there, and empty.

    Raises:
        OSError: a file cannot be read or written.
    """
    for name, content in model.public_files().items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")
    figures = _write_figures(model, evaluations, folder)
    write_card(model, evaluations, facts, figures, folder)


def write_card(
    model: TrainedModel, evaluations: Sequence[Evaluation], facts: CardFacts, figures: Figures, folder: Path
) -> None:
    """Writes the card alone, for a folder that has the rest; that of a converted model has no figures."""
    if model.conversion:
        text = converted_card(model, facts)
    else:
        text = model_card(model, evaluations, facts, figures.training, figures.disk)
    (folder / CARD).write_text(text, encoding="utf-8")


def figures_in(folder: Path) -> Figures:
    """The pictures that a folder has."""
    names = [f"{FIGURES}/{name}.png" for name in ("training", "poincare_disk")]
    return Figures(*(name if (folder / name).is_file() else None for name in names))


def _write_figures(model: TrainedModel, evaluations: Sequence[Evaluation], folder: Path) -> Figures:
    pictures: dict[str, bytes] = {}
    if model.metrics:
        try:
            curves = _curves(model)
        except ImportError:  # matplotlib comes with the extra `demo`
            curves = None
        if curves:
            pictures["training"] = curves
    disk = next((found.disk for found in evaluations if found.disk), None)
    if disk:
        pictures["poincare_disk"] = disk.read_bytes()
    if pictures:
        (folder / FIGURES).mkdir(exist_ok=True)
    for name, content in pictures.items():
        (folder / FIGURES / f"{name}.png").write_bytes(content)
    return figures_in(folder)


def _curves(model: TrainedModel) -> bytes | None:
    """The panels of the report's training curves, side by side in one picture."""
    from hf_hyperbolic.report.figures import training_curves
    from hf_hyperbolic.report.style import PAPER, to_png

    panels = [Image.open(io.BytesIO(to_png(figure, 120))) for figure in training_curves(model.metrics).values()]
    if not panels:
        return None
    width, height = (max(panel.size[side] for panel in panels) for side in (0, 1))
    columns = min(_COLUMNS, len(panels))
    sheet = Image.new("RGB", (columns * width, -(-len(panels) // columns) * height), PAPER)
    for number, panel in enumerate(panels):
        sheet.paste(panel.convert("RGB"), (number % columns * width, number // columns * height))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()
