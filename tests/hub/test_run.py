import json
import shutil

import pytest

from hf_hyperbolic.hub.run import TrainedModel, hub_name, public_settings, without_paths


def test_a_run_and_a_model_in_it_are_found_alike(run):
    assert TrainedModel.find(run).folder == run / "best"
    final = TrainedModel.find(run, "final")
    assert final == TrainedModel.find(run / "final")
    assert (final.run, final.which) == (run, "final")
    assert [line["step"] for line in final.metrics] == list(range(10, 121, 10))
    assert final.settings["seed"] == 7


def test_a_model_outside_any_run(run, tmp_path):
    shutil.copytree(run / "best", tmp_path / "model")
    (tmp_path / "model" / "arguments.json").unlink()
    model = TrainedModel.find(tmp_path / "model")
    assert (model.run, model.which, model.settings, model.metrics) == (None, None, {}, [])


def test_what_travels_names_no_place_of_this_machine(run):
    config = json.loads((run / "best" / "config.json").read_text())
    config["backbone_config"]["_name_or_path"] = str(run)
    (run / "best" / "config.json").write_text(json.dumps(config))
    files = TrainedModel.find(run).public_files()
    assert set(files) == {
        "model.safetensors", "config.json", "preprocessor_config.json", "arguments.json",
        "modeling_hyperbolic_clip.py", "configuration_hyperbolic_clip.py", "lorentz.py", "euclidean.py",
        "pairwise_angle.py", "vision_backbone.py",
    }  # fmt: skip
    texts = [content for content in files.values() if isinstance(content, str)]
    assert len(texts) == 2
    assert "somebody" not in "".join(texts)
    assert json.loads(files["arguments.json"])["output_dir"] == "demo"


def test_public_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    given = {"data": "pets", "backbone": "../weights/vit", "output_dir": "/home/me/run", "seed": 1}
    assert public_settings(given) == {"data": "pets", "backbone": "vit", "output_dir": "run", "seed": 1}
    given = {"data": "scenes", "backbone": "openai/clip-vit-base-patch16"}
    assert public_settings(given) == given


def test_names_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub_name("openai/clip") == "openai/clip"
    (tmp_path / "openai" / "clip").mkdir(parents=True)
    for name in ("openai/clip", "resnet-tiny", "/a/b", "./a/b", "a/b/c", "~/a", None):
        assert hub_name(name) is None


def test_places_in_a_configuration():
    config = {"a": [{"_name_or_path": "/here"}], "_name_or_path": "openai/clip", "name": "/kept"}
    assert without_paths(config) == {"a": [{"_name_or_path": ""}], "_name_or_path": "openai/clip", "name": "/kept"}


def test_what_is_no_model_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        TrainedModel.find(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="neither a run"):
        TrainedModel.find(tmp_path)
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "metrics.jsonl").touch()
    with pytest.raises(FileNotFoundError, match="has not kept a model yet"):
        TrainedModel.find(tmp_path / "young")
    shutil.rmtree(run / "best")
    with pytest.raises(FileNotFoundError, match="give --which final"):
        TrainedModel.find(run)


def test_a_model_that_cannot_travel_is_named(run):
    (run / "best" / "lorentz.py").rename(run / "best" / "modeling_hyperbolic_clip.py.away")
    (run / "best" / "modeling_hyperbolic_clip.py").unlink()
    with pytest.raises(ValueError, match=r"lacks its code \(modeling_hyperbolic_clip.py\)"):
        TrainedModel.find(run)
    (run / "best" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no weights in safetensors"):
        TrainedModel.find(run)
    (run / "best" / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="a model of type 'vit'"):
        TrainedModel.find(run)
    (run / "best" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        TrainedModel.find(run)
