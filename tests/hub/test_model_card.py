import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from hf_hyperbolic.hub.emissions import Emissions
from hf_hyperbolic.hub.evaluations import find_evaluations
from hf_hyperbolic.hub.front_matter import CardFacts
from hf_hyperbolic.hub.model_card import TEMPLATE, curvature_of, model_card, parameters_of
from hf_hyperbolic.hub.run import TrainedModel

FACTS = CardFacts("me/model")


def settings(run, **changed):
    for file in run.glob("*/arguments.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def card(run, facts=FACTS, which="best"):
    model = TrainedModel.find(run, which)
    return model_card(model, find_evaluations(model)[0], facts)


def test_the_front_matter_is_what_the_hub_reads(run, evaluate, figures):
    evaluate()
    data = ModelCard(card(run)).data
    assert data.license == "apache-2.0"
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "image-feature-extraction"
    assert "hyperbolic" in data.tags
    assert data.base_model is None
    assert data.model_name == "model"
    values = {result.metric_type: result for result in data.eval_results}
    wanted = figures[0]["hyperbolic angle"]["parent_to_child"]["beta"]["recall@50%"]
    found = values["parent_to_child_recall@50%"]
    assert found.metric_value == wanted["value"]
    beside = {name: wanted[name] for name in ("low", "high", "chance", "ceiling")}
    assert found.metric_args == {"measure": "beta"} | beside
    assert (found.dataset_name, found.dataset_split) == ("embedded scenes", "test")


def test_the_model_index_is_yaml_of_the_form_of_the_hub(run, evaluate):
    evaluate()
    front = yaml.safe_load(card(run).split("---\n")[1])
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert set(result) == {"task", "dataset", "metrics"}
    assert all(isinstance(metric["value"], float) for metric in result["metrics"])


def test_without_an_evaluation_there_is_no_figure(run):
    text = card(run)
    assert "**This model was not evaluated.**" in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert "model-index" not in front
    assert "95 %" not in text
    assert "best possible" not in text
    assert "poincare" not in text
    # the only per cent sign is of how crops and boxes are defined
    assert set(re.findall(r"([\d.]+) %", text)) == {"25", "80"}


def test_why_an_evaluation_is_not_there(run):
    assert "Left out: evaluation-test is old." in card(run, CardFacts("me/m", left_out=["evaluation-test is old"]))


def test_a_backbone_and_a_data_set_of_the_hub_are_named(run):
    settings(run, backbone="openai/clip-vit-base-patch16", data="somebody/boxes")
    text = card(run, CardFacts("me/model", datasets=["detection-datasets/coco"]))
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["base_model"] == "openai/clip-vit-base-patch16"
    assert front["datasets"] == ["somebody/boxes", "detection-datasets/coco"]
    assert front["license"] == "unknown"
    assert "drawings" not in text


def test_a_folder_of_this_machine_is_not(run):
    settings(run, backbone="/home/somebody/vit", data="/home/somebody/pets")
    text = card(run)
    assert "somebody" not in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert "base_model" not in front
    assert "datasets" not in front
    assert "A data set that lay in a folder `pets`; no more is stated here." in text


def test_settings_that_differ_from_the_defaults(run):
    text = card(run)
    assert "| `max_steps` | `120` | `1000` |" in text
    assert "| `seed` | `7` | `0` |" in text
    assert "`learning_rate`" not in text
    assert "output_dir" not in text
    settings(run, max_steps=1000, seed=0)
    assert "All settings are the defaults" in card(run)
    for file in run.glob("*/arguments.json"):
        file.unlink()
    text = card(run)
    assert "Nothing is known of how it was trained" in text
    assert "defaults" not in text


def test_settings_of_another_version_are_named(run):
    settings(run, warp=9)
    assert "Settings of another version: `warp`." in card(run)


def test_emissions_only_where_they_are_known(run):
    assert "CO2" not in card(run)
    text = card(run, CardFacts("me/m", emissions=Emissions(4.5, "codecarbon")))
    assert "4.5 g of CO2 equivalent (codecarbon)" in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["co2_eq_emissions"] == {"emissions": 4.5, "source": "codecarbon"}


def test_the_revision_is_pinned_where_it_is_known(run):
    assert 'revision = "main"' in card(run)
    text = card(run, CardFacts("me/m", revision="a" * 40))
    assert text.count('revision = "' + "a" * 40) == 1
    assert 'revision="' + "a" * 40 in text
    assert '"main"' not in text


@pytest.mark.parametrize(
    ("changed", "functions", "modules"),
    [
        ({"loss": "cosine"}, {"by_cosine"}, set()),
        ({"children_measure": "distance"}, {"by_distance", "by_combined"}, {"lorentz"}),
        ({"parents_measure": "euclidean_alpha"}, {"by_alpha", "by_combined"}, {"lorentz", "euclidean"}),
    ],
)
def test_snippets_rank_as_the_model_does(changed, functions, modules, run):
    settings(run, **changed)
    text = card(run)
    assert set(re.findall(r"^def (by_\w+)", text, flags=re.M)) == functions
    assert set(re.findall(r"^(\w+) = import_module", text, flags=re.M)) == modules
    for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        compile(code, "card", "exec")


def test_a_model_without_proxies_shows_none(run):
    file = run / "best" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_proxies": 0}))
    assert "proxies" not in card(run)


def test_a_euclidean_model_has_no_curvature(run):
    file = run / "best" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"geometry": "euclidean"}))
    text = card(run)
    before = text.partition("## Training")[0].partition("# model")[2]
    assert "Euclidean space" in before
    assert "curvature −" not in before
    assert "euclidean.pairwise_exterior_angle(wholes, parts)" in before
    assert "lorentz" not in before
    for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        compile(code, "card", "exec")


def test_what_a_run_does_not_say_is_not_made_up(run):
    for file in run.glob("*/arguments.json"):
        file.write_text('{"data": "scenes", "loss": "angle"}')
    text = card(run)
    assert "`arguments.json` holds its settings" in text
    assert " 0 " not in text.partition("## Training")[2].partition("## Limits")[0]


def test_the_code_that_travels_is_listed_with_what_it_imports(run):
    text = card(run)
    (run / "best" / "lorentz.py").write_text("import math, requests\nfrom .euclidean import x\nfrom torch import nn\n")
    changed = card(run)
    assert "nothing else: torch, transformers." in text
    assert "nothing else: requests, torch, transformers." in changed
    assert "| `lorentz.py` | 3 | `" in changed


def test_numbers_read_from_the_weights(run):
    model = TrainedModel.find(run)
    tensors = load_file(run / "best" / "model.safetensors")
    assert curvature_of(model) == pytest.approx(1.5, rel=1e-6)
    assert parameters_of(model) == sum(tensor.numel() for tensor in tensors.values())


MODEL_CARDS = Path(__file__).parents[2] / "model_cards"


def test_the_template_beside_the_cards_is_the_one_in_use():
    file = MODEL_CARDS / "template.md"
    if not file.is_symlink():
        pytest.skip("links were not checked out")
    assert file.read_text() == TEMPLATE.read_text()


@pytest.mark.parametrize("card", sorted(MODEL_CARDS.glob("*/README.md")), ids=lambda file: file.parent.name)
def test_a_card_that_is_kept_is_whole(card):
    text = card.read_text()
    assert ModelCard(text).data.eval_results
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (card.parent / picture).is_file(), picture
    for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        compile(code, str(card), "exec")
    # headings of the template, in its order
    headings = re.findall(r"^## (.+)$", TEMPLATE.read_text(), flags=re.M)
    assert re.findall(r"^## (.+)$", text, flags=re.M) == headings
