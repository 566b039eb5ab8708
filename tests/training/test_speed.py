"""What makes a step faster or smaller changes nothing of it."""

import copy
import shutil
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from transformers import CLIPVisionConfig, ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.gradient_cache import GradientCache
from hf_hyperbolic.training.speed import adamw, speed_up


def vit(dropout: float = 0.0) -> HyperbolicCLIPVisionModel:
    torch.manual_seed(0)
    backbone = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=16, patch_size=8,
        attention_dropout=dropout,
    )  # fmt: skip
    return HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=4)).train()


def gradients(model: HyperbolicCLIPVisionModel, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(pixel_values=pixels).embeds.square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def kept(model: HyperbolicCLIPVisionModel, pixels: torch.Tensor) -> int:
    """Numbers that the forward pass keeps for the backward pass."""
    numbers: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: numbers.update({tensor.data_ptr(): tensor.numel()}) or tensor, lambda tensor: tensor
    ):
        model(pixel_values=pixels)
    return sum(numbers.values())


def test_activations_that_are_recomputed_give_the_same_gradient_and_are_not_kept():
    model = vit()
    pixels = torch.randn(6, 3, 16, 16, generator=torch.manual_seed(1))
    expected, before = gradients(model, pixels), kept(model, pixels)
    assert len(speed_up(model.backbone, TrainArguments(gradient_checkpointing=True))) == 1
    found = gradients(model, pixels)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
    assert kept(model, pixels) < before / 2


def test_with_gradient_caching_the_dropout_of_recomputed_blocks_is_the_same_too():
    pixels = torch.randn(6, 3, 16, 16, generator=torch.manual_seed(1))
    found = []
    for recompute in (False, True):
        model = vit(dropout=0.3)
        speed_up(model.backbone, TrainArguments(gradient_checkpointing=recompute))
        torch.manual_seed(2)
        cache = GradientCache(lambda crops, m=model: m(pixel_values=crops).embeds, model, Accelerator(cpu=True), 2)
        embeds = cache.embed(pixels)
        cache.backward((embeds @ embeds.T).logsumexp(1).sum())
        found.append(model.backbone.get_input_embeddings().weight.grad.clone())
    assert found[0].abs().max() > 0
    assert torch.equal(*found)


def test_below_frozen_blocks_nothing_is_lost():
    pixels = torch.randn(6, 3, 16, 16, generator=torch.manual_seed(1))
    found = []
    for recompute in (False, True):
        model = vit()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("layers.2" in name)
        speed_up(model.backbone, TrainArguments(gradient_checkpointing=recompute))
        found.append(gradients(model, pixels))
    assert len(found[0]) > 5
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_backbone_without_blocks_to_recompute_is_named():
    small = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=small))
    with pytest.raises(ValueError, match=r"ResNetModel has no blocks .* --micro_batch_size"):
        speed_up(model.backbone, TrainArguments(gradient_checkpointing=True))


def test_before_transformers_5_23_it_was_called_otherwise():
    told = []
    backbone = SimpleNamespace(supports_gradient_checkpointing=True, gradient_checkpointing_enable=told.append)
    speed_up(backbone, TrainArguments(gradient_checkpointing=True))
    assert told == [{"use_reentrant": False}]


def test_without_being_asked_it_does_nothing():
    model = vit()
    assert speed_up(model.backbone, TrainArguments()) == []
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.backbone.modules())
    assert model.backbone._compiled_call_impl is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="to compile for a CPU takes a C++ compiler")
def test_a_compiled_backbone_gives_the_gradient_and_leaves_names_and_copies_alone(tmp_path):
    model = vit()
    names = list(model.state_dict())
    batches = [torch.randn(n, 3, 16, 16, generator=torch.manual_seed(n)) for n in (4, 6, 5)]
    expected = [gradients(model, pixels) for pixels in batches]
    assert len(speed_up(model.backbone, TrainArguments(torch_compile=True))) == 1
    for pixels, wanted in zip(batches, expected, strict=True):
        found = gradients(model, pixels)
        assert found.keys() == wanted.keys()
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-3, atol=2e-5)
    assert list(model.state_dict()) == names
    assert copy.deepcopy(model).backbone._compiled_call_impl is None
    model.save_pretrained(tmp_path)
    again = HyperbolicCLIPVisionModel.from_pretrained(tmp_path)
    torch.testing.assert_close(again.eval()(batches[0]).embeds, model.eval()(batches[0]).embeds, rtol=1e-4, atol=1e-6)


def test_adamw_steps_as_torch_has_it():
    found = []
    for make in (adamw, lambda groups, _, **settings: torch.optim.AdamW(groups, **settings)):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = make([{"params": [parameter], "weight_decay": 0.1}], "cpu", lr=0.1, betas=(0.8, 0.9))
        for _ in range(3):
            optimizer.zero_grad()
            parameter.pow(3).sum().backward()
            optimizer.step()
        found.append(parameter.detach())
    assert torch.equal(*found)
    assert not optimizer.defaults["fused"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_fused_optimiser_steps_as_the_plain_one():
    found = []
    for device in ("cpu", "cuda"):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 50, device=device))
        optimizer = adamw([{"params": [parameter]}], torch.device(device), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            parameter.pow(3).sum().backward()
            optimizer.step()
        found.append(parameter.detach().cpu())
    torch.testing.assert_close(*found)
