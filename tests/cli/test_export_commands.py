import sys

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel, ResNetConfig

from hf_hyperbolic.cli.main import main


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model, one whose weights are NaN, and one of another kind."""
    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6))
    for name in ("good", "nan"):
        model.save_pretrained(folder / name)
        make_image_processor(16).save_pretrained(folder / name)
        with torch.no_grad():
            model.log_alpha.fill_(float("nan"))
    other = CLIPVisionConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    CLIPVisionModel(other).save_pretrained(folder / "clip")
    return folder


def run(capsys, *words):
    status = main(["export", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.slow
def test_onnx(models, tmp_path, capsys):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    (tmp_path / "images").mkdir()
    for n in range(13):
        Image.new("RGB", (20, 20), (20 * n, 255 - 20 * n, 90)).save(tmp_path / "images" / f"{n}.png")
    words = (models / "good", tmp_path / "out", "--quantize", "--data", tmp_path / "images")
    for _ in range(2):  # an earlier export is replaced
        status, out, _ = run(capsys, "onnx", *words)
        assert status == 0
    lines = out.splitlines()
    assert [line.split(",")[1].strip() for line in lines if "against" in line] == ["random images", "data"] * 2
    assert lines[0].startswith(f"wrote {tmp_path / 'out' / 'onnx' / 'model.onnx'}: ")
    assert "13 embeddings: largest difference" in lines[2]
    assert "% of the top-10 parents kept" in lines[5]


@pytest.mark.slow
def test_sentence_transformers(models, tmp_path, capsys):
    pytest.importorskip("sentence_transformers", minversion="6.2")
    status, out, _ = run(capsys, "sentence-transformers", models / "good", tmp_path / "out", "--direction", "parents")
    assert (status, "similarity by beta, parents" in out) == (0, True)
    assert (tmp_path / "out" / "modules.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("/no/model", "out"), "/no/model: no such folder"),
        (("clip", "out"), "holds a model of type 'clip_vision_model', not one of this library"),
        (("nan", "out"), "its weights hold NaN or infinite values (log_alpha)"),
        (("good", "out", "--split", "val"), "--split is that of --data"),
        (("good", "out", "--crops", "0"), "--crops must be at least 1"),
        (("good", "out", "--data", "/no/source"), "/no/source"),
    ],
)
def test_errors_are_one_line(words, message, models, tmp_path, capsys, monkeypatch):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    places = {name: models / name for name in ("good", "nan", "clip")}
    status, out, err = run(capsys, "onnx", *(places.get(word, word) for word in words))
    assert (status, out, message in err.splitlines()[-1]) == (2, "", True)
    assert err.splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [("onnx", "onnxscript", "onnx"), ("sentence-transformers", "sentence_transformers", "sentence-transformers")],
)
def test_a_missing_extra_is_named(command, package, extra, models, tmp_path, capsys, monkeypatch):
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, sys)
    monkeypatch.setitem(sys.modules, package, None)
    status, _, err = run(capsys, command, models / "good", tmp_path / "out")
    assert status == 2
    assert f'is not installed: pip install "hf-hyperbolic[{extra}]"' in err
    assert package in err
