import json
import os
import signal

import numpy as np
import pytest
from oracle import Oracle, coded_image
from PIL import Image

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.detect import detect_boxes
from hf_hyperbolic.data.hierarchy import build_hierarchy

PARTS = {"car": ["wheel"], "wheel": ["hub"]}
TRUTH = [
    [((20, 60, 140, 160), "car"), ((30, 110, 80, 160), "wheel"), ((40, 120, 60, 140), "hub")],
    [((100, 20, 230, 150), "car"), ((110, 90, 160, 140), "wheel")],
    [],
    [((10, 10, 100, 100), "car")],
]
OPTIONS = {"classes": PARTS, "depth": 3, "min_crop": 16, "progress": False}


@pytest.fixture
def folder(tmp_path):
    for number in range(len(TRUTH)):
        file = tmp_path / "photos" / ("sub" if number % 2 else ".") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        coded_image(number, 240, 200).save(file)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".preview.png").write_text("no image either")
    return tmp_path / "photos"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_is_written_is_what_is_true(folder, tmp_path, batch_size):
    done = detect_boxes(folder, Oracle(TRUTH), tmp_path / "boxes.json", batch_size=batch_size, **OPTIONS)
    assert (done.num_images, done.num_boxes, done.num_resumed, done.problems) == (4, 6, 0, ())
    table = read_coco(done.output, done.image_folder, check_images=True)
    assert not table.problems
    found = {
        (int(file.split("/")[-1][0]), *box, table.class_names[label])
        for file, box, label in zip(
            table.image_files[table.box_image], table.boxes.tolist(), table.labels.tolist(), strict=True
        )
    }
    assert found == {(number, *box, label) for number, true in enumerate(TRUTH) for box, label in true}

    hierarchy = build_hierarchy(table)
    names = np.array([*table.class_names, "scene"])[hierarchy.node_label]
    direct = sorted((names[parent], names[child]) for parent, child in hierarchy.direct)
    assert direct == [("car", "wheel")] * 2 + [("scene", "car")] * 3 + [("wheel", "hub")]

    document = json.loads(done.output.read_text())
    by_id = {entry["id"]: entry for entry in document["annotations"]}
    category = {entry["id"]: entry["name"] for entry in document["categories"]}
    for entry in by_id.values():
        name, parent = category[entry["category_id"]], by_id.get(entry["parent_annotation"])
        assert entry["score"] == 0.9
        assert entry["depth"] == ["car", "wheel", "hub"].index(name)
        assert (parent and category[parent["category_id"]]) == [None, "car", "wheel"][entry["depth"]]
        assert parent is None or parent["image_id"] == entry["image_id"]
    assert document["info"]["detector"] == "Oracle"
    assert document["info"]["score_threshold"] == 0.1
    assert document["info"]["classes"]["parts"] == PARTS


def test_stopped_and_gone_on_gives_the_same_file(folder, tmp_path):
    whole = detect_boxes(folder, Oracle(TRUTH), tmp_path / "whole.json", **OPTIONS)
    for stop_after in range(len(TRUTH)):
        output = tmp_path / f"{stop_after}.json"
        with pytest.raises(KeyboardInterrupt):
            detect_boxes(folder, Oracle(TRUTH, stop_after=stop_after), output, **OPTIONS)
        assert not output.exists()
        progress = tmp_path / f"{stop_after}.progress.jsonl"
        # as if killed in the middle of the last line
        with progress.open("ab") as stream:
            stream.write(b'{"key": "sub/1.png", "resu')
        oracle = Oracle(TRUTH)
        done = detect_boxes(folder, oracle, output, **OPTIONS)
        assert done.num_resumed == stop_after
        assert len({shown[0] for shown in oracle.shown}) == len(TRUTH) - stop_after
        assert output.read_bytes() == whole.output.read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process to kill")
def test_killed_in_the_middle_and_gone_on_gives_the_same_file(folder, tmp_path):
    class Killed(Oracle):
        def see(self, picture, wanted):
            if len(self.shown) == 5:  # three pictures of 0.png, one of 2.png, one of sub/1.png
                os.kill(os.getpid(), signal.SIGKILL)
            return super().see(picture, wanted)

    # the same class name: settings name the detector
    Killed.__name__ = "Oracle"
    whole = detect_boxes(folder, Oracle(TRUTH), tmp_path / "whole.json", **OPTIONS)
    output = tmp_path / "killed.json"
    child = os.fork()
    if not child:
        try:
            detect_boxes(folder, Killed(TRUTH), output, **OPTIONS)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not output.exists()
    done = detect_boxes(folder, Oracle(TRUTH), output, **OPTIONS)
    assert done.num_resumed == 2
    assert output.read_bytes() == whole.output.read_bytes()


def test_new_images_only_after_a_finished_run(folder, tmp_path):
    output = tmp_path / "boxes.json"
    detect_boxes(folder, Oracle(TRUTH), output, **OPTIONS)
    coded_image(3, 240, 200).save(folder / "new.png")
    oracle = Oracle(TRUTH)
    done = detect_boxes(folder, oracle, output, **OPTIONS)
    assert (done.num_images, done.num_boxes, done.num_resumed) == (5, 7, 4)
    assert {shown[0] for shown in oracle.shown} == {3}


def test_other_settings_do_not_go_on(folder, tmp_path):
    detect_boxes(folder, Oracle(TRUTH), tmp_path / "boxes.json", **OPTIONS)
    for change in ({"depth": 2}, {"classes": ["car"]}, {"score_threshold": 0.2}, {"crop_context": 0.0}):
        (name,) = change
        with pytest.raises(ValueError, match=rf"boxes\.progress\.jsonl holds results of other settings: {name} \("):
            detect_boxes(folder, Oracle(TRUTH), tmp_path / "boxes.json", **OPTIONS | change)
    with pytest.raises(ValueError, match="other settings: image_folder"):
        detect_boxes(folder / "sub", Oracle(TRUTH), tmp_path / "boxes.json", **OPTIONS)


def test_broken_images_are_reported_and_tried_again(folder, tmp_path):
    content = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(content[: len(content) // 2])
    for number in range(25):
        (folder / f"text{number:02d}.jpg").write_text("no image")
    done = detect_boxes(folder, Oracle(TRUTH), tmp_path / "boxes.json", **OPTIONS)
    assert (done.num_images, done.num_boxes) == (3, 3)
    # one truncated, twenty of the texts, and the rest of those
    assert len(done.problems) == 22
    assert sum(problem.count for problem in done.problems) == 26
    assert done.problems[0].where.endswith("0.png")
    (folder / "0.png").write_bytes(content)
    assert detect_boxes(folder, Oracle(TRUTH), tmp_path / "boxes.json", **OPTIONS).num_boxes == 6


def test_faults_of_the_detector_are_counted_over_all_images_and_survive_going_on(folder, tmp_path):
    class Faulty(Oracle):
        def see(self, picture, wanted):
            bad = {"xmin": 50, "ymin": 10, "xmax": 20, "ymax": float("nan")}
            return [*super().see(picture, wanted), {"score": 0.9, "label": wanted[0], "box": bad}]

    for resumed in (0, 4):
        done = detect_boxes(folder, Faulty(TRUTH), tmp_path / "boxes.json", **OPTIONS)
        assert done.num_resumed == resumed
        (problem,) = done.problems
        # four images, three cars, and two wheels in them
        assert (problem.reason, problem.count) == ("not_a_box", 9)


def test_nothing_found_is_a_file_without_boxes(folder, tmp_path):
    done = detect_boxes(folder, Oracle([[]] * 4), tmp_path / "boxes.json", **OPTIONS)
    document = json.loads(done.output.read_text())
    assert (done.num_boxes, len(document["images"]), document["annotations"]) == (0, 4, [])
    with pytest.raises(ValueError, match="none of its 0 annotations is a usable box"):
        read_coco(done.output, folder)


def test_files_and_grey_and_turned_images(tmp_path):
    class Corner:
        task = "object-detection"

        def __call__(self, inputs, threshold, batch_size):
            assert all(picture.mode == "RGB" for picture in inputs)
            box = {"xmin": 0, "ymin": 0, "xmax": 20, "ymax": 30}
            return [[{"score": 0.9, "label": "corner", "box": box}] for _ in inputs]

    Image.new("L", (60, 40), 128).save(tmp_path / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "turned.jpg", exif=exif)
    files = [tmp_path / "turned.jpg", tmp_path / "grey.png"]
    done = detect_boxes(files, Corner(), tmp_path / "boxes.json", depth=1, progress=False)
    table = read_coco(done.output, check_images=True)
    assert not table.problems
    assert table.image_sizes.tolist() == [[60, 40], [40, 60]]
    assert table.class_names == ("corner",)


def test_bad_arguments(folder, tmp_path):
    output = tmp_path / "boxes.json"
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        detect_boxes(tmp_path / "nowhere", Oracle(TRUTH), output, **OPTIONS)
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder to write boxes\.json to"):
        detect_boxes(folder, Oracle(TRUTH), tmp_path / "nowhere" / "boxes.json", **OPTIONS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no images, that is no files that end in \.bmp"):
        detect_boxes(tmp_path / "empty", Oracle(TRUTH), output, **OPTIONS)
    with pytest.raises(ValueError, match="images is empty"):
        detect_boxes([], Oracle(TRUTH), output, **OPTIONS)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        detect_boxes(folder, Oracle(TRUTH), output, batch_size=0, **OPTIONS)
    with pytest.raises(ValueError, match="zero-shot detector needs to be told"):
        detect_boxes(folder, Oracle(TRUTH), output, **OPTIONS | {"classes": None})
    assert not list(tmp_path.glob("boxes*"))
    (tmp_path / "empty" / "one.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"none of the 1 images in .* can be read: .*one\.jpg"):
        detect_boxes(tmp_path / "empty", Oracle(TRUTH), output, **OPTIONS)
