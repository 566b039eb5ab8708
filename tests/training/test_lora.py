"""Low-rank adapters: what they add, and what is saved of them."""

import sys

import pytest
import torch
from safetensors.torch import load_file
from small_backbones import small_model
from torch import nn

from hf_hyperbolic import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.lora import add_adapters, merged_weights, save_adapters

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_without_peft_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r'peft is not installed: pip install "hf-hyperbolic\[lora\]"'):
        add_adapters(small_model("clip"), 4)


@pytest.fixture
def peft():
    return pytest.importorskip("peft")


def adapted(backbone="clip", **settings):
    model = small_model(backbone).eval()
    names = add_adapters(model, 4, **settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(2))
    return model, names


@torch.no_grad()
def embed(model):
    return model(pixel_values=PIXELS).embeds


def test_they_change_nothing_at_first_and_train_beside_the_head(peft):
    model = small_model("clip").eval()
    before = embed(model)
    names = add_adapters(model, 4)
    assert len(names) == 3 * 6  # four of attention and two of the perceptron in each block
    assert torch.equal(embed(model), before)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if name.startswith("backbone.")} == {
        f"backbone.{name}.lora_{matrix}.default.weight" for name in names for matrix in "AB"
    }
    assert {"projection.0.weight", "log_curvature", "log_temperature"} <= trained


def test_merged_weights_are_those_of_the_formula(peft):
    """W + alpha / r * B A, equation 3 of Hu et al. 2022."""
    plain = small_model("clip")
    model, names = adapted(alpha=12)
    merged, state = merged_weights(model), model.state_dict()
    assert merged.keys() == plain.state_dict().keys()
    for name in names:
        down, up = (state[f"backbone.{name}.lora_{matrix}.default.weight"].double() for matrix in "AB")
        expected = plain.get_parameter(f"backbone.{name}.weight").double() + 12 / 4 * up @ down
        assert torch.allclose(merged[f"backbone.{name}.weight"].double(), expected, atol=1e-6)
        assert not torch.allclose(merged[f"backbone.{name}.weight"], plain.get_parameter(f"backbone.{name}.weight"))


@pytest.mark.parametrize(("backbone", "settings"), [("clip", {}), ("resnet", {"targets": ["convolution"]})])
def test_what_is_saved_is_a_checkpoint_like_any_other(peft, tmp_path, backbone, settings):
    model, _ = adapted(backbone, **settings)
    model.save_pretrained(tmp_path, state_dict=merged_weights(model))
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "lora" in name or "base_layer" in name]
    loaded = HyperbolicCLIPVisionModel.from_pretrained(tmp_path)
    assert (embed(loaded) - embed(small_model(backbone).eval())).abs().max() > 1e-2
    assert torch.allclose(embed(loaded), embed(model), atol=1e-4)


def test_the_adapters_beside_it_are_ones_that_peft_loads(peft, tmp_path):
    model, _ = adapted(base="openai/clip-vit-base-patch16")
    save_adapters(model, tmp_path / "adapter")
    found = peft.PeftModel.from_pretrained(small_model("clip").backbone.eval(), tmp_path / "adapter")
    with torch.no_grad():
        assert torch.allclose(found(PIXELS).pooler_output, model.backbone(PIXELS).pooler_output, atol=1e-6)
    assert found.peft_config["default"].base_model_name_or_path == "openai/clip-vit-base-patch16"


def test_targets_and_frozen_blocks(peft):
    _, names = adapted(targets=["q_proj", "v_proj"], frozen_blocks=2)
    assert names == ["encoder.layers.2.self_attn.q_proj", "encoder.layers.2.self_attn.v_proj"]


def test_targets_that_are_not_there_are_named(peft):
    with pytest.raises(ValueError, match=r"--lora_targets query: .*there is fc1, fc2, k_proj, out_proj, q_proj"):
        add_adapters(small_model("clip"), 4, targets=["query"])
    with pytest.raises(ValueError, match=r"name its convolutions by --lora_targets \(convolution, for a ResNet\)"):
        add_adapters(small_model("resnet"), 4)
