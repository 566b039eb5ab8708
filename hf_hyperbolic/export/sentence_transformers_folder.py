"""A folder that `SentenceTransformer` loads."""

import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.dynamic_module_utils import get_relative_import_files

import hf_hyperbolic
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.export.agreement import Agreement, compare
from hf_hyperbolic.export.crops import random_crops
from hf_hyperbolic.export.folders import export_written_aside
from hf_hyperbolic.extras import need
from hf_hyperbolic.hub.run import as_json, read_json, without_paths
from hf_hyperbolic.image_processing import make_image_processor
from hf_hyperbolic.retrieval.measures import DIRECTIONS

EXTRA, MARK = "sentence-transformers", "modules.json"
MODULE, CLASS = "sentence_transformers_hyperbolic", "HyperbolicImageModule"
_RANDOM = 16


def export_sentence_transformers(
    encoder: ImageEncoder, folder: str | os.PathLike[str], direction: str = "children"
) -> Agreement:
    """Writes the model with its code, loads it back by sentence-transformers, and compares embeddings.

    Args:
        encoder: of a model of this library, as `load_checkpoint` gives it.
        folder: that is not there, is empty, or holds an earlier export, which is replaced.
        direction: that `similarity` looks in: "children" where its first argument holds wholes, or "parents".

    Returns:
        How far the embeddings of random images are from the model's own.

    Raises:
        ImportError: sentence-transformers is not installed.
        FileExistsError: the folder holds something else.
        ValueError: an unknown direction, or embeddings that are not the model's: nothing is written then.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"unknown direction {direction!r}: choose one of {', '.join(DIRECTIONS)}")
    sentence_transformers = need_sentence_transformers()
    module_class = getattr(importlib.import_module(f"hf_hyperbolic.{MODULE}"), CLASS)
    # the command line leaves this to whoever needs it: with it the configuration names the code
    hf_hyperbolic.HyperbolicCLIPVisionModel.register_for_auto_class("AutoModel")
    processor = make_image_processor(encoder.image_size, encoder.mean, encoder.std)
    with export_written_aside(Path(folder), MARK) as aside:
        module_class(encoder.model, processor, encoder.measures, direction).save(str(aside))
        _write_code(aside)
        _write_text(aside / "config.json", as_json(without_paths(read_json(aside / "config.json"))))
        _write_text(aside / "config_sentence_transformers.json", as_json(_settings(sentence_transformers)))
        _write_modules(aside)
        crops = random_crops(_RANDOM, encoder.image_size)
        loaded = sentence_transformers.SentenceTransformer(modules=[module_class.load(str(aside))], device="cpu")
        theirs = loaded.encode([Image.fromarray(crop) for crop in crops], show_progress_bar=False)
        found = compare(encoder.encode_crops(crops), np.asarray(theirs))
        if found.largest_difference > 1e-5:
            raise ValueError(f"the export embeds otherwise than the model ({found}): nothing was written")
    return found


def need_sentence_transformers() -> Any:
    """The package, or an ImportError that names what to install; so too where it is older than its module hooks."""
    package = need("sentence_transformers", EXTRA)
    modules = need("sentence_transformers.base.modules", EXTRA)
    if not hasattr(modules.InputModule, "on_model_ready"):
        raise ImportError(
            f"sentence-transformers {package.__version__} cannot be given a similarity: "
            f'pip install "hf-hyperbolic[{EXTRA}]"'
        )
    return package


def _write_code(folder: Path) -> None:
    """The module and all that it imports, flat."""
    module = Path(__file__).parents[1] / f"{MODULE}.py"
    for file in (module, *map(Path, get_relative_import_files(module))):
        shutil.copyfile(file, folder / file.name)


def _write_modules(folder: Path) -> None:
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{MODULE}.{CLASS}"}]
    _write_text(folder / MARK, json.dumps(modules, indent=2) + "\n")


def _settings(package: Any) -> dict[str, Any]:
    import transformers

    versions = {
        "sentence_transformers": package.__version__,
        "transformers": transformers.__version__,
        "pytorch": torch.__version__,
    }
    return {"model_type": "SentenceTransformer", "__version__": versions, "prompts": {}, "default_prompt_name": None}


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
