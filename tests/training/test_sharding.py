"""Two processes that share out the model's weights (FSDP2) against one with the whole model."""

import json
import signal
from functools import partial
from pathlib import Path

import forks
import mishaps
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, CLIPVisionConfig, CLIPVisionModel

from hf_hyperbolic.training.jobs import STOPPED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(data, tmp_path_factory, small) -> list:
    """Of a run with a small ViT, whose batches two processes share without batch statistics."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    backbone = tmp_path_factory.mktemp("vit") / "vit"
    CLIPVisionModel(CLIPVisionConfig(**sizes)).save_pretrained(backbone)
    return ["--data", data, *small, "--backbone", backbone, "--mixed_precision", "no", "--learning_rate", "1e-4"]


def finished(runs: list[forks.Run]) -> str:
    assert forks.wait(runs) == [0] * len(runs), "\n".join(run.printed() for run in runs)
    return runs[0].printed()


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def alone(settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    finished([mishaps.start([*settings, "--output_dir", folder / "run"], folder / "log")])
    return folder / "run"


@pytest.fixture(scope="module")
def sharded(settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    arguments = [*settings, "--output_dir", folder / "run"]
    printed = finished(mishaps.start_two(arguments, folder, mishaps.shard_on_cpu))
    assert "2 process(es)" in printed
    newest = folder / "run" / "checkpoints" / "step-00000008"
    assert (newest / "pytorch_model_fsdp.bin").exists(), "this was no sharded run"
    return folder / "run"


def test_shards_give_the_losses_and_weights_of_the_whole_model(alone, sharded):
    assert len(losses(alone)) == 8
    assert losses(sharded) == pytest.approx(losses(alone), rel=2e-3)
    assert losses(sharded)[0] == pytest.approx(losses(alone)[0], rel=1e-5)
    expected, found = (load_file(run / "final" / "model.safetensors") for run in (alone, sharded))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert found[name].dtype == value.dtype, name
        # Adam's step is as long as its learning rate, however small the gradient
        torch.testing.assert_close(found[name], value, rtol=0, atol=8 * 1e-4, msg=lambda text, name=name: name + text)
    for name in ("log_curvature", "log_temperature", "log_alpha"):
        assert found[name].item() == pytest.approx(expected[name].item(), abs=1e-5)


def test_the_model_of_shards_is_a_folder_like_any_other(sharded):
    for which in ("best", "final"):
        model = AutoModel.from_pretrained(sharded / which, trust_remote_code=True)
        AutoImageProcessor.from_pretrained(sharded / which)
        assert torch.isfinite(model(torch.zeros(1, 3, 32, 32)).embeds).all()


def test_a_sharded_run_that_was_stopped_goes_on_to_the_same_weights(settings, sharded, tmp_path):
    arguments = [*settings, "--output_dir", tmp_path / "run"]
    shards_and_stop = partial(
        mishaps.both, mishaps.shard_on_cpu, partial(mishaps.signal_itself, step=4, what=signal.SIGTERM)
    )
    stopped = mishaps.start_two(arguments, tmp_path, shards_and_stop)
    assert forks.wait(stopped) == [STOPPED] * 2, stopped[0].printed()
    printed = finished(mishaps.start_two([*arguments, "--resume", "true"], tmp_path, mishaps.shard_on_cpu))
    assert "step-00000005" in printed
    expected, found = (load_file(run / "final" / "model.safetensors") for run in (sharded, tmp_path / "run"))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_parts_of_a_sharded_batch_are_learnt_from_as_one(settings, sharded, tmp_path):
    arguments = [*settings, "--output_dir", tmp_path / "run", "--micro_batch_size", "4"]
    finished(mishaps.start_two(arguments, tmp_path, mishaps.shard_on_cpu))
    assert losses(tmp_path / "run") == pytest.approx(losses(sharded), rel=1e-3)
