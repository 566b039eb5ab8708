"""Frozen layers get no gradient and do not move, whatever mode the model is put into."""

import pytest
import torch
from small_backbones import small_model

from hf_hyperbolic.training.freezing import freeze_backbone, freeze_layers

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def moved_by_a_step(model):
    """Names of the parameters and buffers that a step of training changes."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(pixel_values=PIXELS).embeds.square().sum().backward()
    optimizer.step()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize(
    ("backbone", "frozen", "trained"),
    [
        ("clip", ("embeddings.", "pre_layrnorm.", "encoder.layers.0.", "encoder.layers.1."), "encoder.layers.2."),
        ("resnet", ("embedder.", "encoder.stages.0.", "encoder.stages.1.layers.0."), "encoder.stages.1.layers.1."),
    ],
)
def test_the_first_blocks_stay_as_they_are(backbone, frozen, trained):
    model = small_model(backbone)
    freeze_layers(model, 2)
    moved = moved_by_a_step(model)
    assert not [name for name in moved if name.startswith(tuple(f"backbone.{part}" for part in frozen))]
    rest = {name for name, _ in model.backbone.named_parameters() if name.startswith(trained)}
    assert rest
    # a key's bias adds the same to all of a row, which the softmax takes away again
    assert {f"backbone.{name}" for name in rest if "k_proj.bias" not in name} <= moved
    assert "projection.0.weight" in moved
    if backbone == "resnet":
        assert any("running_mean" in name for name in moved)


def test_all_blocks_may_be_frozen_and_no_more():
    model = small_model("clip")
    freeze_layers(model, 3)
    trained = {name for name, parameter in model.backbone.named_parameters() if parameter.requires_grad}
    assert trained == {"post_layernorm.weight", "post_layernorm.bias"}
    with pytest.raises(ValueError, match=r"--freeze_layers 4 freezes the first 4 blocks.*CLIPVisionModel has 3"):
        freeze_layers(small_model("clip"), 4)


@pytest.mark.parametrize("backbone", ["vit", "resnet"])
def test_of_a_frozen_backbone_the_head_alone_moves(backbone):
    model = small_model(backbone)
    freeze_backbone(model)
    moved = moved_by_a_step(model)
    assert moved
    assert not [name for name in moved if name.startswith("backbone.")]


def test_there_is_no_dropout_in_what_is_frozen():
    model = small_model("vit").train()
    assert not torch.equal(model(pixel_values=PIXELS).pooler_output, model(pixel_values=PIXELS).pooler_output)
    freeze_backbone(model)
    first = model(pixel_values=PIXELS).pooler_output
    assert not first.requires_grad
    model.eval()
    model.train()  # as an evaluation in the middle of training does
    assert torch.equal(first, model(pixel_values=PIXELS).pooler_output)


def test_dropout_of_frozen_blocks_is_off_and_that_of_others_is_on():
    model = small_model("vit").train()
    freeze_layers(model, 2)
    states = [model(pixel_values=PIXELS, output_hidden_states=True).hidden_states for _ in range(2)]
    same = [torch.equal(first, second) for first, second in zip(*states, strict=True)]
    assert same[:3] == [True, True, True]
    assert not same[3]
