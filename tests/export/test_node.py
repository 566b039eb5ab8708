"""The folder in JavaScript, where there are node and NODE_PATH, a node_modules with @huggingface/transformers."""

import os
import shutil
from pathlib import Path

import pytest

from hf_hyperbolic.export.checkpoint import load_checkpoint
from hf_hyperbolic.export.onnx_folder import export_onnx

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("node") or not (Path(os.environ.get("NODE_PATH", "")) / "@huggingface/transformers").is_dir(),
        reason="needs node, and NODE_PATH with @huggingface/transformers",
    ),
]


def test_embeddings_in_javascript(checkpoint, photographs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import transformers_js

    encoder = load_checkpoint(checkpoint)
    export_onnx(encoder, tmp_path / "out", quantised=True)
    for runtime in transformers_js.RUNTIMES:
        assert transformers_js.through_runtime(encoder, tmp_path / "out", "fp32", runtime).largest_difference < 1e-4
    assert transformers_js.through_runtime(encoder, tmp_path / "out", "q8", "onnxruntime-node").least_cosine > 0.9
    files = sorted(photographs.glob("*.png"))
    for dtype in ("fp32", "q8"):
        found = transformers_js.through_transformers(encoder, tmp_path / "out", dtype, files)
        assert found.count == len(files)
        assert found.mean_cosine > 0.95
    with pytest.raises(RuntimeError, match="nowhere"):
        transformers_js.ask(tmp_path / "nowhere", dtype="fp32", images=[str(files[0])])
