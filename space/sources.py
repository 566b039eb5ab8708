"""Which model and which index the demo serves: those beside it, those named, or an index that it builds."""

from dataclasses import dataclass
from pathlib import Path

from hf_hyperbolic.retrieval import Index
from hf_hyperbolic.retrieval.index_manifest import MANIFEST

HERE = Path(__file__).resolve().parent
SCENES = 400
THUMBNAILS = 96


class NothingToServeError(ValueError):
    """No model and no index are at hand; the message says how to get them."""


@dataclass(frozen=True)
class Source:
    """
    Attributes:
        index: what is searched, its encoder loaded.
        images: folder that its image names are relative to; None where they are absolute, or did not travel with it.
    """

    index: Index
    images: Path | None


def open_source(model: str | None, index: str | None, images: str | None, work: Path, here: Path = HERE) -> Source:
    """Opens what is to be served, and loads the model.

    Args:
        model: checkpoint folder or name on the Hub; None for `model` beside the app, or else the one the index names.
        index: folder of an index or name of one on the Hub; None for `index` beside the app if no model is named, or
            else one of the embedded scenes' test split, which is built in `work` if it is not there yet.
        images: folder of the index's images; None for `images` beside the app where that is there.
        work: where scenes are drawn and an index is built.
        here: folder of the app.

    Raises:
        NothingToServeError: no model and no index are named or lie beside the app.
        FileNotFoundError, OSError, ModelMismatchError, IndexFileError: as `Index.open` and `Index.encoder`.
    """
    beside = here / "index"
    if index is None and model is None and (beside / MANIFEST).exists():
        index = str(beside)
    if model is None and (here / "model").is_dir():
        model = str(here / "model")
    if index is not None:
        opened = Index.open(index, model)
    elif model is not None:
        opened = _build(model, work)
    else:
        raise NothingToServeError(
            "no model and no index: `make space` trains and builds both, or name a model by --model (MODEL)"
        )
    opened.encoder  # noqa: B018  # loaded now rather than with the first question
    folder = Path(images) if images else here / "images"
    return Source(opened, folder if folder.is_dir() else None)


def _build(model: str, work: Path) -> Index:
    """An index of the embedded scenes' test split by a model, one for each fingerprint."""
    from hf_hyperbolic.data.read import read_source
    from hf_hyperbolic.data.scenes import write_scenes
    from hf_hyperbolic.encoder import ImageEncoder
    from hf_hyperbolic.retrieval.index_build import build_index

    encoder = ImageEncoder.from_pretrained(model)
    folder, scenes = work / f"index-{encoder.fingerprint[:12]}", work / "scenes"
    if (folder / MANIFEST).exists():
        there = Index.open(folder, encoder)
        if there.manifest.sources and not there.manifest.unfinished:
            return there
    write_scenes(scenes, "test", SCENES)
    source = read_source(scenes, "test")
    built = build_index(folder, encoder, source, str(scenes.absolute()), "test", thumbnails=THUMBNAILS)
    return Index.open(built.folder, encoder)
