import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModel

from hf_hyperbolic.cli.main import main
from hf_hyperbolic.converters.moco import convert_moco, convert_moco_file
from hf_hyperbolic.converters.published import load_published

STAGES = (3, 4, 6, 3)


@pytest.fixture(scope="module")
def published():
    """A checkpoint of the published layout: both encoders under DDP's prefix, the projection, the queue, optimiser."""
    generator = torch.manual_seed(0)
    state = {}

    def conv(name, out, into, side):
        weight = torch.randn(out, into, side, side, generator=generator) * (2 / (into * side * side)) ** 0.5
        state[f"{name}.weight"] = weight

    def norm(name, width):
        state[f"{name}.weight"] = torch.rand(width, generator=generator) + 0.2
        state[f"{name}.bias"] = torch.randn(width, generator=generator) * 0.1
        state[f"{name}.running_mean"] = torch.randn(width, generator=generator) * 0.1
        state[f"{name}.running_var"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    into = 64
    for stage, depth in enumerate(STAGES, start=1):
        width = 64 * 2 ** (stage - 1)
        for block in range(depth):
            name = f"layer{stage}.{block}"
            conv(f"{name}.conv1", width, into, 1)
            conv(f"{name}.conv2", width, width, 3)
            conv(f"{name}.conv3", 4 * width, width, 1)
            for place, size in enumerate((width, width, 4 * width), start=1):
                norm(f"{name}.bn{place}", size)
            if block == 0:
                conv(f"{name}.downsample.0", 4 * width, into, 1)
                norm(f"{name}.downsample.1", 4 * width)
            into = 4 * width
    state["fc.0.weight"], state["fc.0.bias"] = torch.randn(2048, 2048), torch.randn(2048)
    state["fc.2.weight"], state["fc.2.bias"] = torch.randn(128, 2048), torch.randn(128)
    named = {f"module.encoder_q.{key}": value for key, value in state.items()}
    named |= {f"module.encoder_k.{key}": torch.zeros_like(value) for key, value in state.items() if "fc" not in key}
    named |= {"module.queue": torch.randn(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "resnet50", "state_dict": named, "optimizer": {"state": {}, "param_groups": []}}


def resnet50(state, pixels):
    """Features of torchvision's ResNet-50 (stride in the 3 x 3 convolution), written out from its state dict."""
    state = {key.removeprefix("module.encoder_q."): value for key, value in state.items() if "encoder_q" in key}

    def conv_norm(x, conv, norm, stride=1, padding=0):
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=padding)
        statistics = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return F.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"])

    x = F.max_pool2d(F.relu(conv_norm(pixels, "conv1", "bn1", 2, 3)), 3, 2, 1)
    for stage, depth in enumerate(STAGES, start=1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            shortcut = x
            if block == 0:
                shortcut = conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            y = F.relu(conv_norm(x, f"{name}.conv1", f"{name}.bn1"))
            y = F.relu(conv_norm(y, f"{name}.conv2", f"{name}.bn2", stride, 1))
            x = F.relu(conv_norm(y, f"{name}.conv3", f"{name}.bn3") + shortcut)
    return x.mean((-2, -1))


def test_features_are_those_of_the_published_network(published):
    pixels = torch.randn(2, 3, 64, 64, generator=torch.manual_seed(1))
    expected = resnet50(published["state_dict"], pixels)
    with torch.no_grad():
        found = convert_moco(published)(pixels).pooler_output.flatten(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_folder_is_a_backbone_to_train_from(published, tmp_path):
    from hf_hyperbolic import HyperbolicCLIPVisionModel

    file = tmp_path / "moco_v2_800ep_pretrain.pth.tar"
    torch.save(published, file)
    folder = convert_moco_file(file, tmp_path / "moco", image_size=64)
    pixels = torch.randn(1, 3, 64, 64, generator=torch.manual_seed(2))
    expected = resnet50(published["state_dict"], pixels)
    with torch.no_grad():
        found = AutoModel.from_pretrained(folder)(pixels).pooler_output.flatten(1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        model = HyperbolicCLIPVisionModel.from_backbone_pretrained(folder, projection_dim=8)
        assert model(pixel_values=pixels).embeds.shape == (1, 8)
    assert tuple(AutoImageProcessor.from_pretrained(folder).image_mean) == (0.485, 0.456, 0.406)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moco", file.name]
    with pytest.raises(FileExistsError, match="exists already"):
        convert_moco_file(file, folder)


@pytest.mark.slow
def test_training_takes_a_step_from_what_the_command_wrote(published, tmp_path, capsys):
    from hf_hyperbolic.data.scenes import write_scenes

    file, folder = tmp_path / "moco_v2_800ep_pretrain.pth.tar", tmp_path / "moco"
    torch.save(published, file)
    assert main(["backbone", "moco", str(file), str(folder), "--image-size", "64"]) == 0
    assert f"--backbone {folder}" in capsys.readouterr().out
    for split, count in (("train", 4), ("val", 2)):
        write_scenes(tmp_path / "scenes", split, count, size=96)
    script = Path(__file__).parents[2] / "training" / "train.py"
    settings = ["--data", tmp_path / "scenes", "--output_dir", tmp_path / "run", "--backbone", folder, "--cpu", "true"]
    settings += ["--image_size", "32", "--scenes_per_batch", "2", "--boxes_per_scene", "2", "--max_steps", "1"]
    subprocess.run(
        [sys.executable, script, *settings], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True
    )
    saved = json.loads((tmp_path / "run" / "final" / "preprocessor_config.json").read_text())
    assert saved["image_mean"] == [0.485, 0.456, 0.406]
    config = json.loads((tmp_path / "run" / "final" / "config.json").read_text())
    assert config["backbone_config"]["model_type"] == "resnet"
    assert config["backbone_config"]["hidden_sizes"] == [256, 512, 1024, 2048]


def test_the_command_says_what_is_wrong_with_a_file(tmp_path, capsys):
    (tmp_path / "page.pth.tar").write_text("<html>")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / "plain.pth")
    (tmp_path / "there").mkdir()
    for name, output, message in (
        ("nowhere.pth", "out", "nowhere.pth is not a file"),
        ("page.pth.tar", "out", "page.pth.tar cannot be read as a PyTorch checkpoint"),
        ("plain.pth", "out", "this is no MoCo v2 checkpoint"),
        ("plain.pth", "there", "there exists already"),
    ):
        assert main(["backbone", "moco", str(tmp_path / name), str(tmp_path / output)]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_what_is_no_moco_checkpoint_is_named(published):
    with pytest.raises(ValueError, match="no MoCo v2 checkpoint"):
        convert_moco({"state_dict": {"conv1.weight": torch.zeros(1)}})
    for strange in ({"state_dict": [1]}, {0: torch.zeros(1)}):
        with pytest.raises(ValueError, match="no state_dict of named weights"):
            convert_moco(strange)
    state = dict(published["state_dict"])
    del state["module.encoder_q.layer3.5.conv2.weight"]
    with pytest.raises(ValueError, match="1 of its weights are missing"):
        convert_moco({"state_dict": state})
    state["module.encoder_q.layer3.5.conv2.weight"] = torch.zeros(2, 2, 3, 3)
    with pytest.raises(ValueError, match=r"has shape \(2, 2, 3, 3\)"):
        convert_moco({"state_dict": state})
    with pytest.raises(ValueError, match=r"'blocks.0' is no weight"):
        convert_moco({"module.encoder_q.blocks.0": torch.zeros(1)})


class Intruder:
    def __reduce__(self):
        return print, ("this ran",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    torch.save({"state_dict": {}, "extra": Intruder()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="would run code"):
        load_published(tmp_path / "bad.pth")
    assert "this ran" not in capsys.readouterr().out


def test_missing_cut_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_published(tmp_path / "nowhere.pth")
    whole = tmp_path / "whole.pth"
    torch.save({"w": torch.zeros(1000)}, whole)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:2000])
    for name, content in (("cut.pth", None), ("text.pth", b"hello"), ("empty.pth", b"")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            load_published(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list"):
        load_published(tmp_path / "list.pth")
