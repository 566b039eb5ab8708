"""The script that gives a finished run words."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hf_hyperbolic import HyperbolicCLIPModel, ImageEncoder
from hf_hyperbolic.retrieval import scores
from hf_hyperbolic.training.text_arguments import TextArguments

pytestmark = pytest.mark.slow
SHORT = ["--images", "16", "--boxes_per_batch", "64", "--scenes_per_batch", "8", "--cpu", "true"]


@pytest.fixture(scope="module")
def fitted(whole_run, train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "text"
    printed = train(
        "--run", whole_run, "--output_dir", folder, "--max_steps", "60", "--learning_rate", "3e-3", *SHORT,
        script="add_text.py",
    )  # fmt: skip
    return folder, printed


def test_the_image_side_stays_as_it_is_and_words_find_what_they_name(fitted, whole_run, data):
    folder, printed = fitted
    assert "share of the top 10 in %" in printed
    before, after = (ImageEncoder.from_pretrained(path, "cpu") for path in (whole_run / "best", folder))
    assert isinstance(after.model, HyperbolicCLIPModel)
    assert after.fingerprint == before.fingerprint
    assert (after.measures, after.preprocessing) == (before.measures, before.preprocessing)
    image = [Image.open(data / "train" / "000000.jpg")]
    np.testing.assert_array_equal(after.encode(image), before.encode(image))
    # on what it was fitted to names find their boxes far more often than at random, by the model's own measure
    content = json.loads((data / "instances_train.json").read_text())
    boxes = [one for one in content["annotations"] if one["image_id"] < 12]
    files = {one["id"]: one["file_name"] for one in content["images"]}
    label = {one["id"]: one["name"] for one in content["categories"]}
    embeds = after.encode(
        [Image.open(data / files[box["image_id"]]) for box in boxes],
        [[x, y, x + w, y + h] for x, y, w, h in (box["bbox"] for box in boxes)],
    )
    labels = np.array([label[box["category_id"]] for box in boxes])
    asked = sorted({*labels})
    found = scores(
        torch.from_numpy(after.encode_text(asked)), torch.from_numpy(embeds), after.measures["children"], "children",
        after.curvature,
    )  # fmt: skip
    right = np.mean([labels[row.argmax()] == name for name, row in zip(asked, found.numpy(), strict=True)])
    chance = np.mean([np.mean(labels == name) for name in asked])
    assert right > 5 * chance


def test_the_folder_says_how_it_was_made(fitted, whole_run):
    folder, _ = fitted
    made = json.loads((folder / TextArguments.FILE).read_text())
    assert (made["run"], made["max_steps"]) == (str(whole_run), 60)
    assert json.loads((folder / "arguments.json").read_text()) == json.loads(
        (whole_run / "best" / "arguments.json").read_text()
    )
    assert not [file for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pkl")]
    words = ImageEncoder.from_pretrained(folder, "cpu").tokenizer
    assert {"wheel", "lamp", "the", "an"} <= set(words.get_vocab())
    assert "harbour" not in words.get_vocab()


def test_evaluation_by_names(fitted, train, tmp_path):
    folder, _ = fitted
    output = tmp_path / "evaluation"
    printed = train(
        "--checkpoint", folder, "--zero_shot", "true", "--shots", "3", "--support_draws", "1", "--output_dir", output,
        "--cpu", "true", script="evaluate.py",
    )  # fmt: skip
    assert "Zero-shot by the names of the same classes." in printed
    assert "Text to image" in printed
    (result,) = json.loads((output / "results.json").read_text())["results"].values()
    assert result["zero_shot_by_name"].keys() == result["zero_shot"].keys()
    assert result["text_to_image"]["combined"]["scenes_top_10"]["value"] <= 1
    assert 'id="words"' in (output / "report.html").read_text()


def test_words_fitted_to_the_evaluated_data_are_no_zero_shot(fitted, train, tmp_path, data):
    folder = tmp_path / "text"
    shutil.copytree(fitted[0], folder)
    # images of another set, words of this one
    for file, changed in (("arguments.json", {"data": "scenes"}), (TextArguments.FILE, {"data": str(data)})):
        settings = json.loads((folder / file).read_text()) | changed
        (folder / file).write_text(json.dumps(settings))
    output = tmp_path / "evaluation"
    train(
        "--checkpoint", folder, "--data", data, "--zero_shot", "true", "--shots", "3", "--support_draws", "1",
        "--output_dir", output, "--cpu", "true", script="evaluate.py",
    )  # fmt: skip
    (result,) = json.loads((output / "results.json").read_text())["results"].values()
    assert result["zero_shot_about"]["trained_here"] is False
    assert any("by names are not zero-shot" in note for note in result["notes"])


def test_a_class_that_only_validation_has_ends_without_figures_and_with_a_model(
    whole_run, data, train_as_users_do, tmp_path
):
    photos = tmp_path / "photos"
    shutil.copytree(data, photos)
    content = json.loads((photos / "instances_val.json").read_text())
    content["categories"].append({"id": 9999, "name": "zeppelin"})
    content["annotations"][0]["category_id"] = 9999
    (photos / "instances_val.json").write_text(json.dumps(content))
    printed = train_as_users_do(
        "--run", whole_run, "--data", photos, "--output_dir", tmp_path / "text", "--max_steps", "1", *SHORT,
        script="add_text.py",
    )  # fmt: skip
    assert "no figures on validation images: this model does not know 'zeppelin'" in printed
    assert ImageEncoder.from_pretrained(tmp_path / "text", "cpu").has_text


def test_classes_that_are_the_same_in_words_are_trained_and_evaluated(whole_run, data, train, small, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(data, photos)
    for split in ("train", "val"):
        content = json.loads((photos / f"instances_{split}.json").read_text())
        # half of the boxes of the commonest class are of a class that differs in case alone
        labels = [one["category_id"] for one in content["annotations"]]
        common = max({*labels}, key=labels.count)
        name = {one["id"]: one["name"] for one in content["categories"]}[common]
        content["categories"].append({"id": 9999, "name": name.upper()})
        for one in [one for one in content["annotations"] if one["category_id"] == common][::2]:
            one["category_id"] = 9999
        (photos / f"instances_{split}.json").write_text(json.dumps(content))
    train("--run", whole_run, "--data", photos, "--output_dir", tmp_path / "text", "--max_steps", "2", *SHORT,
          script="add_text.py")  # fmt: skip
    printed = train(
        "--checkpoint", tmp_path / "text", "--data", photos, "--zero_shot", "true", "--shots", "3", "--support_draws",
        "1", "--output_dir", tmp_path / "evaluation", "--cpu", "true", script="evaluate.py",
    )  # fmt: skip
    assert "are the same in words: by names" in printed
    run = tmp_path / "run"
    train("--data", photos, "--output_dir", run, "--text_weight", "0.5", *small, "--max_steps", "2")
    assert ImageEncoder.from_pretrained(run / "final", "cpu").has_text


def test_what_is_wrong_is_said(fitted, whole_run, train, tmp_path):
    folder, _ = fitted
    for arguments, message in (
        (["--run", whole_run, "--output_dir", folder], "exists already"),
        (["--run", tmp_path], "config.json"),
        (["--run", whole_run, "--text", tmp_path / "nothing", "--output_dir", tmp_path / "a"], "no such folder"),
        (["--run", whole_run, "--templates", "a thing", "--output_dir", tmp_path / "a"], "must hold {} once"),
        (["--run", whole_run, "--max_steps", "0"], "--max_steps must be at least 1"),
    ):
        printed = train(*arguments, *SHORT, script="add_text.py", succeeds=False)
        assert message in printed
        assert "Traceback" not in printed
    assert not (tmp_path / "a").exists()


def test_batches_are_a_function_of_seed_and_step(data):
    from hf_hyperbolic.training.arguments import TrainArguments
    from hf_hyperbolic.training.class_phrases import ClassPhrases
    from hf_hyperbolic.training.text_fitting import load_sound_split, name_batches

    split = load_sound_split(TrainArguments(data=str(data)), str(data), 10)
    hierarchy = split.hierarchy
    assert hierarchy.num_images == 10
    phrases = ClassPhrases(hierarchy.class_names)
    first, again = ([*name_batches(hierarchy, phrases, 3, 20, 4, seed=1)] for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.nodes, other.nodes)
        assert one.phrases == other.phrases
    batch = first[2]
    assert (batch.scenes.sum(), len(batch.phrases)) == (4, batch.categories.shape[1])
    named = np.unique(hierarchy.node_label[batch.nodes[4:]])
    for row, node in enumerate(batch.nodes):
        below = hierarchy.ancestry[hierarchy.ancestry[:, 0] == node, 1]
        stands_for = {int(hierarchy.node_label[node])} if row >= 4 else {*hierarchy.node_label[below].tolist()}
        assert [*named[batch.categories[row].numpy()]] == sorted(stands_for & {*named.tolist()})
    for phrase, label in zip(batch.phrases, named, strict=True):
        assert hierarchy.class_names[label] in phrase


def test_a_run_with_names_from_the_start(train, data, small, tmp_path):
    run = tmp_path / "run"
    printed = train("--data", data, "--output_dir", run, "--text_weight", "0.5", *small, "--max_steps", "4")
    assert "done:" in printed
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(line["loss_names"] > 0 for line in lines if "loss" in line)
    encoder = ImageEncoder.from_pretrained(run / "final", "cpu")
    assert encoder.has_text
    assert encoder.encode_text(["a wheel", "street lamp"]).shape == (2, 16)
    printed = train("--data", data, "--output_dir", run, "--text_weight", "0.5", *small, "--max_steps", "6", "--resume",
                    "true")  # fmt: skip
    assert "done:" in printed
