"""The model as an ONNX graph: pixel_values -> embeds, for any number of images."""

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hf_hyperbolic.encoder import ImageEncoder, normalise
from hf_hyperbolic.export.checkpoint import description
from hf_hyperbolic.extras import need
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel

EXTRA = "onnx"
INPUT = "pixel_values"
# the second is the first once more, under the name that the pipeline of transformers.js looks for
OUTPUTS = ("embeds", "image_embeds")
# protobuf's limit of a file; below it by what the graph itself takes
_LARGEST = 2**31 - 2**24


class _Embeds(nn.Module):
    def __init__(self, model: HyperbolicCLIPVisionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        embeds: Tensor = self.model(pixel_values=pixel_values).embeds
        return embeds


def write_onnx(encoder: ImageEncoder, path: Path) -> None:
    """Writes the graph, its weights inside, with `description(encoder)` in its metadata.

    The exporter is that of torch.export: the one by TorchScript knows no `sinh`.

    Args:
        encoder: of a model of this library, float32 on the CPU.
        path: .onnx file to write.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        ValueError: the weights do not fit into a file of ONNX.
    """
    onnx = need("onnx", EXTRA)
    need("onnxscript", EXTRA)
    assert isinstance(encoder.model, HyperbolicCLIPVisionModel)
    size = sum(tensor.nbytes for tensor in encoder.model.state_dict().values())
    if size > _LARGEST:
        raise ValueError(f"{encoder.name}: its weights take {size / 2**30:.1f} GiB, a file of ONNX holds at most 2")
    # a batch of one would be taken for a constant
    example = torch.zeros(2, 3, encoder.image_size, encoder.image_size)
    with _quiet():
        torch.onnx.export(
            _Embeds(encoder.model).eval(),
            (example,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUTS[0]],
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            external_data=False,
            dynamo=True,
        )
    graph = onnx.load(path)
    _forget_where_it_was_made(graph)
    _repeat_output(onnx, graph)
    onnx.helper.set_model_props(graph, _metadata(encoder))
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def quantise(source: Path, target: Path) -> None:
    """Writes a variant with weights of 8 bits, its activations quantised as they come (dynamically).

    Weights are unsigned where the graph has convolutions, for which runtimes have no signed kernel, else signed.

    Args:
        source: .onnx file.
        target: .onnx file to write.
    """
    onnx = need("onnx", EXTRA)
    quantization = need("onnxruntime.quantization", EXTRA)
    kinds = {node.op_type for node in onnx.load(source, load_external_data=False).graph.node}
    weights = quantization.QuantType.QUInt8 if "Conv" in kinds else quantization.QuantType.QInt8
    with _quiet():
        quantization.quantize_dynamic(source, target, weight_type=weights)


def runtime_embeddings(encoder: ImageEncoder, path: Path, crops: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """(n, size, size, 3) uint8 crops -> (n, D) embeddings by onnxruntime on the CPU."""
    runtime = need("onnxruntime", EXTRA)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = []
    for start in range(0, len(crops), batch_size):
        pixels = torch.from_numpy(crops[start : start + batch_size].transpose(0, 3, 1, 2))
        fed = {INPUT: normalise(pixels, encoder.mean, encoder.std).numpy()}
        found.append(session.run([OUTPUTS[0]], fed)[0])
    return np.concatenate(found)


def _metadata(encoder: ImageEncoder) -> dict[str, str]:
    """Every entry of the description as text, JSON where it is no text."""
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in description(encoder).items()
    }


def _forget_where_it_was_made(graph: Any) -> None:
    """Clears stack traces and the like, which name files of this machine."""
    for part in (graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for tensor in graph.graph.initializer:
        tensor.ClearField("metadata_props")
        tensor.ClearField("doc_string")
    for function in graph.functions:
        for part in (function, *function.node):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
    graph.ClearField("doc_string")


def _repeat_output(onnx: Any, graph: Any) -> None:
    first, second = OUTPUTS
    output = graph.graph.output[0]
    graph.graph.node.append(onnx.helper.make_node("Identity", [first], [second], name=second))
    graph.graph.output.append(output)
    graph.graph.output[1].name = second


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporter and quantiser tell of themselves."""
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
