"""Embedded scenes: exact boxes, a true hierarchy, one picture per (seed, split, index), valid COCO on disk."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.scenes import (
    CLASS_NAMES,
    OBJECT_CLASSES,
    PART_CLASSES,
    SCENE_KINDS,
    SPLITS,
    Scene,
    render_scene,
    write_scenes,
)
from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.foreign import LOOKS
from hf_hyperbolic.data.scenes.kinds import KINDS
from hf_hyperbolic.data.scenes.style import LIGHTS, draw_style
from hf_hyperbolic.data.scenes.thing import THINGS

COUNT = 300


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(0, index) for index in range(COUNT)]


def plain_canvas(size: int = 100) -> Canvas:
    style = draw_style(random.Random(0))
    style.outline = 0.0
    return Canvas(style, size)


def boxes_of(canvas: Canvas) -> dict[str, tuple[float, float, float, float]]:
    return {part.label: box for part, box in canvas.finish(random.Random(0))[1]}


# the canvas


@pytest.mark.parametrize("flip", [False, True])
def test_box_of_a_rectangle_in_nested_frames(flip: bool) -> None:
    canvas = plain_canvas()
    with canvas.at(0.5, 0.2, 0.5), canvas.at(0.2, 0.4, 0.5, flip=flip), canvas.part("a"):
        canvas.rectangle(0.0, 0.0, 0.4, 0.8, (200, 30, 30))
    x0, x1 = (0.5, 0.6) if flip else (0.6, 0.7)
    expected = (100 * x0, 100 * (1 - 0.6), 100 * x1, 100 * (1 - 0.4))
    # Pillow fills the pixel under a right or lower edge too: up to one supersampled pixel, half a pixel here
    assert boxes_of(canvas)["a"] == pytest.approx(expected, abs=0.51)


def test_box_of_a_turned_square() -> None:
    canvas = plain_canvas()
    with canvas.at(0.5, 0.5, 0.2, angle=np.pi / 4), canvas.part("a"):
        canvas.rectangle(-1, -1, 1, 1, (200, 30, 30))
    half = 20 * np.sqrt(2)
    assert boxes_of(canvas)["a"] == pytest.approx((50 - half, 50 - half, 50 + half, 50 + half), abs=0.51)


@pytest.mark.parametrize("name", ["house", "person", "bicycle", "sailboat", "tree"])
def test_box_is_where_the_pixels_are(name: str) -> None:
    canvas = plain_canvas(160)
    with canvas.at(0.5, 0.2, 0.5, angle=0.1):
        THINGS[name].draw(canvas, random.Random(3))
    image, seen = canvas.finish(random.Random(0))
    coloured = np.asarray(image).max(-1) > 24  # the background is black, the grain a few levels
    rows, columns = np.nonzero(coloured.any(1))[0], np.nonzero(coloured.any(0))[0]
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert seen[0][0].label == name
    assert seen[0][1] == pytest.approx(found, abs=1.5)


def test_covering_shrinks_the_box_and_then_drops_it() -> None:
    for cover, expected in ((0.3, (30.0, 70.0)), (0.64, None)):
        canvas = plain_canvas()
        with canvas.part("behind"):
            canvas.rectangle(0.1, 0.2, 0.7, 0.8, (200, 30, 30))
        with canvas.part("front"):
            canvas.rectangle(0.0, 0.1, cover, 0.9, (30, 200, 30))
        box = boxes_of(canvas).get("behind")
        if expected is None:
            assert box is None
        else:
            assert box is not None
            assert (box[0], box[2]) == pytest.approx(expected, abs=0.51)


def test_mostly_outside_and_too_small_are_dropped() -> None:
    canvas = plain_canvas()
    with canvas.part("outside"):
        canvas.rectangle(-0.5, 0.2, 0.1, 0.5, (200, 30, 30))
    with canvas.part("clipped"):
        canvas.rectangle(0.6, 0.2, 1.2, 0.5, (200, 30, 30))
    with canvas.part("tiny"):
        canvas.rectangle(0.3, 0.3, 0.32, 0.5, (200, 30, 30))
    boxes = boxes_of(canvas)
    assert set(boxes) == {"clipped"}
    assert boxes["clipped"] == pytest.approx((60, 50, 100, 80), abs=0.51)


def test_too_many_parts_is_an_error() -> None:
    canvas = plain_canvas()
    with pytest.raises(ValueError, match="at most 255 parts"):  # noqa: PT012
        for _ in range(256):
            with canvas.part("a"):
                canvas.rectangle(0, 0, 1, 1, (0, 0, 0))


# the scenes


def test_names() -> None:
    assert len(SCENE_KINDS) >= 6
    assert len(OBJECT_CLASSES) >= 15
    assert len(PART_CLASSES) >= 30
    assert CLASS_NAMES == OBJECT_CLASSES + PART_CLASSES
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES)


def test_every_class_can_be_drawn_and_no_other() -> None:
    drawn = set()
    for name, thing in THINGS.items():
        for seed in range(25):
            canvas = plain_canvas(192)
            with canvas.at(0.5, 0.05, 0.9 / max(thing.aspect, 1)):
                thing.draw(canvas, random.Random(f"{name}{seed}"))
            drawn |= set(boxes_of(canvas))
    assert drawn == set(CLASS_NAMES)


def test_every_object_is_in_some_cast_and_guests_are_strangers() -> None:
    casts = {kind.name: set().union(*(role.cast for role in kind.roles)) for kind in KINDS.values()}
    assert set().union(*casts.values()) == set(THINGS)
    assert set(OBJECT_CLASSES) <= set(THINGS)
    for kind in KINDS.values():
        assert kind.guests
        assert set(kind.guests) <= set(THINGS) - casts[kind.name]


def test_boxes_are_inside_with_positive_area(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.mode == "RGB"
        assert scene.image.size == (192, 192)
        assert scene.boxes.shape == (len(scene.labels), 4)
        assert scene.boxes.dtype == np.float32
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= 192).all()
        assert (scene.boxes[:, 2:] - scene.boxes[:, :2] >= 6).all()
        assert set(scene.labels) <= set(CLASS_NAMES)
        assert scene.kind in SCENE_KINDS


def test_children_lie_inside_their_parents(scenes: list[Scene]) -> None:
    checked = 0
    for scene in scenes:
        assert (scene.parents < np.arange(len(scene.parents))).all()
        for child, parent in enumerate(scene.parents):
            if parent >= 0:
                assert (scene.boxes[child, :2] >= scene.boxes[parent, :2]).all()
                assert (scene.boxes[child, 2:] <= scene.boxes[parent, 2:]).all()
                checked += 1
    assert checked > 10 * COUNT


def chain(scene: Scene, row: int) -> list[int]:
    rows = [row]
    while scene.parents[rows[-1]] >= 0:
        rows.append(int(scene.parents[rows[-1]]))
    return rows


def test_four_levels_below_the_scene(scenes: list[Scene]) -> None:
    chains = {tuple(scene.labels[r] for r in chain(scene, row)) for scene in scenes for row in range(len(scene.labels))}
    assert ("pane", "window", "house") in chains  # with the scene: street -> house -> window -> pane
    assert max(map(len, chains)) >= 4


def containments(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (outer, inner) by the 80 % rule, true ancestor pairs, and pairs that overlap: each (n, n) bool."""
    count = len(scene.labels)
    rule, truth, overlap = (np.zeros((count, count), bool) for _ in range(3))
    for i in range(count):
        for outer in chain(scene, i)[1:]:
            truth[outer, i] = True
        for j in range(count):
            a, b = scene.boxes[i].astype(float), scene.boxes[j].astype(float)
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
            inter = max(w, 0) * max(h, 0)
            if i != j and area_a > area_b:
                duplicate = inter / (area_a + area_b - inter) > 0.9
                rule[i, j] = inter >= 0.8 * area_b and not duplicate
                overlap[i, j] = 0.05 * area_b < inter < 0.8 * area_b
    return rule, truth, overlap


def test_containment_by_the_rule_is_mostly_the_true_tree(scenes: list[Scene]) -> None:
    accidental = by_rule = missed = true = neighbours = 0
    for scene in scenes[:120]:
        rule, truth, overlap = containments(scene)
        by_rule += rule.sum()
        accidental += (rule & ~truth).sum()
        true += truth.sum()
        missed += (truth & ~rule).sum()
        neighbours += (overlap & ~truth & ~truth.T).sum()
    assert 0 < accidental < 0.12 * by_rule
    assert missed < 0.01 * true
    assert neighbours > 5 * 120


def test_frequencies_are_long_tailed(scenes: list[Scene]) -> None:
    counts = Counter(label for scene in scenes for label in scene.labels)
    assert 10 <= sum(counts.values()) / COUNT <= 25
    objects = sorted((counts[name] for name in OBJECT_CLASSES), reverse=True)
    fifth = len(objects) // 5
    assert sum(objects[:fifth]) > 0.45 * sum(objects)  # 0.2 if all were as frequent
    assert objects[0] > 5 * np.median(objects)
    assert objects[0] > 50 * max(objects[-5], 1)
    kinds = Counter(scene.kind for scene in scenes)
    assert set(kinds) == set(SCENE_KINDS)


def test_scenes_of_a_kind_differ_in_content(scenes: list[Scene]) -> None:
    streets = [frozenset(scene.labels) for scene in scenes if scene.kind == "street"]
    assert len(set(streets)) > 0.9 * len(streets)


# one picture per (seed, split, index)


def test_same_arguments_same_bytes() -> None:
    for index in range(5):
        first, second = render_scene(3, index), render_scene(3, index)
        assert first.image.tobytes() == second.image.tobytes()
        np.testing.assert_array_equal(first.boxes, second.boxes)
        assert first.labels == second.labels


def test_seeds_and_splits_share_no_scene() -> None:
    pictures = {
        render_scene(seed, index, split).image.tobytes() for seed in (0, 1) for split in SPLITS for index in range(8)
    }
    assert len(pictures) == 2 * len(SPLITS) * 8


def test_a_scene_is_the_same_at_any_size() -> None:
    for index in range(6):
        small, large = render_scene(0, index, size=192), render_scene(0, index, size=384)
        assert small.kind == large.kind
        shrunk = np.asarray(large.image.resize((192, 192)), dtype=float)
        other = np.asarray(render_scene(0, index + 6).image, dtype=float)
        drawn = np.asarray(small.image, dtype=float)
        # grain and hairlines differ with the size, the picture does not
        assert np.abs(shrunk - drawn).mean() < 0.25 * np.abs(other - drawn).mean()


def test_out_of_domain_looks_are_not_in_the_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    import hf_hyperbolic.data.scenes.compose as compose

    seen: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}

    class Recording(Canvas):
        def __init__(self, style, size):  # type: ignore[no-untyped-def]
            seen[current][style.name] += 1
            assert (style.grade is not None) == (current == "ood")
            super().__init__(style, size)

    monkeypatch.setattr(compose, "Canvas", Recording)
    for current in SPLITS:
        for index in range(30):
            render_scene(0, index, current, size=32)
    assert set(seen["ood"]) == set(LOOKS)
    for split in ("train", "val", "test"):
        assert set(seen[split]) <= set(LIGHTS)


def test_out_of_domain_has_unseen_combinations() -> None:
    casts = {kind.name: set().union(*(role.cast for role in kind.roles)) for kind in KINDS.values()}

    def strangers(split: str) -> int:
        found = 0
        for index in range(60):
            scene = render_scene(0, index, split, size=64)
            roots = {label for label, parent in zip(scene.labels, scene.parents, strict=True) if parent < 0}
            found += bool((roots & set(THINGS)) - casts[scene.kind] - set(PART_CLASSES) - {"person", "flower"})
        return found

    assert strangers("train") == 0
    assert strangers("ood") > 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"index": -1}, "must not be negative"),
        ({"size": 8}, "at least 16"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_scene(**{"seed": 0, "index": 0, **arguments})  # type: ignore[arg-type]


# the folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_folder_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    write_scenes(tmp_path / "one", "train", 20, seed=5, size=64)
    write_scenes(tmp_path / "two", "train", 20, seed=5, size=64, num_workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_folder_is_valid_coco(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "val", 6, size=96)
    assert path == tmp_path / "instances_val.json"
    coco = json.loads(path.read_text())
    assert set(coco) == {"info", "licenses", "images", "annotations", "categories"}
    images = {image["id"]: image for image in coco["images"]}
    categories = {category["id"]: category["name"] for category in coco["categories"]}
    annotations = {annotation["id"]: annotation for annotation in coco["annotations"]}
    assert len(images) == 6
    assert tuple(categories.values()) == CLASS_NAMES
    assert len(annotations) == len(coco["annotations"])
    for image in images.values():
        with Image.open(tmp_path / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"])
    for annotation in annotations.values():
        x, y, w, h = annotation["bbox"]
        assert min(x, y) >= 0
        assert min(w, h) > 0
        assert max(x + w, y + h) <= 96
        if annotation["parent_annotation"] is not None:
            assert annotations[annotation["parent_annotation"]]["image_id"] == annotation["image_id"]
    for index in range(6):
        scene = render_scene(0, index, "val", 96)
        rows = [annotation for annotation in annotations.values() if annotation["image_id"] == index]
        assert tuple(categories[row["category_id"]] for row in rows) == scene.labels
        found = np.array([row["bbox"] for row in rows])
        np.testing.assert_allclose(found[:, :2], scene.boxes[:, :2])
        np.testing.assert_allclose(found[:, :2] + found[:, 2:], scene.boxes[:, 2:])
        assert images[index]["scene_kind"] == scene.kind


def test_the_reader_takes_every_box(tmp_path: Path) -> None:
    table = read_coco(write_scenes(tmp_path, "test", 5), image_folder=tmp_path)
    assert not table.problems
    scenes = [render_scene(0, index, "test") for index in range(5)]
    np.testing.assert_allclose(table.boxes, np.concatenate([scene.boxes for scene in scenes]), atol=1e-4)
    labels = [label for scene in scenes for label in scene.labels]
    assert [table.class_names[label] for label in table.labels] == labels


def test_a_complete_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_scenes(tmp_path, "train", 4, size=32)

    def refuse(*_: object) -> None:
        raise AssertionError("drew again")

    monkeypatch.setattr("hf_hyperbolic.data.scenes.write.render_scene", refuse)
    assert write_scenes(tmp_path, "train", 4, size=32) == path
    with pytest.raises(AssertionError, match="drew again"):
        write_scenes(tmp_path, "train", 4, seed=1, size=32)


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents(write_scenes(tmp_path / "whole", "train", 6, size=32).parent)

    def stop(seed: int, index: int, split: str, size: int) -> Scene:
        if index == 3:
            raise KeyboardInterrupt
        return render_scene(seed, index, split, size)

    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr("hf_hyperbolic.data.scenes.write.render_scene", stop)
        with pytest.raises(KeyboardInterrupt):
            write_scenes(broken, "train", 6, size=32)
    assert not (broken / "instances_train.json").exists()
    assert sorted(path.name for path in (broken / "train").glob("*.jpg")) == [f"{k:06d}.jpg" for k in range(3)]
    kept = (broken / "train" / "000000.jpg").stat().st_mtime_ns
    write_scenes(broken, "train", 6, size=32)
    assert (broken / "train" / "000000.jpg").stat().st_mtime_ns == kept
    assert contents(broken) == whole


def test_other_parameters_replace_the_images(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a", "train", 5, seed=1, size=32)
    write_scenes(tmp_path / "a", "train", 3, seed=2, size=32)
    write_scenes(tmp_path / "b", "train", 3, seed=2, size=32)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"cannot write scenes to .*file.*choose another folder"):
        write_scenes(tmp_path / "file" / "x", "train", 2, size=32)


@pytest.mark.parametrize(("split", "count", "message"), [("dev", 1, "unknown split"), ("train", 0, "at least 1")])
def test_bad_requests_write_nothing(tmp_path: Path, split: str, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / "x", split, count)
    assert not (tmp_path / "x").exists()
