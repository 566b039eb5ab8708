"""What is found, and what is named as the way out."""

import math
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from small_backbones import small_model

from hf_hyperbolic.training import finite_weights
from hf_hyperbolic.training.checkpoints import Progress
from hf_hyperbolic.training.finite_weights import check_weights, nonfinite_weight


def test_finite_weights_are_let_pass(tmp_path):
    model = small_model("resnet", projection_norm="batchnorm", num_proxies=3)
    assert nonfinite_weight(model) is None
    check_weights(Accelerator(cpu=True), [model, torch.nn.Identity()], Progress(), tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_parameter_and_buffer_is_looked_at(value):
    model = small_model("resnet", projection_norm="batchnorm", num_proxies=3)
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    floating = {name: tensor for name, tensor in named.items() if tensor.is_floating_point()}
    assert {"log_curvature", "class_proxies", "tangent_norm.running_var"} < floating.keys()
    for name, tensor in floating.items():
        kept = tensor.data.flatten()[-1].item()
        tensor.data.view(-1)[-1] = value
        assert nonfinite_weight(model) == name
        tensor.data.view(-1)[-1] = kept


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ((), "There is no checkpoint yet: start again in another folder"),
        (("best",), r"best \(step 4\) is from before it. Start again in another folder"),
        (("checkpoints/step-00000003",), "step-00000003 is from before it. Go on from the checkpoint"),
        (("best", "checkpoints/step-00000003", "checkpoints/step-00000004"),
         r"best \(step 4\) and .*step-00000004 are from before it. Go on from the checkpoint with --resume true"),
    ],
)  # fmt: skip
def test_what_is_whole_is_named(tmp_path, folders, said):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    good, bad = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    bad.bias.data[1] = math.nan
    progress = Progress(step=7, best_step=4 if "best" in folders else -1)
    with pytest.raises(SystemExit, match=rf"not finite after step 7 \(the first is bias\): nothing is saved.*{said}"):
        check_weights(Accelerator(cpu=True), [good, bad], progress, tmp_path)


def test_weights_of_another_process_end_this_one_too_and_one_of_them_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(finite_weights, "gather_object", lambda own: [*own, "projection.0.weight"])
    with pytest.raises(SystemExit, match="the first is projection"):
        check_weights(SimpleNamespace(is_main_process=True), [torch.nn.Linear(2, 2)], Progress(), tmp_path)
    with pytest.raises(SystemExit) as ended:
        check_weights(SimpleNamespace(is_main_process=False), [torch.nn.Linear(2, 2)], Progress(), tmp_path)
    assert ended.value.code == 1
