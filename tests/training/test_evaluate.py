"""The evaluation script on a short run: tables, JSON, report, and what it says to bad input."""

import hashlib
import json
import shutil

import pytest

from hf_hyperbolic.retrieval.measures import MEASURES
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.systems import system_name

OURS = system_name(TrainArguments())
pytestmark = pytest.mark.slow


def test_writes_table_json_and_report(whole_run, data, train, tmp_path):
    cosine = tmp_path / "cosine"
    short = [
        "--image_size",
        "32",
        "--projection_dim",
        "16",
        "--scenes_per_batch",
        "4",
        "--max_steps",
        "2",
        "--cpu",
        "true",
    ]
    train("--data", data, "--output_dir", cosine, "--loss", "cosine", *short)
    output = tmp_path / "evaluation"
    printed = train("--run", whole_run, "--baselines", cosine, "--output_dir", output, script="evaluate.py")
    made = json.loads((output / "results.json").read_text())
    results = made["results"]
    assert list(results) == [OURS, system_name(TrainArguments(loss="cosine")), "untrained"]
    assert list(made["measures"]) == list(results)
    assert made["weights"] == hashlib.sha256((whole_run / "best" / "model.safetensors").read_bytes()).hexdigest()
    for result in results.values():
        assert set(result["parent_to_child"]) == set(MEASURES)
        figure = result["parent_to_child"]["beta"]["recall@50%"]
        assert 0 <= figure["value"] <= 1
        assert None not in (figure["chance"], figure["ceiling"])
    for word in (OURS, "chance", "ceiling", "category pair", "scene flag"):
        assert word in printed.lower()
    report = (output / "report.html").read_text()
    assert report.count("data:image/") > 20
    assert {path.suffix for path in output.iterdir()} == {".txt", ".json", ".npz", ".html", ".png"}


def test_runs_of_one_kind_are_told_apart_by_their_folders(whole_run, train, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(whole_run, other)
    output = tmp_path / "evaluation"
    train("--run", whole_run, "--baselines", other, "--output_dir", output, script="evaluate.py")
    results = json.loads((output / "results.json").read_text())["results"]
    name = OURS
    assert list(results) == [f"{name} (run)", f"{name} (other)", "untrained"]
    printed = train("--run", whole_run, "--baselines", whole_run, script="evaluate.py", succeeds=False)
    assert "cannot be told apart" in printed


def test_a_folder_without_a_run_is_named(tmp_path, train):
    printed = train("--run", tmp_path / "nothing", script="evaluate.py", succeeds=False)
    assert "holds no model" in printed


def test_a_split_that_is_not_there_is_named(whole_run, train, tmp_path):
    printed = train(
        "--run", whole_run, "--split", "test", "--output_dir", tmp_path, script="evaluate.py", succeeds=False
    )
    assert "instances_test.json" in printed
