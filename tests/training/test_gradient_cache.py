"""Gradient caching against a graph of the whole batch."""

import copy
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from gradient_processes import COUNT, crops, embed, make_model, relations, step
from transformers import ResNetConfig

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.losses import PairMasks, angle_loss
from hf_hyperbolic.training.freezing import freeze_backbone, freeze_layers
from hf_hyperbolic.training.gradient_cache import GradientCache, RandomState, batch_norms


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


@pytest.fixture
def half_precision():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True, mixed_precision="bf16")
    AcceleratorState._reset_state(reset_partial_state=True)


def loss_on(model, embeds):
    return angle_loss(embeds, PairMasks(*relations().block()), model.curvature, model.temperature, upward="beta").loss


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def with_graph(model, inputs, parts, accelerator):
    """Loss and gradients of embedding `parts` parts, their graphs kept; what caching has to equal."""
    model.zero_grad()
    with accelerator.autocast():
        embeds = torch.cat([embed(model, part) for part in inputs.tensor_split(parts)])
    loss = loss_on(model, embeds)
    loss.backward()
    return loss.detach(), gradients(model)


def cached(model, inputs, size, accelerator):
    model.zero_grad()
    cache = GradientCache(partial(embed, model), model, accelerator, size)
    loss = loss_on(model, cache.embed(inputs))
    cache.backward(loss)
    return loss.detach(), gradients(model)


def assert_same(found, expected, rtol=1e-7, atol=1e-10):
    torch.testing.assert_close(found[0], expected[0], rtol=rtol, atol=atol)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=rtol, atol=atol, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("size", [1, 2, 4, 10, COUNT, 100])
@pytest.mark.parametrize("tile", [0, 4])
def test_gradients_of_all_parameters_are_those_of_the_whole_batch(accelerator, size, tile):
    """Backbone, projection, curvature, temperature and class proxies; whatever the size of a part."""
    expected = step(make_model(), accelerator)
    found = step(make_model(), accelerator, micro_batch_size=size, loss_tile=tile)
    assert {"log_curvature", "log_temperature", "class_proxies", "projection.0.weight"} < found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")


def test_dropout_is_the_same_in_both_passes(accelerator):
    model = make_model(dropout=0.4)
    torch.manual_seed(5)
    expected = with_graph(model, crops(), 3, accelerator)
    after = torch.get_rng_state()
    torch.manual_seed(6)
    other = with_graph(model, crops(), 3, accelerator)
    assert (other[0] - expected[0]).abs() > 1e-3, "no dropout is active: this would be vacuous"
    torch.manual_seed(5)
    assert_same(cached(model, crops(), 4, accelerator), expected)
    assert torch.equal(torch.get_rng_state(), after), "the second pass must not draw on"


def resnet():
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    config = HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6, projection_norm="batchnorm")
    return HyperbolicCLIPVisionModel(config).double().train()


def test_batch_statistics_are_of_a_part_and_move_once_for_each(accelerator):
    model = resnet()
    assert len(batch_norms(model)) > 4
    start = copy.deepcopy(model.state_dict())
    expected = with_graph(model, crops(), 3, accelerator)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    model.load_state_dict(start)
    assert_same(cached(model, crops(), 4, accelerator), expected)
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, buffers[name], msg=lambda text, n=name: f"{n}: {text}")
    counts = {value.item() for name, value in model.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {3}
    assert all(norm.track_running_stats for norm in batch_norms(model))
    model.load_state_dict(start)
    whole = with_graph(model, crops(), 1, accelerator)
    assert (whole[0] - expected[0]).abs() > 1e-3, "statistics of parts are another model: the help says so"


def statistics_used(model):
    """Names of the normalising layers whose running statistics a pass in training mode moves."""
    before = {name: value.clone() for name, value in model.named_buffers() if name.endswith("running_mean")}
    with torch.no_grad():
        embed(model.train(), crops())
    return {name for name, value in before.items() if not torch.equal(value, model.get_buffer(name))}


@pytest.mark.parametrize("blocks", [1, 2, None])
def test_frozen_layers_have_no_batch_statistics(blocks):
    """Found before the first forward pass, as training/train.py asks for them."""
    model = resnet()
    everything = len(batch_norms(model))
    if blocks is None:
        freeze_backbone(model)
    else:
        freeze_layers(model, blocks)
    names = {norm: f"{name}.running_mean" for name, norm in model.named_modules()}
    found = {names[norm] for norm in batch_norms(model)}
    assert found == statistics_used(model)
    assert 0 < len(found) < everything


def test_a_part_of_one_crop_is_refused_for_what_is_trained_alone(accelerator):
    model = resnet()
    freeze_backbone(model)
    with pytest.raises(ValueError, match="single crop"):
        GradientCache(lambda part: part, model, accelerator, 1)  # the head has batch statistics too
    model.tangent_norm = torch.nn.Identity()
    expected = with_graph(model, crops(), COUNT, accelerator)
    assert_same(cached(model, crops(), 1, accelerator), expected)


def test_a_frozen_layer_without_running_statistics_still_normalises_by_the_batch():
    model = resnet()
    freeze_backbone(model)
    norm = next(module for module in model.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.running_mean = norm.running_var = None
    assert batch_norms(model) == [norm, model.tangent_norm]


def test_autocast_is_the_same_in_both_passes(half_precision):
    model = make_model().float()
    expected = with_graph(model, crops(), 3, half_precision)
    found = cached(model, crops(), 4, half_precision)
    assert torch.equal(found[0], expected[0])
    for name, gradient in expected[1].items():
        # a graph of all parts adds their gradients up in half precision
        assert (found[1][name] - gradient).norm() <= 1e-2 * gradient.norm() + 1e-5, name
    model.zero_grad()
    exact = loss_on(model, embed(model, crops()))
    assert exact.item() != expected[0].item(), "nothing was computed in half precision: this would be vacuous"


def test_within_an_outer_autocast_weights_still_get_a_gradient(half_precision):
    """As in training/train.py: weights that autocast has cast without graph must not be used in the second pass."""
    model = make_model().float()
    cache = GradientCache(partial(embed, model), model, half_precision, 4)
    with half_precision.autocast():
        embeds = cache.embed(crops())
    cache.backward(loss_on(model, embeds))
    assert all(gradients(model)[f"backbone.{name}"].abs().max() > 0 for name, p in model.backbone.named_parameters()
               if p.requires_grad and name.endswith("weight"))  # fmt: skip


def test_no_graph_of_the_batch_is_kept_and_one_part_is_held_at_a_time(accelerator):
    model, kept, sizes = make_model(), [], []

    def noted(part):
        sizes.append((len(part), torch.is_grad_enabled()))
        return embed(model, part)

    cache = GradientCache(noted, model, accelerator, 4)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(1) or tensor, lambda tensor: tensor):
        embeds = cache.embed(crops())
    assert not kept
    assert embeds.is_leaf
    cache.backward(loss_on(model, embeds))
    assert sizes == [(4, False), (4, False), (3, False), (4, True), (4, True), (3, True)]


def test_gradients_add_to_those_that_are_there(accelerator):
    model = make_model()
    _, once = cached(model, crops(), 4, accelerator)
    once = {name: gradient.clone() for name, gradient in once.items()}
    cache = GradientCache(partial(embed, model), model, accelerator, 4)
    cache.backward(loss_on(model, cache.embed(crops())))
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 2 * once[name])


def test_a_random_state_is_replayed_and_then_left_behind():
    state = RandomState.now(torch.device("cpu"))
    drawn, following = torch.rand(3), torch.rand(3)
    state.restore()
    torch.rand(3)
    with state.replayed():
        assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(torch.rand(3), following)


def test_what_cannot_be_is_refused(accelerator):
    model = make_model()
    with pytest.raises(ValueError, match="at least 1"):
        GradientCache(lambda part: part, model, accelerator, 0)
    with pytest.raises(ValueError, match="single crop"):
        GradientCache(lambda part: part, resnet(), accelerator, 1)
    cache = GradientCache(partial(embed, model), model, accelerator, 4)
    with pytest.raises(RuntimeError, match="call embed first"):
        cache.backward(torch.zeros((), requires_grad=True))
    cache.embed(crops())
    with pytest.raises(RuntimeError, match="does not depend"):
        cache.backward(model.temperature)
