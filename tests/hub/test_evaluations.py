import json

import numpy as np
import pytest

from hf_hyperbolic.evaluation.captions import evaluate_captions
from hf_hyperbolic.hub.evaluations import find_evaluations
from hf_hyperbolic.hub.run import TrainedModel


def test_figures_come_as_they_were_written(run, evaluate, figures):
    evaluate()
    (found,), left_out = find_evaluations(TrainedModel.find(run))
    assert left_out == []
    result = figures[0]["hyperbolic angle"]
    rows = {row.headline.title: row for row in found.rows()}
    recall = rows["Scene → what is in it"]
    assert recall.entry == result["parent_to_child"]["beta"]["recall@50%"]
    assert recall.others == {
        "untrained": figures[0]["untrained"]["parent_to_child"]["cosine"]["recall@50%"]["value"]
    }  # fmt: skip
    assert recall.measure == "beta"
    assert rows["Radial order"].measure is None
    cells = recall.cells()
    assert cells[1] == f"**{100 * recall.entry['value']:.1f} %**"
    assert cells[2] == f"{100 * recall.entry['low']:.1f} to {100 * recall.entry['high']:.1f}"
    assert cells[3] == f"{100 * recall.entry['chance']:.1f} %"
    assert found.disk.name == "poincare_disk.png"
    assert found.counts["images"] == 12
    assert found.command == "python training/evaluate.py --run RUN --which best --split test"


def test_an_evaluation_of_other_weights_is_left_out_and_said(run, evaluate):
    folder = evaluate("best")
    found, (reason,) = find_evaluations(TrainedModel.find(run, "final"))
    assert found == []
    assert reason == "evaluation-test is of other weights than those pushed"
    with pytest.raises(ValueError, match="of other weights"):
        find_evaluations(TrainedModel.find(run, "final"), [folder])


def test_an_evaluation_that_does_not_say_its_weights_is_left_out(run, evaluate):
    folder = evaluate()
    content = json.loads((folder / "results.json").read_text())
    del content["weights"]
    (folder / "results.json").write_text(json.dumps(content))
    found, (reason,) = find_evaluations(TrainedModel.find(run))
    assert found == []
    assert "evaluate the model again" in reason


def test_a_model_chosen_on_the_very_split(run, evaluate):
    evaluate("best", "val")
    (found,), _ = find_evaluations(TrainedModel.find(run))
    assert found.chosen_on_it


@pytest.mark.parametrize(("which", "split", "data"), [("final", "val", "scenes"), ("best", "val", "other")])
def test_a_model_not_chosen_on_it(which, split, data, run, evaluate):
    evaluate(which, split, data=data)
    (found,), _ = find_evaluations(TrainedModel.find(run, which))
    assert not found.chosen_on_it


def test_a_named_folder_without_evaluation(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no evaluation"):
        find_evaluations(TrainedModel.find(run), [tmp_path])


def test_figures_of_captions_stand_on_the_card_with_the_command_that_makes_them(run, evaluate, figures):
    results, hierarchy, embeds = figures
    texts = [f"image {number}" for number in range(hierarchy.num_images)]
    said = np.random.default_rng(1).normal(size=(len(texts), embeds.shape[1])).astype(np.float32)
    found, _ = evaluate_captions(embeds, hierarchy, texts, said, np.arange(len(texts)), 0.7, resamples=20)
    main = results["hyperbolic angle"] | {"captions": found}
    for captions, told in (("auto", "auto"), ("/home/somebody/captions_test.json", "CAPTIONS")):
        folder = evaluate(
            split=f"test-{told}", results=results | {"hyperbolic angle": main},
            options={"run": str(run), "split": "test", "captions": captions},
        )  # fmt: skip
        ((evaluation,), _) = find_evaluations(TrainedModel.find(run), [folder])
        assert evaluation.command.endswith(f"--split test --captions {told}")
        rows = {row.name: row for row in evaluation.rows()}
        for k in (1, 5, 10):
            assert rows[f"Caption → its image, Image recall@{k}"].entry == found["beta"][f"images_recall@{k}"]
            assert rows[f"Image → its captions, Caption recall@{k}"].entry == found["beta"][f"captions_recall@{k}"]


def test_the_command_of_a_class_tree_names_it(run, evaluate):
    folder = evaluate(options={"run": str(run), "split": "test", "ground": "tree", "class_hierarchy": "/home/x.json"})
    ((evaluation,), _) = find_evaluations(TrainedModel.find(run), [folder])
    assert evaluation.command.endswith("--ground tree --class_hierarchy TREE")
