"""What only a GPU can show: runs in half precision there, and that their models are at home on a CPU again."""

import json

import numpy as np
import pytest
import torch
from small_backbones import small_model
from transformers import AutoModel

from hf_hyperbolic.data.relations import RelationIndex
from hf_hyperbolic.losses import PairMasks, TiledMasks
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.sources import load_split

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

ON_GPU = ["--cpu", "false"]  # after the settings of other tests


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["--mixed_precision", "fp16"],
        ["--micro_batch_size", "5", "--loss_tile", "4"],
        ["--gradient_checkpointing", "true", "--torch_compile", "true", "--ema_decay", "0.9"],
    ],
    ids=["bf16", "fp16", "in parts", "compiled"],
)
def test_a_run_on_a_gpu_learns_and_its_model_loads_anywhere(settings, train, small, data, backbones, tmp_path):
    output = tmp_path / "run"
    printed = train(
        *small, *ON_GPU, "--data", data, "--backbone", backbones / "clip", "--output_dir", output, *settings
    )
    assert f"on cuda, mixed precision {'fp16' if 'fp16' in settings else 'bf16'}" in printed
    assert len(losses(output)) == 8
    assert all(loss < 100 for loss in losses(output))
    model = AutoModel.from_pretrained(output / "final", trust_remote_code=True)
    assert model(pixel_values=torch.randn(2, 3, 32, 32)).embeds.isfinite().all()


def test_a_run_goes_on_on_a_gpu_and_on_a_cpu(train, small, data, backbones, tmp_path):
    output = tmp_path / "run"
    common = ["--data", data, "--backbone", backbones / "clip", "--output_dir", output]
    train(*small, *ON_GPU, *common, "--max_steps", "4")
    train(*small, *ON_GPU, *common, "--resume", "true", "--max_steps", "6")
    train(*small, *common, "--resume", "true")
    assert len(losses(output)) == 8


def test_parts_of_a_batch_give_the_losses_of_the_whole(train, small, data, backbones, tmp_path):
    found = []
    for number, settings in enumerate(([], ["--micro_batch_size", "5"], ["--loss_tile", "4"])):
        output = tmp_path / str(number)
        train(
            *small, *ON_GPU, "--data", data, "--backbone", backbones / "clip", "--output_dir", output,
            "--mixed_precision", "no", *settings,
        )  # fmt: skip
        found.append(losses(output))
    assert found[1] == pytest.approx(found[0], rel=1e-3)
    assert found[2] == pytest.approx(found[0], rel=1e-3)


@pytest.mark.parametrize("tile", [0, 3])
def test_from_the_forward_pass_to_the_backward_one_nobody_waits_for_the_gpu(tile, data):
    """What the loss takes to be launched is then hidden behind the forward pass."""
    args = TrainArguments(data=str(data), loss_tile=tile)
    hierarchy = load_split(args, "val").hierarchy
    relations = RelationIndex(hierarchy).sparse(np.arange(40))
    model = small_model("clip", num_proxies=hierarchy.num_classes).to("cuda")
    pixels = torch.randn(40, 3, 32, 32, device="cuda")

    def step():
        embeds = model(pixel_values=pixels).embeds
        related = relations.to("cuda")
        masks = TiledMasks(related) if tile else PairMasks(*related.block())
        objective(model, embeds, masks, args, related.categories, related.is_scene)[0].backward()

    step()  # what is made once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
