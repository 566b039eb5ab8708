import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

from hf_hyperbolic.cli.main import main
from hf_hyperbolic.hub import upload


@pytest.fixture
def offline(monkeypatch):
    """Whoever asks the network is found out."""

    def refuse(*_, **__):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(upload, "HfApi", refuse)


@pytest.fixture
def model(tmp_path):
    from transformers import ResNetConfig

    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor

    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    folder = tmp_path / "model"
    HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone, projection_dim=16)).save_pretrained(folder)
    make_image_processor(32).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("flag", ["--dry-run", "--dry_run"])
def test_a_dry_run_says_what_is_missing(flag, model, offline, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["push", str(model), "me/model", flag, str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"wrote {out}: all that would be pushed to me/model\n"
    assert "the model was not evaluated" in printed.err
    assert "state it by --license" in printed.err
    text = (out / "README.md").read_text()
    assert "license: unknown" in text
    assert "not evaluated" in text


def test_facts_from_the_command_line(model, offline, tmp_path, capsys):
    arguments = ["--license", "mit", "--dataset", "me/data", "--emissions", "12.5", "--dry-run", str(tmp_path / "out")]
    assert main(["push", str(model), "me/model", *arguments]) == 0
    assert "license" not in capsys.readouterr().err
    text = (tmp_path / "out" / "README.md").read_text()
    assert "license: mit" in text
    assert "- me/data" in text
    assert "12.5 g of CO2 equivalent (stated by the author)" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["push", "MODEL", "model"], "give USER/NAME"),
        (["push", "NOWHERE", "me/model"], "no such folder"),
        (["push", "MODEL", "me/model", "--create-pr", "--revision", "v2"], "against main"),
        (["push", "MODEL", "me/model", "--emissions", "-1"], "grams of CO2"),
        (["push", "MODEL", "me/model"], "hf auth login"),
        (["data", "push", "NOWHERE", "me/data"], "no files"),
        (["index", "push", "NOWHERE", "me/index"], "holds no index"),
        (["metric", "push", "me/metric"], "USER/hier_ot"),
    ],
)
def test_an_error_is_one_line(arguments, said, model, offline, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(upload, "get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    places = {"MODEL": str(model), "NOWHERE": str(tmp_path / "nowhere")}
    assert main([places.get(word, word) for word in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_a_push_prints_what_to_pin(model, tmp_path, monkeypatch, capsys):
    from fake_hub import FakeHub

    fake = FakeHub(tmp_path / "downloads")
    monkeypatch.setattr(upload, "HfApi", lambda **_: fake)
    monkeypatch.setattr(upload, "get_token", lambda: "hf_token")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert main(["push", str(model), "me/model", "--private", "--commit_message", "first"]) == 0
    first, second = fake.branches["model", "me/model"]["main"]
    printed = capsys.readouterr().out
    assert f"pushed: https://hub/me/model/commit/{second.oid}\n" in printed
    assert f'revision="{first.oid}", code_revision="{first.oid}"' in printed
    assert fake.calls[0][1]["private"] is True
    assert first.message == second.message == "first"
    shutil.rmtree(model)
