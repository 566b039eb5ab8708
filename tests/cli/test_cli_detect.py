import argparse

import pytest
from PIL import Image

from hf_hyperbolic.cli import detect
from hf_hyperbolic.cli.main import main
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.detect import detect_boxes


class Stub:
    """Sees a car in the left half of every picture and a wheel in its lower left, whatever is looked for."""

    task = "zero-shot-object-detection"

    def __init__(self, stop_at=None):
        self.stop_at, self.asked = stop_at, []

    def __call__(self, inputs, threshold, batch_size):
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked += [one["candidate_labels"] for one in inputs]
        car = {"xmin": 10, "ymin": 10, "xmax": 110, "ymax": 90}
        wheel = {"xmin": 20, "ymin": 60, "xmax": 40, "ymax": 80}
        return [[{"score": 0.9, "label": "car", "box": car}, {"score": 0.8, "label": "wheel", "box": wheel}]] * len(
            inputs
        )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (200, 100)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def parse(*words):
    parser = argparse.ArgumentParser()
    detect.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_from_folder_to_coco_and_stopped_in_between(folder, tmp_path, monkeypatch, capsys):
    words = (folder, tmp_path / "boxes.json", "--model", "m", "--labels", "car", "--parts", "car=wheel")
    asked = []

    def load(model, device):
        asked.append((model, device))
        return stub

    monkeypatch.setattr(detect, "load_detector", load)
    stub = Stub(stop_at=2)
    assert detect.run(parse(*words)) == 130
    assert "same command again" in capsys.readouterr().err
    stub = Stub()
    assert detect.run(parse(*words, "--device", "cpu")) == 0
    assert asked == [("m", None), ("m", "cpu")]
    assert stub.asked == [["car"], ["wheel"]]
    out = capsys.readouterr().out
    assert f"wrote {tmp_path / 'boxes.json'}: 4 boxes in 2 images, 1 of them found before" in out
    assert str(folder) in out
    table = read_coco(tmp_path / "boxes.json", folder)
    assert table.class_names == ("car", "wheel")
    assert table.num_boxes == 4


def test_nothing_found_and_broken_images_are_said(folder, tmp_path, monkeypatch, capsys):
    (folder / "c.png").write_text("no image")
    monkeypatch.setattr(detect, "load_detector", lambda model, device: Stub())
    assert detect.run(parse(folder, tmp_path / "boxes.json", "--model", "m", "--labels", "boat")) == 0
    error = capsys.readouterr().err
    assert "not_an_image" in error
    assert "lower --score-threshold" in error


def test_command_and_function_have_the_same_defaults(tmp_path):
    options = parse("photos", "boxes.json", "--model", "m")
    defaults = detect_boxes.__kwdefaults__
    for name in ("depth", "score_threshold", "max_boxes", "batch_size"):
        assert getattr(options, name) == defaults[name]


def test_labels_and_parts():
    def read(*words):
        options = parse("photos", "boxes.json", "--model", "m", *words)
        return detect.read_classes(options.labels, options.parts)

    assert read() is None
    assert read("--labels", "car, traffic light,") == ["car", "traffic light"]
    assert read("--labels", "car,person", "--parts", "car=wheel,window", "--parts", "wheel=hub") == {
        "car": ["wheel", "window"],
        "person": [],
        "wheel": ["hub"],
    }
    with pytest.raises(ValueError, match=r"--parts bus=\.\.\.: nothing looks for 'bus'"):
        read("--labels", "car", "--parts", "bus=wheel")
    with pytest.raises(ValueError, match="give all parts of a class in one"):
        read("--labels", "car", "--parts", "car=wheel", "--parts", "car=window")


@pytest.mark.parametrize("text", ["car", "=wheel", "car=", "car= , "])
def test_parts_that_are_none(text, capsys):
    with pytest.raises(SystemExit):
        parse("photos", "boxes.json", "--model", "m", "--parts", text)
    assert "expected NAME=PART,PART" in capsys.readouterr().err


def test_the_task_is_the_one_of_the_models_type(tmp_path, monkeypatch):
    import transformers

    made = []
    monkeypatch.setattr(transformers, "pipeline", lambda task, model, device: made.append((task, model, device)))
    for name in ("OwlViTConfig", "GroundingDinoConfig", "YolosConfig", "RTDetrConfig", "SamConfig", "ViTConfig"):
        getattr(transformers, name)().save_pretrained(tmp_path / name)
    for name in ("OwlViTConfig", "GroundingDinoConfig", "YolosConfig", "RTDetrConfig", "SamConfig"):
        detect.load_detector(str(tmp_path / name), "cpu")
    zero_shot, fixed = "zero-shot-object-detection", "object-detection"
    assert [task for task, _, _ in made] == [zero_shot, zero_shot, fixed, fixed, "mask-generation"]
    assert made[0] == (zero_shot, str(tmp_path / "OwlViTConfig"), "cpu")
    with pytest.raises(ValueError, match="ViTConfig: a ViT finds no boxes: choose a model for object-detection"):
        detect.load_detector(str(tmp_path / "ViTConfig"), None)
    with pytest.raises(OSError, match="nowhere"):
        detect.load_detector(str(tmp_path / "nowhere"), None)


def test_it_is_a_command_and_its_errors_end_as_those_of_others(folder, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["data", "detect", "--help"])
    assert exit_.value.code == 0
    assert "--score-threshold" in capsys.readouterr().out

    def ends(*words):
        status = main(["data", "detect", *map(str, words)])
        captured = capsys.readouterr()
        assert (status, captured.out, captured.err.count("\n")) == (2, "", 1)
        return captured.err

    words = (folder, tmp_path / "boxes.json", "--labels", "car", "--model")
    assert ends(*words, "m", "--parts", "bus=wheel").startswith("error: --parts bus=...: nothing looks for 'bus'")
    assert f"{tmp_path / 'none'}: no such folder" in ends(tmp_path / "none", *words[1:], "no/model")
    (tmp_path / "model").mkdir()
    assert str(tmp_path / "model") in ends(*words, tmp_path / "model")
    monkeypatch.setattr(detect, "load_detector", lambda model, device: Stub())
    assert "score_threshold must be in [0, 1], got 3.0" in ends(*words, "m", "--score-threshold", 3)


@pytest.mark.parametrize("device", ["cuda:97", "nonsense"])
def test_a_device_that_is_not_there_is_one_clear_error(device):
    detect.check_device(None)
    detect.check_device("cpu")
    with pytest.raises(ValueError, match=f"--device {device}: not to be had here"):
        detect.check_device(device)
