"""A model with a text tower is pushed with its tokenizer, and its card shows how a phrase is asked for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))
from blocked_package import BLOCK_THE_PACKAGE

from hf_hyperbolic import HyperbolicCLIPVisionModel, ImageEncoder, make_image_processor
from hf_hyperbolic.cli.main import main
from hf_hyperbolic.data.files import weights_digest
from hf_hyperbolic.hub.evaluations import find_evaluations
from hf_hyperbolic.hub.front_matter import CardFacts, default_license
from hf_hyperbolic.hub.model_card import model_card
from hf_hyperbolic.hub.push_model import push_model
from hf_hyperbolic.hub.run import TrainedModel
from hf_hyperbolic.hub.upload import Target
from hf_hyperbolic.training.text_arguments import TextArguments
from hf_hyperbolic.training.text_tower import add_text_tower, save_with_text

NAME = "me/words"


@pytest.fixture
def with_words(run):
    """As training/add_text.py leaves it."""
    best, folder = run / "best", run / "text"
    image_model = HyperbolicCLIPVisionModel.from_pretrained(best)
    model, tokenizer = add_text_tower(image_model, "text-tiny", ["the house", "the door", "the tree"])
    folder.mkdir()
    save_with_text(model, make_image_processor(32), tokenizer, folder, best)
    args = TextArguments(run=str(run), scenes_dir=str(run.parent / "scenes"), aliases=str(run.parent / "aliases.json"))
    (folder / TextArguments.FILE).write_text(json.dumps(args.as_dict()))
    return folder


def test_what_travels_has_the_tokenizer_and_no_place_of_this_machine(with_words, hub):
    push_model(with_words, Target(NAME), CardFacts(NAME))
    files = hub.files(NAME)
    assert {
        "tokenizer.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json",
        "modeling_hyperbolic_clip_text.py", "modeling_hyperbolic_clip.py", "text_arguments.json", "arguments.json",
    } < set(files)  # fmt: skip
    assert all(b"somebody" not in content for content in files.values())
    made = json.loads(files["text_arguments.json"])
    assert (made["run"], made["aliases"], made["text"]) == ("demo", "aliases.json", "text-tiny")
    text = files["README.md"].decode()
    for said in (
        "images, objects, parts and phrases", '"the house"', "`text-tiny` from scratch, was fitted by",
        "Its tokenizer knows the words of the class names it was", "`modeling_hyperbolic_clip_text.py`",
    ):  # fmt: skip
        assert said in text, said
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "apache-2.0"
    # again to the same repository, which is known as one of this library
    push_model(with_words, Target(NAME), CardFacts(NAME))


def test_an_image_encoder_has_nothing_of_words_on_its_card(run, hub):
    push_model(run, Target(NAME), CardFacts(NAME))
    text = hub.files(NAME)["README.md"].decode()
    assert "images, objects and parts in" in text
    assert "text tower" not in text
    assert "tokenizer" not in text
    assert TrainedModel.find(run).words == {}


def test_where_the_weights_of_the_text_tower_came_from_is_said(with_words, hub):
    file = with_words / TextArguments.FILE
    made = json.loads(file.read_text()) | {"text": "openai/clip-vit-base-patch16", "data": "me/pets"}
    file.write_text(json.dumps(made))
    push_model(with_words, Target(NAME), CardFacts(NAME))
    text = hub.files(NAME)["README.md"].decode()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["base_model"] == "openai/clip-vit-base-patch16"
    assert front["datasets"] == ["me/pets"]
    assert front["license"] == "unknown"
    assert "words of the class names it was trained with alone" not in text


def test_captions_are_said_on_the_card_and_leave_the_license_open(with_words, hub):
    file = with_words / TextArguments.FILE
    for captions, names, said, license in (
        ("auto", True, "to the names of the classes and captions;", "apache-2.0"),
        ("auto", False, "to captions;", "apache-2.0"),
        ("/home/somebody/coco/annotations", True, "to the names of the classes and captions;", "unknown"),
    ):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"captions": captions, "names": names}))
        push_model(with_words, Target(NAME), CardFacts(NAME))
        files = hub.files(NAME)
        text = files["README.md"].decode()
        assert said in text
        assert "A caption is the parent of its image." in text
        assert yaml.safe_load(text.split("---\n")[1])["license"] == license
        assert b"somebody" not in files["text_arguments.json"]


def test_a_tower_of_captions_alone_is_asked_by_what_it_learnt(with_words, hub):
    file = with_words / TextArguments.FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"captions": "auto", "names": False}))
    push_model(with_words, Target(NAME), CardFacts(NAME))
    text = hub.files(NAME)["README.md"].decode()
    assert "It has a text tower. A caption is the parent of its image.\n" in text
    # names of classes, and parts, may be no words of captions
    assert 'tokenizer(["a street"]' in text
    assert "(words, scenes)[0].argsort(descending=True))  # which scene is it said of?\n```" in text
    assert "which box is one?" not in text


def test_the_card_says_which_model_of_the_run_was_given_words(with_words, evaluate):
    file = with_words / TextArguments.FILE
    for run, which, chosen in (("demo", "best", "best"), ("demo", "final", "final"), ("demo/final", "best", "final")):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"run": run, "which": which}))
        model = TrainedModel.find(with_words)
        folder = evaluate(split="val", weights=weights_digest(with_words))
        found, _ = find_evaluations(model, [folder])
        text = model_card(model, found, CardFacts(NAME))
        assert ("chosen among its checkpoints on this very split" in text) == (chosen == "best")
        assert ("best by the validation figure" in text) == (chosen == "best")
        assert ("the model after the last step" in text) == (chosen == "final")
        shutil.rmtree(folder)


def test_the_license_is_known_of_what_is_from_scratch_alone():
    own = {"data": "scenes", "backbone": "resnet-tiny"}
    assert default_license(own) == "apache-2.0"
    assert default_license(own, {"text": "text-tiny", "data": None}, True) == "apache-2.0"
    for words in ({}, {"text": "openai/clip", "data": "scenes"}, {"text": "text-tiny", "data": "photos"}):
        assert default_license(own, words, True) == "unknown"


def test_the_folder_of_a_dry_run_knows_the_words(with_words, tmp_path):
    out = tmp_path / "out"
    assert main(["push", str(with_words), NAME, "--dry-run", str(out)]) == 0
    here, there = (ImageEncoder.from_pretrained(folder, "cpu") for folder in (with_words, out))
    np.testing.assert_array_equal(there.encode_text(["the door"]), here.encode_text(["the door"]))
    assert there.fingerprint == here.fingerprint


@pytest.mark.slow
def test_what_the_card_shows_runs_offline_without_the_package(with_words, hub, tmp_path):
    push_model(with_words, Target(NAME), CardFacts(NAME))
    hub.as_cache(tmp_path / "hf", NAME)
    snippets = re.findall(r"^```python\n(.*?)^```", hub.files(NAME)["README.md"].decode(), flags=re.M | re.S)
    for name, colour in (("street", "teal"), ("harbour", "navy")):
        Image.new("RGB", (160, 200), colour).save(tmp_path / f"{name}.jpg")
    check = (
        "\nfrom safetensors.torch import save_file\n"
        'save_file({"words": words}, "out.safetensors")\n'
        "from transformers import AutoProcessor\n"
        'made = AutoProcessor.from_pretrained(name, revision=revision)(text=["the house"], return_tensors="pt")\n'
        'assert torch.equal(made["input_ids"], tokens["input_ids"])\n'
    )
    environment = {
        **os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "HF_MODULES_CACHE": str(tmp_path / "modules"), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", "-c", BLOCK_THE_PACKAGE + "\n".join(snippets[:3]) + check],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = ImageEncoder.from_pretrained(with_words, "cpu").encode_text(["the house"])
    torch.testing.assert_close(load_file(tmp_path / "out.safetensors")["words"], torch.from_numpy(expected))
