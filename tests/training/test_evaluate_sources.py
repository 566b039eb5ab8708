"""The evaluation script on checkpoints and sources beyond a run's own: out of domain, zero-shot, two processes."""

import json
import shutil

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.systems import system_name

OURS = system_name(TrainArguments())
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "clip-tiny"
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    CLIPModel(
        CLIPConfig(
            vision_config={**small, "image_size": 32, "patch_size": 8},
            text_config={**small, "vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2},
            projection_dim=12,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lvis(data, tmp_path_factory):
    """The scenes' validation split as LVIS publishes a file: no training split, federated, names of its own."""

    def write(keep: int):
        """`keep` classes keep the name that the model was trained with."""
        folder = tmp_path_factory.mktemp("lvis")
        content = json.loads((data / "instances_val.json").read_text())
        for number, category in enumerate(content["categories"]):
            if number >= keep:
                category["name"] = f"{category['name']}_(lvis)"
        ids = [category["id"] for category in content["categories"]]
        for image in content["images"]:
            there = {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
            image["neg_category_ids"] = [i for i in ids if i not in there][:20]
            image["not_exhaustive_category_ids"] = sorted(there)[:1]
        (folder / "lvis_v1_val.json").write_text(json.dumps(content))
        shutil.copytree(data / "val", folder / "val")
        return folder

    return write


def results_in(folder):
    return json.loads((folder / "results.json").read_text())["results"]


def test_a_plain_clip_out_of_domain_with_class_names_that_no_training_split_knows(clip, lvis, train, tmp_path):
    folder = lvis(keep=0)
    printed = train(
        "--checkpoint", clip, "--data", folder, "--output_dir", tmp_path / "out", "--cpu", "true", script="evaluate.py"
    )
    assert "no training split shares a class" in printed
    (name, result), *others = results_in(tmp_path / "out").items()
    assert (name, others) == ("plain clip-tiny", [])
    assert set(result["child_to_parent"]) == {"cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined"}
    assert result["parent_to_child"]["cosine"]["recall@50%"]["oracles"]["class_prevalence"] is None
    assert result["child_to_parent"]["cosine"]["top_10"]["value"] is not None
    assert any("no training split" in note for note in result["notes"])
    report = (tmp_path / "out" / "report.html").read_text()
    assert "clip-tiny at 32 px) is taken as it is." in report
    assert "was trained" not in report


def test_a_run_out_of_domain_counts_classes_where_it_was_trained(whole_run, lvis, train, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    before = {path.name for path in run.iterdir()}
    folder = lvis(keep=40)
    printed = train("--run", run, "--data", folder, "--cpu", "true", script="evaluate.py")
    assert "which knows 40 of its" in printed
    made = {path.name for path in run.iterdir()} - before
    assert made == {f"evaluation-{folder.name.replace('_', '-')}-val"}, "the run's own evaluation is not replaced"
    output = run / made.pop()
    main = next(iter(results_in(output).values()))
    assert main["parent_to_child"]["beta"]["recall@50%"]["oracles"]["class_prevalence"] is not None
    assert "Out of domain: it was trained on another set." in (output / "report.html").read_text()


def test_zero_shot_stands_in_table_json_and_report_and_two_processes_say_it_once(
    clip, data, train, tmp_path, whole_run
):
    settings = [
        "--checkpoint", clip, "--baselines", whole_run, "--data", data, "--zero_shot", "true", "--shots", "5",
        "--support_draws", "2", "--cpu", "true",
    ]  # fmt: skip
    one = train(*settings, "--output_dir", tmp_path / "one", script="evaluate.py")
    assert "Zero-shot:" in one
    found = results_in(tmp_path / "one")
    for name, measure in (("plain clip-tiny", "cosine"), (OURS, "distance")):
        assert found[name]["zero_shot_about"]["measure"] == measure
        figure = found[name]["zero_shot"][measure]["accuracy"]
        assert figure["low"] <= figure["value"] <= figure["high"]
    # the run was trained on this set; of the plain checkpoint that is not known
    here = {name: result["zero_shot_about"]["trained_here"] for name, result in found.items()}
    assert here == {"plain clip-tiny": None, OURS: True}
    assert f"its figures are not zero-shot ({OURS})" in one
    report = (tmp_path / "one" / "report.html").read_text()
    assert "on a data set that" not in report
    assert 'id="zero-shot"' in report
    assert "zero-shot, accuracy" in report

    two = train(*settings, "--output_dir", tmp_path / "two", script="evaluate.py", processes=2)
    assert two.count("evaluated in") == 1
    assert "2 processes on cpu" in two
    assert "1 process on cpu" in one
    assert results_in(tmp_path / "two") == found, "to the last bit, both with one thread a process"


def test_ot_on_a_class_tree(clip, data, train_as_users_do, tmp_path):
    names = [category["name"] for category in json.loads((data / "instances_val.json").read_text())["categories"]]
    tree = tmp_path / "tree.json"
    tree.write_text(json.dumps({"root": None, **dict.fromkeys(names, "root")}))
    common = ["--checkpoint", clip, "--data", data, "--cpu", "true", "--output_dir", tmp_path / "out"]
    train_as_users_do(*common, "--ground", "tree", "--class_hierarchy", tree, script="evaluate.py")
    figure = results_in(tmp_path / "out")["plain clip-tiny"]["parent_to_child"]["cosine"]["ot@50%"]
    assert 0 < figure["value"] <= 2  # every class is two steps from every other


def test_a_split_without_support_gets_one_clear_message(clip, data, train):
    given = ["--checkpoint", clip, "--data", data, "--zero_shot", "true", "--support_split", "test", "--cpu", "true"]
    printed = train(*given, script="evaluate.py", succeeds=False)
    assert "test.json" in printed
    assert "Traceback" not in printed
