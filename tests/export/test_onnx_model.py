import json

import numpy as np
import pytest
import torch
from small_models import SIZE, save, small_model

from hf_hyperbolic.export import onnx_model
from hf_hyperbolic.export.checkpoint import description, load_checkpoint
from hf_hyperbolic.export.crops import random_crops
from hf_hyperbolic.export.onnx_model import quantise, runtime_embeddings, write_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

KINDS = {
    "resnet": ("resnet", {}),
    "clip": ("clip", {"projection_layers": 2}),
    "euclidean": ("resnet", {"geometry": "euclidean", "projection_norm": "batchnorm"}),
}


@pytest.fixture(scope="module", params=list(KINDS))
def exported(request, tmp_path_factory):
    """An encoder and the graph made of it."""
    backbone, fields = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    model = small_model(backbone, **fields)
    if fields.get("projection_norm"):
        model.tangent_norm.running_mean += 0.1
        model.tangent_norm.running_var *= 2
    save(model, folder, context=0.25)
    encoder = load_checkpoint(folder)
    write_onnx(encoder, folder / "model.onnx")
    return encoder, folder / "model.onnx"


@pytest.mark.slow
def test_the_graph_embeds_as_the_model(exported):
    encoder, path = exported
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["pixel_values"]
    for count in (1, 3, 8):
        pixels = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            ours = encoder.model(pixel_values=pixels).embeds.numpy()
        embeds, again = session.run(["embeds", "image_embeds"], {"pixel_values": pixels.numpy()})
        assert (embeds.shape, embeds.dtype) == ((count, 16), np.float32)
        assert np.abs(ours).max() > 0.1
        np.testing.assert_allclose(embeds, ours, atol=1e-5, rtol=1e-5)
        assert np.array_equal(again, embeds)
    crops = random_crops(5, SIZE)
    assert np.allclose(runtime_embeddings(encoder, path, crops, batch_size=2), encoder.encode_crops(crops), atol=1e-5)

    # metadata
    told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    expected = description(encoder)
    assert set(told) == set(expected)
    assert json.loads(told["curvature"]) == expected["curvature"]
    assert json.loads(told["measures"]) == expected["measures"]
    assert json.loads(told["preprocessing"]) == expected["preprocessing"]
    # nothing of this machine
    content = path.read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content
    assert not list(path.parent.glob("*.data"))

    # quantised
    target = path.with_name("model_quantized.onnx")
    quantise(path, target)
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    assert "MatMulInteger" in kinds
    assert ("ConvInteger" in kinds) == ("Conv" in {node.op_type for node in onnx.load(path).graph.node})
    eight_bits = runtime_embeddings(encoder, target, crops)
    cosines = torch.cosine_similarity(torch.tensor(eight_bits), torch.tensor(encoder.encode_crops(crops)))
    assert 0.9 < cosines.min() < 1 - 1e-7


def test_weights_that_do_not_fit(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_model, "_LARGEST", 1000)
    with pytest.raises(ValueError, match="a file of ONNX holds at most 2"):
        write_onnx(load_checkpoint(checkpoint), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
