"""Captions for a text tower: where they are, which can be read, batches of them, figures."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hf_hyperbolic import ImageEncoder
from hf_hyperbolic.data.captions import Captions
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.data.read import read_source
from hf_hyperbolic.data.scenes.captions import write_captions
from hf_hyperbolic.retrieval import scores
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.captions import SceneCaptions, caption_batch, load_captions, readable, readable_by
from hf_hyperbolic.training.class_phrases import word_tokenizer
from hf_hyperbolic.training.text_arguments import TextArguments

CAPTIONS = Captions(
    ("a red car", "a car", "a car", "two red cars", "a car in a very very long street"), np.array([0, 0, 2, 3, 3]), 5
)
SHORT = ["--images", "16", "--boxes_per_batch", "64", "--scenes_per_batch", "8", "--cpu", "true"]


@pytest.fixture(scope="module")
def captioned(data, tmp_path_factory):
    """The scenes of the other tests with captions beside their boxes."""
    folder = tmp_path_factory.mktemp("captioned") / "scenes"
    shutil.copytree(data, folder)
    for split in ("train", "val"):
        write_captions(folder / f"instances_{split}.json")
    return folder


def test_captions_of_the_data_or_of_a_folder(captioned, data, tmp_path):
    args = TrainArguments(scenes_dir=str(captioned))
    table = read_coco(captioned / "instances_val.json")
    found = [
        load_captions("auto", args, "val", str(captioned), table),
        load_captions("auto", args, "val", str(captioned / "instances_val.json"), table),
        load_captions("auto", args, "val", "scenes", table),
        load_captions(str(captioned), args, "val", str(data), table),
        load_captions(str(captioned / "captions_val.json"), args, "val", str(data), table),
    ]
    assert all(one.texts == found[0].texts and one.num_images == 8 for one in found)
    with pytest.raises(FileNotFoundError, match="no captions of val"):
        load_captions("auto", args, "val", str(data), table)
    export_parquet(table, tmp_path / "exported", "val")
    exported = read_source(str(tmp_path / "exported"), "val").table
    assert load_captions(str(captioned), args, "val", str(tmp_path / "exported"), exported).texts == found[0].texts
    shutil.copy(data / "instances_val.json", tmp_path)
    # of the embedded scenes they are made
    again = load_captions("auto", TrainArguments(scenes_dir=str(tmp_path)), "val", "scenes", table)
    assert again.texts == found[0].texts


def test_captions_that_the_tower_cannot_read_are_left_out():
    words = word_tokenizer(["a red car", "two", "very long", "in street"])
    kept, line = readable(CAPTIONS, words, 7)
    assert kept.texts == ("a red car", "a car", "a car")
    assert kept.image.tolist() == [0, 0, 2]
    assert line == ("left out of 5 captions: 1 with words that the text tower does not know, 1 of more than 7 tokens")
    kept, line = readable(kept, words, 7)
    assert (len(kept.texts), line) == (3, "")
    with pytest.raises(ValueError, match="no caption can be read; left out of 5 captions: 5 with words"):
        readable(CAPTIONS, word_tokenizer(["zebra"]), 7)


def speaking(name, *known):
    """A system whose text tower knows some phrases."""
    model = SimpleNamespace(config=SimpleNamespace(text_config=SimpleNamespace(max_position_embeddings=7)))
    return SimpleNamespace(name=name, text=(model, word_tokenizer(known)))


def test_all_systems_are_asked_by_the_captions_that_each_can_read():
    systems = [
        speaking("ours", "a red car", "two cars"), SimpleNamespace(name="CLIP's images", text=None),
        speaking("theirs", "a car"),
    ]  # fmt: skip
    kept, readers, lines = readable_by(CAPTIONS, systems)
    assert readers == ["ours", "theirs"]
    assert kept.texts == ("a car", "a car")
    assert lines == [
        "captions: left out of 5 captions: 1 with words that the text tower does not know (ours)",
        "captions: left out of 4 captions: 2 with words that the text tower does not know (theirs)",
    ]
    assert readable_by(CAPTIONS, systems[1:2]) == (CAPTIONS, [], [])
    with pytest.raises(ValueError, match="mute: no caption can be read; left out of 5 captions: 5 with words"):
        readable_by(CAPTIONS, [speaking("mute", "zebra"), systems[0]])


def test_a_baseline_that_can_read_no_caption_is_not_asked_and_takes_none_from_the_others():
    kept, readers, lines = readable_by(CAPTIONS, [speaking("ours", "a red car", "two cars"), speaking("mute", "zebra")])
    assert len(kept.texts) == 4
    assert readers == ["ours"]
    assert lines[1:] == [
        "captions: mute is not asked: no caption can be read; left out of 4 captions: 4 with words that the text tower "
        "does not know"
    ]


def test_batches_are_a_function_of_seed_and_step():
    seen = set()
    for step in range(40):
        batch, again = (caption_batch(CAPTIONS, 3, 1, step) for _ in range(2))
        np.testing.assert_array_equal(batch.nodes, again.nodes)
        assert batch.phrases == again.phrases
        torch.testing.assert_close(batch.positives, again.positives)
        assert sorted(batch.nodes.tolist()) == [0, 2, 3]
        assert len({*batch.phrases}) == len(batch.phrases)
        # every image has its one caption, which is one of its own; the same words are of both images
        assert batch.positives.sum(0).tolist() == [1, 1, 1]
        for column, image in enumerate(batch.nodes.tolist()):
            said = batch.phrases[int(batch.positives[:, column].int().argmax())]
            assert said in {CAPTIONS.texts[row] for row in np.flatnonzero(CAPTIONS.image == image)}
            seen.add((image, said))
    assert len(seen) == 5
    assert any(caption_batch(CAPTIONS, 3, 1, step).phrases != caption_batch(CAPTIONS, 3, 2, step).phrases
               for step in range(5))  # fmt: skip


def test_captions_of_a_run_are_a_function_of_seed_step_and_image():
    scenes = SceneCaptions(CAPTIONS, 4)
    seen = set()
    for step in range(40):
        nodes = np.array([3, 9, 0, 1, 2, 7])  # five images, so that nodes 7 and 9 are boxes; image 1 has no caption
        drawn = scenes.draw(nodes, step)
        assert CAPTIONS.image[drawn].tolist() == [3, 0, 2]
        # as drawn by processes that see a part of them
        parts = [scenes.draw(part, step) for part in (nodes[:2], nodes[2:])]
        assert drawn.tolist() == np.concatenate(parts).tolist()
        seen |= {*drawn.tolist()}
    assert seen == set(range(5))
    assert (
        SceneCaptions(CAPTIONS, 5).draw(np.tile([0, 3], 20), 0).tolist() != scenes.draw(np.tile([0, 3], 20), 0).tolist()
    )
    assert scenes.draw(np.array([1, 8]), 0).tolist() == []


def test_captions_are_matched_with_their_scenes():
    scenes = SceneCaptions(CAPTIONS, 0)
    nodes = np.array([9, 3, 1, 0, 2, 3])
    embeds, spoken = torch.arange(6.0)[:, None], torch.tensor([[10.0], [11.0], [12.0]])
    captions, images, positives = scenes.matched(spoken, np.array([3, 1, 2]), embeds, nodes)
    # "a car" is said of images 0 and 2, and stands once; image 3 is there twice
    assert captions[:, 0].tolist() == [11, 10]
    assert images[:, 0].tolist() == [1, 3, 4, 5]
    assert positives.tolist() == [[False, True, True, False], [True, False, False, True]]
    assert scenes.matched(spoken[:0], np.empty(0, np.int64), embeds, nodes) is None


def test_settings_that_do_not_go_together(captioned):
    for settings in ({}, {"text_weight": 1.0, "stream": True, "data": "x"}):
        with pytest.raises(ValueError, match="give a --text_weight, and no --stream"):
            TrainArguments(captions="auto", **settings)
    for settings, message in (
        ({"names": False}, "--names false leaves nothing to learn"),
        ({"names": False, "captions": "auto", "aliases": "a.json"}, "--aliases are other names of classes"),
        ({"captions": str(captioned / "captions_val.json")}, "is one file, and training and validation need each"),
    ):
        with pytest.raises(ValueError, match=message):
            TextArguments(run="run", **settings)


@pytest.fixture(scope="module")
def fitted(whole_run, captioned, train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions") / "text"
    printed = train(
        "--run", whole_run, "--data", captioned, "--captions", "auto", "--names", "false", "--output_dir", folder,
        "--max_steps", "120", "--learning_rate", "3e-3", *SHORT, script="add_text.py",
    )  # fmt: skip
    return folder, printed


@pytest.mark.slow
def test_captions_find_the_images_that_they_were_fitted_to(fitted, whole_run, captioned):
    folder, printed = fitted
    assert "captions of 16 images, 0 images without one; left out 24 other_image" in printed
    assert "caption to image by combined, k = 5:" in printed
    assert "by the name of each class" not in printed
    before, after = (ImageEncoder.from_pretrained(path, "cpu") for path in (whole_run / "best", folder))
    assert after.fingerprint == before.fingerprint
    words = after.tokenizer.get_vocab()
    assert "with" in words
    assert "wheel" not in words
    table = read_coco(captioned / "instances_train.json")
    captions = load_captions("auto", TrainArguments(), "train", str(captioned), table)
    first = captions.only(captions.image < 16)
    embeds = after.encode([Image.open(file) for file in table.image_files[:16]])
    found = scores(
        torch.from_numpy(after.encode_text(first.texts)), torch.from_numpy(embeds), after.measures["children"],
        "children", after.curvature,
    )  # fmt: skip
    right = np.mean(found.argmax(1).numpy() == first.image)
    assert right > 5 / 16  # five times chance


@pytest.mark.slow
def test_the_same_seed_gives_the_same_tower_and_names_may_stand_beside(fitted, whole_run, captioned, train, tmp_path):
    def run(folder, *more):
        return train(
            "--run", whole_run, "--data", captioned, "--captions", captioned, "--output_dir", folder, "--max_steps",
            "3", *SHORT, *more, script="add_text.py",
        )  # fmt: skip

    printed = run(tmp_path / "one")
    assert "by the name of each class" in printed
    assert "image to caption by combined, k = 10:" in printed
    run(tmp_path / "two")
    one, two = (ImageEncoder.from_pretrained(tmp_path / name, "cpu") for name in ("one", "two"))
    asked = ["a wheel", "a street with a house"]
    np.testing.assert_array_equal(one.encode_text(asked), two.encode_text(asked))
    made = json.loads((tmp_path / "one" / TextArguments.FILE).read_text())
    assert (made["captions"], made["names"]) == (str(captioned), True)


@pytest.mark.slow
def test_a_run_with_captions_from_the_start_goes_on_as_if_it_had_not_stopped(train, captioned, small, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = ["--data", captioned, "--text_weight", "0.5", "--captions", "auto", *small]
    printed = train(*settings, "--output_dir", whole)
    assert "captions of 24 images, 0 images without one; left out nothing" in printed
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert all(line["loss_captions"] > 0 for line in lines if "loss" in line)
    shutil.copytree(whole, parts)
    shutil.rmtree(parts / "final")
    shutil.rmtree(parts / "checkpoints" / "step-00000008")
    assert "resumed from" in train(*settings, "--output_dir", parts, "--resume", "true")
    one, two = (load_file(folder / "final" / "model.safetensors") for folder in (whole, parts))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    refused = [*settings, "--captions", captioned, "--output_dir", parts, "--resume", "true"]
    assert "captions was auto" in train(*refused, succeeds=False)


@pytest.mark.slow
def test_validation_without_captions_ends_without_their_figures_and_with_a_model(whole_run, captioned, train, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(captioned, folder)
    (folder / "captions_val.json").unlink()
    printed = train(
        "--run", whole_run, "--data", folder, "--captions", "auto", "--output_dir", tmp_path / "text", "--max_steps",
        "1", *SHORT, script="add_text.py",
    )  # fmt: skip
    assert "no figures of captions on validation images" in printed
    assert "no captions of val: expected captions_val.json" in printed
    assert ImageEncoder.from_pretrained(tmp_path / "text", "cpu").has_text


@pytest.mark.slow
def test_evaluation_by_captions(fitted, whole_run, captioned, train, tmp_path):
    folder, _ = fitted
    output, by_names = tmp_path / "evaluation", tmp_path / "names"
    train("--run", whole_run, "--output_dir", by_names, "--max_steps", "1", *SHORT, script="add_text.py")
    printed = train(
        "--checkpoint", folder, "--data", captioned, "--captions", "auto", "--baselines", whole_run, by_names,
        "--output_dir", output, "--cpu", "true", script="evaluate.py",
    )  # fmt: skip
    assert "is not asked: no caption can be read; left out of 12 captions: 12 with words" in printed
    assert "Captions: an image by its caption" in printed
    assert "note: captions: 24 captions of 8 images, 0 images without one; left out nothing" in printed
    assert "Caption recall@10" in (output / "report.html").read_text()
    results = json.loads((output / "results.json").read_text())["results"]
    having = [result for result in results.values() if "captions" in result]
    assert len(having) == 1
    figure = having[0]["captions"]["combined"]["images_recall@1"]
    assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= figure["ceiling"] <= 1
    assert figure["chance"] == pytest.approx(1 / 8)
    every = [np.load(file) for file in output.glob("per_query-*.npz")]
    (values,) = [values for values in every if "captions/combined/images_recall@5" in values]
    assert set(values["captions/combined/images_recall@5"]) <= {0.0, 1.0}
    printed = train(
        "--checkpoint", whole_run / "best", "--data", captioned, "--captions", "auto", "--output_dir", tmp_path / "b",
        "--cpu", "true", script="evaluate.py", succeeds=False,
    )  # fmt: skip
    assert "has no text tower" in printed
    assert "Traceback" not in printed
