"""A folder as transformers.js and onnxruntime read it, checked before it is there."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from transformers import CLIPImageProcessorPil
from transformers.image_utils import PILImageResampling

from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.export.agreement import Agreement, compare
from hf_hyperbolic.export.checkpoint import description, public_name
from hf_hyperbolic.export.crops import random_crops
from hf_hyperbolic.export.folders import export_written_aside
from hf_hyperbolic.export.onnx_model import EXTRA, quantise, runtime_embeddings, write_onnx
from hf_hyperbolic.extras import need
from hf_hyperbolic.hub.run import as_json, without_paths
from hf_hyperbolic.image_processing import make_image_processor

MODEL, QUANTISED = "onnx/model.onnx", "onnx/model_quantized.onnx"
# of a component, relative beyond 1: see `Agreement`
TOLERANCE = 1e-4
_RANDOM = 16


@dataclass(frozen=True)
class Exported:
    """
    Attributes:
        folder: that was written.
        sizes: of the graphs, bytes by their path in it.
        agreement: of the graphs with the model, by path and then by what was embedded, "random images" or "data".
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    agreement: dict[str, dict[str, Agreement]] = field(default_factory=dict)


def export_onnx(
    encoder: ImageEncoder, folder: str | os.PathLike[str], quantised: bool = False, crops: np.ndarray | None = None
) -> Exported:
    """Writes onnx/model.onnx, config.json and preprocessor_config.json, and compares the graph with the model.

    Args:
        encoder: of a model of this library, float32 on the CPU, as `load_checkpoint` gives it.
        folder: that is not there, is empty, or holds an earlier export, which is replaced.
        quantised: write onnx/model_quantized.onnx too.
        crops: (n, size, size, 3) uint8 of real images to compare on, beside noise; with more than eleven neighbours
            are compared as well.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        FileExistsError: the folder holds something else.
        ValueError: a graph differs from the model by more than `TOLERANCE`: nothing is written then.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        need(module, EXTRA)
    shown = {"random images": random_crops(_RANDOM, encoder.image_size)}
    if crops is not None:
        shown["data"] = crops
    done = Exported(Path(folder))
    with export_written_aside(done.folder, MODEL) as aside:
        (aside / MODEL).parent.mkdir()
        write_onnx(encoder, aside / MODEL)
        if quantised:
            quantise(aside / MODEL, aside / QUANTISED)
        _image_processor(encoder).save_pretrained(aside)
        (aside / "config.json").write_text(as_json(_config(encoder)), encoding="utf-8")
        ours = {name: encoder.encode_crops(seen) for name, seen in shown.items()}
        for graph in (MODEL, QUANTISED) if quantised else (MODEL,):
            done.sizes[graph] = (aside / graph).stat().st_size
            done.agreement[graph] = {}
            for name, seen in shown.items():
                measures = encoder.measures if name == "data" else None
                theirs = runtime_embeddings(encoder, aside / graph, seen)
                found = compare(ours[name], theirs, measures, encoder.curvature)
                done.agreement[graph][name] = found
                if graph == MODEL and found.largest_difference > TOLERANCE:
                    raise ValueError(
                        f"onnxruntime differs from torch by {found.largest_difference:.2g} on {name}, more than "
                        f"{TOLERANCE:g}: nothing was written"
                    )
    return done


def _image_processor(encoder: ImageEncoder) -> CLIPImageProcessorPil:
    """As the model's own, but for the filter: outside a browser transformers.js smooths by its Lanczos filter alone
    before it makes an image smaller, by its bicubic one it skips pixels."""
    processor = make_image_processor(encoder.image_size, encoder.mean, encoder.std)
    processor.resample = PILImageResampling.LANCZOS
    return processor


def _config(encoder: ImageEncoder) -> dict[str, object]:
    """The model's configuration without the code, which does not travel here, and what ranking needs."""
    config = without_paths(encoder.model.config.to_dict())
    config.pop("auto_map", None)
    return {**config, "_name_or_path": public_name(encoder), "hyperbolic_retrieval": description(encoder)}
