"""What trackers are told, read back from their files."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from run_here import logged

from hf_hyperbolic.training import trackers as module
from hf_hyperbolic.training.trackers import log_picture, trackers_asked_for

SHORT = [
    "--image_size", "32", "--projection_dim", "16", "--scenes_per_batch", "4", "--boxes_per_scene", "4", "--max_steps",
    "2", "--eval_steps", "1", "--logging_steps", "1", "--cpu", "true", "--mixed_precision", "no",
]  # fmt: skip


@pytest.fixture
def installed(monkeypatch):
    """Makes only some packages be there."""

    def only(*names):
        monkeypatch.setattr(module, "find_spec", lambda name: True if name in names else None)
        for name in module.TRACKERS:
            if name not in names:
                monkeypatch.setitem(sys.modules, name, None)

    return only


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        (("tensorboard", "wandb"), [], ["tensorboard"]),
        (("wandb",), [], []),
        (("tensorboard", "wandb"), ["all"], ["tensorboard", "wandb"]),
        (("tensorboard", "wandb"), ["none"], []),
        (("tensorboard", "wandb"), ["wandb", "tensorboard", "wandb"], ["wandb", "tensorboard"]),
    ],
)
def test_which_trackers(installed, there, asked, expected):
    installed(*there)
    assert trackers_asked_for(asked) == expected


@pytest.mark.parametrize(
    ("name", "extra"), [("tensorboard", "demo"), ("trackio", "trackio"), ("wandb", "wandb")]
)  # fmt: skip
def test_one_that_is_not_installed_is_named(installed, name, extra):
    installed()
    with pytest.raises(ImportError, match=rf'{name} is not installed: pip install "hf-hyperbolic\[{extra}\]"'):
        trackers_asked_for([name])


@pytest.mark.parametrize("asked", [["mlflow"], ["all", "wandb"], ["none", "tensorboard"]])
def test_names_that_mean_nothing(installed, asked):
    installed("wandb", "tensorboard")
    with pytest.raises(ValueError, match=r"--report_to .*(got 'mlflow'|all and none stand alone)"):
        trackers_asked_for(asked)


def test_each_tracker_gets_a_picture_in_its_own_way(monkeypatch):
    told = {}

    class Tracker:
        def __init__(self, name):
            self.name = name

        def log_images(self, values, step, **kwargs):
            told[self.name] = (values, step, kwargs)

        def log(self, values, step):
            told[self.name] = (values, step, {})

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(Image=lambda picture: ("trackio", picture)))
    picture = Image.new("RGB", (7, 5), "red")
    names = ("tensorboard", "wandb", "trackio")
    log_picture(SimpleNamespace(trackers=[Tracker(name) for name in names]), "retrieval", picture, 3)
    values, step, kwargs = told["tensorboard"]
    assert values["retrieval"].shape == (1, 5, 7, 3)
    assert (step, kwargs) == (3, {"dataformats": "NHWC"})
    assert told["wandb"] == ({"retrieval": [picture]}, 3, {})
    assert told["trackio"] == ({"retrieval": ("trackio", picture)}, 3, {})


@pytest.mark.slow
def test_tensorboard_holds_figures_and_what_was_retrieved(data, tmp_path, train_here):
    pytest.importorskip("tensorboard")
    pytest.importorskip("matplotlib")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    train_here("--data", data, "--output_dir", run, *SHORT, "--report_to", "tensorboard")
    (folder,) = {path.parent for path in run.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0}).Reload()
    names = {
        "loss", "loss_parent_to_child", "loss_child_to_parent", "curvature", "temperature", "radius_scene",
        "radius_box", "val_score", "val_radius_scene", "val_radius_object", "val_radius_part",
    }  # fmt: skip
    assert names <= set(events.Tags()["scalars"])
    for name in names:
        assert [event.step for event in events.Scalars(name)] == [1, 2]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(logged(run, name), rel=1e-6)
    pictures = events.Images("retrieval")
    assert [picture.step for picture in pictures] == [1, 2]
    assert pictures[0].width > 112 * 4
    assert pictures[0].height > 112 * 3


@pytest.mark.slow
def test_none_leaves_no_files_of_trackers(data, tmp_path, train_here):
    run = tmp_path / "run"
    train_here("--data", data, "--output_dir", run, *SHORT, "--max_steps", "1", "--report_to", "none")
    assert (run / "final" / "model.safetensors").exists()
    assert not list(run.rglob("events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_others_are_told_where_they_are_installed(data, tmp_path, train_here, monkeypatch, name):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = tmp_path / "run"
    train_here("--data", data, "--output_dir", run, *SHORT, "--max_steps", "1", "--report_to", name)
    if name == "wandb":
        assert list(run.rglob("*.wandb"))
        assert list(run.rglob("retrieval*.png"))
    else:
        assert list((tmp_path / "trackio").rglob("*.db"))
        assert list((tmp_path / "trackio").rglob("*.png"))


def test_without_a_tracker_nothing_is_drawn():
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)
    validation = SimpleNamespace(embeds=np.zeros((2, 2)))  # anything more that was asked of it would be an error
    module.track_retrieval(accelerator, validation, None, 1)
    AcceleratorState._reset_state(reset_partial_state=True)
