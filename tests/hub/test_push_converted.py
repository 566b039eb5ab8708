"""A model converted from MERU or HyCoCLIP is pushed with a card that says what it is, and claims no figure."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "converters"))
from blocked_package import BLOCK_THE_PACKAGE
from test_meru import HEADS, VOCABULARY, make_checkpoint

from hf_hyperbolic import ImageEncoder
from hf_hyperbolic.cli.main import main
from hf_hyperbolic.converters.meru import convert_meru_file
from hf_hyperbolic.data.files import sha256
from hf_hyperbolic.hub.front_matter import CardFacts
from hf_hyperbolic.hub.push_model import push_model
from hf_hyperbolic.hub.run import TrainedModel
from hf_hyperbolic.hub.upload import Target
from hf_hyperbolic.training.class_phrases import word_tokenizer

NAME = "me/meru"


@pytest.fixture
def published(tmp_path):
    torch.save(make_checkpoint(), tmp_path / "meru_vit_s.pth")
    return tmp_path / "meru_vit_s.pth"


@pytest.fixture
def converted(published, tmp_path):
    folder = tmp_path / "somebody" / "meru"
    folder.parent.mkdir()
    convert_meru_file(published, folder, "meru", HEADS)
    return folder


def test_the_card_says_where_the_weights_came_from(converted, published, hub):
    done = push_model(converted, Target(NAME), CardFacts(NAME, license="cc-by-nc-4.0"))
    assert (done.converted, done.evaluated, done.left_out) == (True, False, [])
    files = hub.files(NAME)
    assert {"README.md", "conversion.json", "config.json", "model.safetensors", "preprocessor_config.json"} < set(files)
    assert all(b"somebody" not in content for content in files.values())
    text = files["README.md"].decode()
    for said in (
        "MERU", "facebookresearch/meru", "arXiv:2304.09172", "meru_vit_s.pth", sha256(published),
        f"hf-hyperbolic backbone meru meru_vit_s.pth OUT --heads {HEADS}\n", "**Others trained these weights**",
        "not evaluated",
        "The text is the general side", "hyperbolic space of curvature −0.4", "and the text tower of MERU",
        "No tokenizer lies here", done.revision,
    ):  # fmt: skip
        assert said in text, said
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "cc-by-nc-4.0"
    assert "arxiv:2304.09172" in front["tags"]
    # neither figures nor training of this library's: the only per cent sign would be one of those
    assert "model-index" not in front
    assert ModelCard(text).data.eval_results is None
    assert "%" not in text
    assert "training/train.py" not in text


@pytest.mark.slow
def test_what_the_card_shows_runs_offline_without_the_package(published, hub, tmp_path):
    word_tokenizer([f"street {number}" for number in range(VOCABULARY - 6)] + ["a"]).save_pretrained(tmp_path / "words")
    converted = tmp_path / "converted"
    convert_meru_file(published, converted, "meru", HEADS)
    # as CLIP's, but for its ends, which the published models have last: the command checks them
    AutoTokenizer.from_pretrained(tmp_path / "words").save_pretrained(converted)
    push_model(converted, Target(NAME), CardFacts(NAME))
    hub.as_cache(tmp_path / "hf", NAME)
    snippets = re.findall(r"^```python\n(.*?)^```", hub.files(NAME)["README.md"].decode(), flags=re.M | re.S)
    assert len(snippets) == 3
    for name, colour in (("street", "teal"), ("harbour", "navy")):
        Image.new("RGB", (160, 200), colour).save(tmp_path / f"{name}.jpg")
    check = (
        "\nfrom safetensors.torch import save_file\n"
        'save_file({"images": images, "phrases": phrases}, "out.safetensors")\n'
    )
    environment = {
        **os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "HF_MODULES_CACHE": str(tmp_path / "modules"), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", "-c", BLOCK_THE_PACKAGE + snippets[0] + snippets[1] + check],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    encoder = ImageEncoder.from_pretrained(converted, "cpu")
    expected = encoder.encode([Image.open(tmp_path / f"{name}.jpg") for name in ("street", "harbour")])
    found = load_file(tmp_path / "out.safetensors")
    torch.testing.assert_close(found["images"], torch.from_numpy(expected))
    torch.testing.assert_close(found["phrases"], torch.from_numpy(encoder.encode_text(["a street"])))


def test_the_folder_of_a_dry_run_ranks_as_the_converted_one(converted, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["push", str(converted), NAME, "--dry-run", str(out)]) == 0
    said = capsys.readouterr().err
    assert "only where their license allows it" in said
    assert "state it by --license" in said
    assert "training/evaluate.py" not in said
    here, there = (ImageEncoder.from_pretrained(folder, "cpu") for folder in (converted, out))
    assert there.measures == here.measures == {"children": "distance", "parents": "distance"}
    assert there.fingerprint == here.fingerprint


def test_what_cannot_be_said_is_refused(converted, tmp_path):
    with pytest.raises(ValueError, match="its card has no figures"):
        push_model(converted, Target(NAME), CardFacts(NAME), evaluations=[tmp_path])
    record = json.loads((converted / "conversion.json").read_text())
    del record["source"]["sha256"]
    (converted / "conversion.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"does not say where the weights came from \('sha256'\)"):
        push_model(converted, Target(NAME), CardFacts(NAME), dry_run=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_trained_here_is_not_taken_for_a_converted_one(run):
    assert TrainedModel.find(run).conversion == {}
