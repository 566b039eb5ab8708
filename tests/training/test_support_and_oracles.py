"""What a zero-shot evaluation and the oracles read of other splits: broken images, missing images, foreign classes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.coco_writer import write_coco
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.sources import class_frequencies_for, load_split, train_hierarchy_of
from hf_hyperbolic.training.support import load_support

IMAGES = 6


@pytest.fixture
def table(tmp_path):
    files = [tmp_path / "pictures" / f"{n}.png" for n in range(IMAGES)]
    files[0].parent.mkdir()
    for file in files:
        Image.new("RGB", (50, 40)).save(file)
    return BoxTable(
        image_ids=np.array([str(n) for n in range(IMAGES)]),
        image_files=np.array([str(file) for file in files]),
        image_sizes=np.array([[50, 40]] * IMAGES, dtype=np.int32),
        box_image=np.repeat(np.arange(IMAGES), 2).astype(np.int32),
        boxes=np.array([[0, 0, 30, 30], [5, 5, 10, 10]] * IMAGES, dtype=np.float32),
        labels=np.array([0, 1] * IMAGES, dtype=np.int32),
        class_names=("a", "b"),
    )


@pytest.fixture
def args(table, tmp_path):
    for split in ("train", "val"):
        write_coco(table, tmp_path / f"instances_{split}.json")
    return TrainArguments(data=str(tmp_path))


def test_broken_images_are_drawn_anew_and_only_drawn_ones_are_decoded(args, tmp_path, monkeypatch):
    held_out = load_split(args, "val")
    whole, support = load_support(args, "train", args.data, held_out.hierarchy, shots=2, draws=1)
    images = np.unique(whole.hierarchy.node_image[support.nodes])
    broken = whole.table.image_files[images[0]]
    with open(broken, "wb"):
        pass
    checked = []
    from hf_hyperbolic.training import support as module

    real = module.find_broken
    monkeypatch.setattr(
        module, "find_broken", lambda table, *rest: (checked.extend(table.image_files), real(table, *rest))[1]
    )
    found, drawn = load_support(args, "train", args.data, held_out.hierarchy, shots=2, draws=1)
    assert broken not in found.table.image_files
    assert found.table.num_images == IMAGES - 1
    assert np.bincount(drawn.labels).tolist() == [2, 2]
    assert len(checked) == len(set(checked)), "an image is checked once"
    monkeypatch.setattr(module, "find_broken", lambda table, *rest: pytest.fail("one image was to be checked"))
    with pytest.raises(ValueError, match="one file, one split"):
        load_support(args, "train", str(tmp_path / "instances_val.json"), held_out.hierarchy, 2, 1)


def test_counting_classes_needs_no_images(args, table, tmp_path):
    with_images = train_hierarchy_of(args)
    for file in table.image_files:
        (tmp_path / "pictures" / file).unlink()
    with pytest.raises(ValueError, match="image"):
        load_split(args, "train")
    found = train_hierarchy_of(args)
    assert np.array_equal(found.ancestry, with_images.ancestry)
    assert np.array_equal(found.node_label, with_images.node_label)


def test_a_malformed_training_split_is_not_taken_for_one_without_images(args, tmp_path):
    (tmp_path / "instances_train.json").write_text('{"images": 3}')
    with pytest.raises(ValueError, match=r"instances_train\.json"):
        train_hierarchy_of(args)


def test_class_frequencies_come_from_the_set_itself_else_from_training_else_from_nowhere(args, table, tmp_path):
    here = load_split(args, "val").hierarchy
    found, note = class_frequencies_for(args, here, args.data, trained_on="/nowhere")
    assert (found is not None, note) == (True, "")
    (tmp_path / "alone").mkdir()
    write_coco(replace(table, class_names=("a", "new")), tmp_path / "alone" / "instances_val.json")
    alone = str(tmp_path / "alone")
    other = load_split(args, "val", alone, image_folder=str(tmp_path)).hierarchy
    found, note = class_frequencies_for(args, other, alone, trained_on=args.data)
    assert found.class_names == ("a", "b")
    assert "which knows 1 of its 2 classes" in note
    foreign = replace(other, class_names=("x", "y"))
    for trained_on in (args.data, None, "/nowhere"):
        found, note = class_frequencies_for(args, foreign, alone, trained_on=trained_on)
        assert found is None
        assert "no training split shares a class" in note
