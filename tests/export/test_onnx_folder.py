import json

import numpy as np
import pytest
from transformers import AutoConfig, AutoImageProcessor

from hf_hyperbolic.export import onnx_folder
from hf_hyperbolic.export.checkpoint import description, load_checkpoint
from hf_hyperbolic.export.crops import random_crops
from hf_hyperbolic.export.onnx_folder import export_onnx

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

pytestmark = pytest.mark.slow


def test_the_folder(checkpoint, tmp_path):
    encoder = load_checkpoint(checkpoint)
    done = export_onnx(encoder, tmp_path / "out", quantised=True, crops=random_crops(20, 32, seed=3))
    files = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    graphs = {"onnx/model.onnx", "onnx/model_quantized.onnx"}
    assert files == {"config.json", "preprocessor_config.json", *graphs}
    assert set(done.sizes) == set(done.agreement) == graphs
    for graph in graphs:
        whole, data = done.agreement[graph]["random images"], done.agreement[graph]["data"]
        assert (whole.count, whole.kept, data.count) == (16, None, 20)
        assert set(data.kept) == {"children", "parents"}
    exact, eight_bits = (done.agreement[graph]["data"] for graph in sorted(graphs))
    assert exact.largest_difference < 1e-5 < eight_bits.largest_difference
    assert exact.kept["children"] == 1.0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["hyperbolic_retrieval"] == description(encoder)
    assert (config["model_type"], "auto_map" in config) == ("hyperbolic_clip_vision", False)
    assert str(checkpoint.parent) not in json.dumps(config)
    assert AutoConfig.from_pretrained(tmp_path / "out").projection_dim == 16
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    assert (processor.size["height"], processor.do_center_crop, int(processor.resample)) == (32, False, 1)
    assert list(processor.image_mean) == encoder.mean


def test_a_graph_that_differs_is_not_written(checkpoint, tmp_path, monkeypatch):
    there = onnx_folder.runtime_embeddings
    monkeypatch.setattr(onnx_folder, "runtime_embeddings", lambda *words: there(*words) + np.float32(0.01))
    with pytest.raises(ValueError, match=r"differs from torch by .* on random images, more than 0\.0001"):
        export_onnx(load_checkpoint(checkpoint), tmp_path / "out")
    assert not list(tmp_path.iterdir())
