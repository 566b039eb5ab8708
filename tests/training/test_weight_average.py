"""The moving average of the weights, against a loop over plain numbers."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from small_backbones import small_model

from hf_hyperbolic.training.weight_average import FILE, WeightAverage


def test_it_is_what_a_loop_over_numbers_gives():
    model = torch.nn.Linear(3, 2)
    average = WeightAverage(model, 0.5)
    expected = model.weight.detach().numpy().astype(np.float64)
    for step in range(1, 21):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().numpy().astype(np.float64)
    assert average.model.weight.detach().numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    # the constant decay has set in
    assert (1 + 20) / (10 + 20) > 0.5


def test_batch_statistics_are_those_of_the_model_and_the_model_is_left_alone():
    model = small_model("resnet").train()
    average = WeightAverage(model, 0.9)
    model(pixel_values=torch.randn(4, 3, 32, 32))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.update(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    found = dict(average.model.named_buffers())
    assert any("running_mean" in name for name in found)
    assert all(torch.equal(buffer, found[name]) for name, buffer in model.named_buffers())
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_it_is_kept_in_single_precision():
    average = WeightAverage(torch.nn.Linear(2, 2).half(), 0.999)
    assert {parameter.dtype for parameter in average.model.parameters()} == {torch.float32}


def test_a_checkpoint_gives_it_back_bit_for_bit(tmp_path):
    accelerator = Accelerator(cpu=True)
    model = small_model("resnet").to(memory_format=torch.channels_last)
    average = WeightAverage(model, 0.9)
    average.keep_with(accelerator)
    for _ in range(3):
        with torch.no_grad():
            model.projection[0].weight.add_(1)
        average.update(model)
    prepared = accelerator.prepare(model)
    assert prepared is model
    accelerator.save_state(str(tmp_path / "step"))
    expected = {name: tensor.clone() for name, tensor in average.model.state_dict().items()}
    average.update(model)
    assert not torch.equal(average.model.projection[0].weight, expected["projection.0.weight"])
    accelerator.load_state(str(tmp_path / "step"))
    assert average.updates == 3
    assert all(torch.equal(tensor, expected[name]) for name, tensor in average.model.state_dict().items())


def test_a_checkpoint_without_one_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{FILE} is missing: the checkpoint is of a run without --ema_decay"):
        WeightAverage(torch.nn.Linear(2, 2), 0.9).load(tmp_path / FILE)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\)"):
        WeightAverage(torch.nn.Linear(2, 2), decay)
