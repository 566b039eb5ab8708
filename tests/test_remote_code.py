"""A checkpoint carries its code: it loads where this package cannot be imported, from a folder or the Hub's cache."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from blocked_package import BLOCK_THE_PACKAGE
from PIL import Image
from safetensors.torch import load_file
from text_models import text_model, tokenizer
from transformers import CLIPVisionConfig, ResNetConfig, pipeline

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
from hf_hyperbolic.phrases import encode_phrases, save_processors

CODE = {
    "modeling_hyperbolic_clip.py",
    "configuration_hyperbolic_clip.py",
    "lorentz.py",
    "euclidean.py",
    "pairwise_angle.py",
    "vision_backbone.py",
}


def small_model(backbone: str = "clip", **fields) -> HyperbolicCLIPVisionModel:
    torch.manual_seed(0)
    config = {
        "clip": CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    }[backbone]
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(config, **fields)).eval()
    with torch.no_grad():
        model.log_curvature.add_(0.3)
    return model


def save(model: HyperbolicCLIPVisionModel, folder: Path) -> None:
    model.save_pretrained(folder)
    make_image_processor(32).save_pretrained(folder)


def photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8))


def embed_here(model: HyperbolicCLIPVisionModel) -> torch.Tensor:
    with torch.no_grad():
        return model(**make_image_processor(32)(photograph(), return_tensors="pt")).embeds


def run_without_the_package(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs a script elsewhere, offline, with caches of its own, where importing this package fails."""
    photograph().save(folder / "photograph.png")
    variables = {
        **os.environ,
        "HF_HOME": str(folder / "hf"),
        "HF_MODULES_CACHE": str(folder / "modules"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),  # sums in another order would not be bit-equal
        "CUDA_VISIBLE_DEVICES": "",
        **environment,
    }
    variables.pop("PYTHONPATH", None)
    code = BLOCK_THE_PACKAGE + textwrap.dedent(script) + '\nassert "hf_hyperbolic" not in sys.modules\n'
    result = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, env=variables, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result


EMBED = """
    import torch
    from PIL import Image
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    model = AutoModel.from_pretrained({name!r}, trust_remote_code=True)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    processor = AutoImageProcessor.from_pretrained({name!r})
    with torch.no_grad():
        out = model(**processor(Image.open("photograph.png"), return_tensors="pt"))
    save_file({{"embeds": out.embeds, "curvature": model.curvature.detach()}}, "out.safetensors")
"""


def test_the_code_travels_and_names_no_absolute_import(tmp_path) -> None:
    save(small_model(), tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == CODE
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map == {
        "AutoConfig": "configuration_hyperbolic_clip.HyperbolicCLIPVisionConfig",
        "AutoModel": "modeling_hyperbolic_clip.HyperbolicCLIPVisionModel",
    }
    for path in tmp_path.glob("*.py"):
        assert "import hf_hyperbolic" not in path.read_text()
        assert "from hf_hyperbolic" not in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "fields"),
    [("clip", {}), ("resnet", {"projection_norm": "batchnorm"}), ("clip", {"geometry": "euclidean"})],
)
def test_bit_equal_where_the_package_cannot_be_imported(backbone, fields, tmp_path) -> None:
    model = small_model(backbone, **fields)
    save(model, tmp_path / "model")
    # a second save from the process that only has the remote code must carry it on
    script = EMBED.format(name=str(tmp_path / "model")) + '    model.save_pretrained("again")\n'
    run_without_the_package(script, tmp_path)
    out = load_file(tmp_path / "out.safetensors")
    assert torch.equal(out["embeds"], embed_here(model))
    assert torch.equal(out["curvature"], model.curvature.detach())
    assert {path.name for path in (tmp_path / "again").glob("*.py")} == CODE
    again = HyperbolicCLIPVisionModel.from_pretrained(tmp_path / "again")
    assert torch.equal(embed_here(again), embed_here(model))


@pytest.mark.slow
def test_a_text_tower_travels_too(tmp_path) -> None:
    model = text_model()
    model.save_pretrained(tmp_path / "model")
    save_processors(tmp_path / "model", make_image_processor(32), tokenizer())
    assert {path.name for path in (tmp_path / "model").glob("*.py")} == CODE | {"modeling_hyperbolic_clip_text.py"}
    script = """
        import torch
        from PIL import Image
        from safetensors.torch import save_file
        from transformers import AutoModel, AutoProcessor

        model = AutoModel.from_pretrained("model", trust_remote_code=True)
        assert type(model).__name__ == "HyperbolicCLIPModel", type(model)
        assert type(model).__module__.startswith("transformers_modules."), type(model)
        processor = AutoProcessor.from_pretrained("model")
        inputs = processor(
            text=["a wheel", "the street lamp"], images=[Image.open("photograph.png")], padding=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            out = model(**inputs)
        save_file({"embeds": out.embeds, "text": out.text_embeds}, "out.safetensors")
        model.save_pretrained("again")
    """
    run_without_the_package(script, tmp_path)
    out = load_file(tmp_path / "out.safetensors")
    assert torch.equal(out["embeds"], embed_here(model))
    phrases = encode_phrases(model, tokenizer(), ["a wheel", "the street lamp"])
    assert torch.equal(out["text"], torch.from_numpy(phrases))
    again = HyperbolicCLIPVisionModel.from_pretrained(tmp_path / "again")
    assert torch.equal(embed_here(again), embed_here(model))


@pytest.mark.slow
def test_from_the_hub_cache_offline(tmp_path) -> None:
    model = small_model()
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hf" / "hub" / "models--me--hyperbolic"
    save(model, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    run_without_the_package(EMBED.format(name="me/hyperbolic"), tmp_path)
    assert torch.equal(load_file(tmp_path / "out.safetensors")["embeds"], embed_here(model))


@pytest.mark.slow
def test_bfloat16_and_pipeline_where_the_package_cannot_be_imported(tmp_path) -> None:
    model = small_model()
    save(model, tmp_path / "model")
    script = """
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModel, pipeline

        extract = pipeline("image-feature-extraction", model="model", trust_remote_code=True)
        save_file({"embeds": extract("photograph.png", return_tensors=True)}, "out.safetensors")
        half = AutoModel.from_pretrained("model", trust_remote_code=True, dtype=torch.bfloat16)
        assert (half.dtype, half.log_curvature.dtype) == (torch.bfloat16, torch.float32)
        assert half(torch.zeros(1, 3, 32, 32)).embeds.dtype == torch.float32
    """
    run_without_the_package(script, tmp_path)
    assert torch.equal(load_file(tmp_path / "out.safetensors")["embeds"], embed_here(model))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pipeline(dtype, tmp_path) -> None:
    model = small_model()
    save(model, tmp_path)
    extract = pipeline("image-feature-extraction", model=str(tmp_path), dtype=dtype, device="cpu")
    assert extract.model.dtype == dtype
    embeds = extract(photograph(), return_tensors=True)
    assert (embeds.shape, embeds.dtype) == ((1, 128), torch.float32)
    if dtype == torch.float32:
        assert torch.equal(embeds, embed_here(model))
    else:
        assert torch.nn.functional.cosine_similarity(embeds, embed_here(model)).item() > 0.99
    assert len(extract([photograph(), photograph()])) == 2
    pooled = extract(photograph(), pool=True, return_tensors=True)
    assert pooled.shape == (1, 32)
