from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, CLIPModel, ResNetConfig, ResNetForImageClassification, SiglipConfig, SiglipModel

from hf_hyperbolic.vision_backbone import align_weights, load_backbone, model_type, pool

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 16, "patch_size": 8}
TEXT = {**SMALL, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=5)


@pytest.mark.parametrize("name", ["clip", "siglip", "resnet"])
def test_the_vision_part_of_a_checkpoint_is_loaded(name, tmp_path) -> None:
    torch.manual_seed(0)
    source, part = {
        "clip": (lambda: CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT)), "vision_model"),
        "siglip": (lambda: SiglipModel(SiglipConfig(vision_config=VISION, text_config=TEXT)), "vision_model"),
        "resnet": (lambda: ResNetForImageClassification(RESNET), "resnet"),
    }[name]
    model = source().eval()
    model.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path)
    images = torch.randn(2, 3, 16, 16)
    assert not backbone.training
    assert torch.equal(backbone(images).pooler_output, getattr(model, part)(images).pooler_output)


def test_a_checkpoint_without_the_weights_is_refused(tmp_path) -> None:
    RESNET.save_pretrained(tmp_path)
    save_file({"unrelated": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"of the .* weights of a ResNetModel: give a checkpoint with a vision tower"):
        load_backbone(tmp_path)


def test_pooling() -> None:
    grid, tokens, pooled = torch.randn(2, 5, 3, 3), torch.randn(2, 7, 5), torch.randn(2, 5, 1, 1)
    torch.testing.assert_close(pool(SimpleNamespace(last_hidden_state=grid)), grid.flatten(2).sum(-1) / 9)
    torch.testing.assert_close(pool(SimpleNamespace(last_hidden_state=tokens)), tokens.sum(1) / 7)
    assert torch.equal(pool(SimpleNamespace(last_hidden_state=grid, pooler_output=pooled)), pooled[:, :, 0, 0])
    assert torch.equal(pool(SimpleNamespace(pooler_output=pooled[:, :, 0, 0])), pooled[:, :, 0, 0])


def test_weights_at_odd_addresses_are_moved() -> None:
    odd, even = torch.arange(33.0)[1:].view(4, 8), torch.arange(32.0).view(4, 8)
    layer, other = nn.Linear(8, 4, bias=False), nn.Linear(8, 4, bias=False)
    layer.weight.data, other.weight.data = odd, even
    assert layer.weight.data_ptr() % 64
    parameter, address = layer.weight, other.weight.data_ptr()
    align_weights(nn.ModuleList([layer, other]))
    assert layer.weight is parameter
    assert layer.weight.data_ptr() % 64 == 0
    assert torch.equal(layer.weight, odd)
    assert other.weight.data_ptr() == address


def test_model_type_of_a_folder(tmp_path) -> None:
    assert model_type(tmp_path) is None
    RESNET.save_pretrained(tmp_path)
    assert model_type(tmp_path) == "resnet"
