"""What is no checkpoint is known at once, without asking the Hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_hyperbolic.checkpoint_names import check_checkpoint_name
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.export.checkpoint import load_checkpoint
from hf_hyperbolic.training.backbones import check_path
from hf_hyperbolic.training.systems import pretrained

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch):
    """A Hub that can be asked for, and whoever asks is found out."""

    def refuse(*_, **__):
        raise AssertionError("the Hub was asked for")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", refuse)


@pytest.mark.parametrize(
    "name", ["/no/where", "./nowhere", "../nowhere", "~/nowhere", "a/b/c", "nowhere", "not a name"]
)
def test_a_path_or_a_name_that_can_be_none_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for look in (check_checkpoint_name, ImageEncoder.from_pretrained, load_checkpoint, pretrained, check_path):
        with pytest.raises(FileNotFoundError, match="no such folder") as error:
            look(name)
        assert name in str(error.value)
        assert "USER/NAME" in str(error.value)
        assert "\n" not in str(error.value)


def test_a_detector(tmp_path, monkeypatch):
    from hf_hyperbolic.cli.detect import load_detector

    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        load_detector("nowhere", "cpu")


def test_a_folder_without_a_model_and_one_with(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no model \(config.json\)"):
        check_checkpoint_name(tmp_path)
    (tmp_path / "config.json").touch()
    check_checkpoint_name(tmp_path)


def test_names_of_the_hub_go_through(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_checkpoint_name("openai/clip-vit-base-patch16")
    # a name without an owner, as the Hub's first years left some, that was fetched before
    snapshot = tmp_path / "cache" / "models--gpt2" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    (tmp_path / "cache" / "models--gpt2" / "refs").mkdir()
    (tmp_path / "cache" / "models--gpt2" / "refs" / "main").write_text("a" * 40)
    check_checkpoint_name("gpt2", cache_dir=str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError):
        check_checkpoint_name("gpt2", cache_dir=str(tmp_path / "other"))


def test_a_backbone_that_starts_from_scratch_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^--backbone resnet-tinny: no such folder.*one of resnet-tiny"):
        check_path("resnet-tinny")


@pytest.mark.slow
def test_the_evaluation_ends_with_one_line_and_without_waiting(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, str(ROOT / "training" / "evaluate.py"), "--checkpoint", "nowhere", "--data", "scenes"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "nowhere: no such folder" in last
    assert "Traceback" not in done.stderr
    assert "Retrying" not in done.stderr
