import pytest

from hf_hyperbolic.training.arguments import TrainArguments


def test_saved_settings_come_back(tmp_path):
    args = TrainArguments(max_steps=7, geometry="euclidean", backbone_learning_rate=1e-5)
    args.save(tmp_path)
    assert TrainArguments.load(tmp_path) == args


def test_command_line_overrides_the_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("max_steps: 3\nlearning_rate: 0.5\nflip: false\n")
    args = TrainArguments.parse([str(file), "--max_steps", "9"])
    assert (args.max_steps, args.learning_rate, args.flip) == (9, 0.5, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [("max_step: 3", "unknown settings max_step"), ("- 1", "one mapping"), ("a: [", "is not YAML")],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        TrainArguments.parse([str(file)])
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        TrainArguments.parse(["nowhere.yaml"])


def test_the_configurations_that_ship_can_be_read():
    from pathlib import Path

    files = list((Path(__file__).parents[2] / "training" / "configs").glob("*.yaml"))
    assert files
    for file in files:
        TrainArguments.parse([str(file)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "triplet"},
        {"image_size": 0},
        {"threshold": 0.0},
        {"own_weight": 2.0},
        {"class_exponent": 1.5},
        {"class_exponent": -0.5},
        {"max_steps": 0},
        {"image_cache_gb": -1.0},
        {"min_box_size": float("nan")},
        {"directions": "upwards"},
        {"positives": "between"},
        {"upward_angle": "gamma"},
        {"proxy_weight": -1.0},
        {"proxy_temperature": 0.0},
        {"loss": "hcl", "positives": "inside"},
        {"relatives": "unknown"},
        {"radial_weight": -1.0},
        {"uniformity_weight": -1.0},
        {"temperature_min": 0.0},
        {"temperature_min": 0.5},
        {"loss": "cosine", "directions": "child_to_parent"},
        {"mated_boxes_per_scene": 2, "mates_per_box": 0},
        {"stream": True},
        {"deny_pairs": ["tree"]},
        {"children_measure": "similarity"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))}"):
        TrainArguments(**wrong)
