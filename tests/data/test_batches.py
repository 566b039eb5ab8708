import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from hf_hyperbolic.data import ImageReader, build_hierarchy, crop, read_coco
from hf_hyperbolic.data import images as images_module
from hf_hyperbolic.data.batches import BatchPlan, BatchSampler, CropBatches, node_crops
from hf_hyperbolic.data.scenes import write_scenes


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return read_coco(write_scenes(tmp_path_factory.mktemp("scenes"), "train", 14, size=96))


@pytest.fixture(scope="module")
def hierarchy(table):
    return build_hierarchy(table)


def test_an_epoch_shows_every_image_once(hierarchy):
    sampler = BatchSampler(hierarchy, BatchPlan(scenes=2, boxes_per_scene=3), seed=3)
    scenes = [nodes[hierarchy.node_label[nodes] == -1] for nodes in map(sampler.nodes, range(sampler.steps_per_epoch))]
    assert sorted(np.concatenate(scenes).tolist()) == list(range(14))
    second = [sampler.nodes(step) for step in range(sampler.steps_per_epoch, 2 * sampler.steps_per_epoch)]
    assert not all(np.array_equal(a[hierarchy.node_label[a] == -1], b) for a, b in zip(second, scenes, strict=True))


def test_nodes_are_distinct_and_as_planned(hierarchy):
    plan = BatchPlan(scenes=4, boxes_per_scene=5, mated_boxes_per_scene=2, mates_per_box=2)
    sampler = BatchSampler(hierarchy, plan)
    for step in range(10):
        nodes = sampler.nodes(step)
        assert len(np.unique(nodes)) == len(nodes)
        scenes = nodes[hierarchy.node_label[nodes] == -1]
        assert len(scenes) == 4
        boxes = nodes[hierarchy.node_label[nodes] >= 0]
        mates = boxes[~np.isin(hierarchy.node_image[boxes], scenes)]
        assert len(boxes) - len(mates) <= 4 * 5 + 4 * 2 * 2
        assert len(mates) <= 4 * 2 * 2
        assert np.isin(hierarchy.node_label[mates], hierarchy.node_label[boxes]).all()


def test_a_batch_depends_on_seed_and_step_alone(table, hierarchy):
    def batches(workers, seed=0):
        sampler = BatchSampler(hierarchy, BatchPlan(2, 3), seed)
        data = CropBatches(ImageReader(table, 0), hierarchy, sampler, size=16)
        return list(DataLoader(data, batch_size=None, sampler=range(2, 6), num_workers=workers))

    alone, helped, other = batches(0), batches(2), batches(0, seed=1)
    for a, b in zip(alone, helped, strict=True):
        assert torch.equal(a["pixel_values"], b["pixel_values"])
        assert np.array_equal(a["nodes"], b["nodes"])
    assert not all(np.array_equal(a["nodes"], b["nodes"]) for a, b in zip(alone, other, strict=True))


def test_shards_together_are_the_batch(table, hierarchy):
    sampler = BatchSampler(hierarchy, BatchPlan(3, 4))

    def item(shard):
        return CropBatches(ImageReader(table, 0), hierarchy, sampler, size=16, shard=shard)[5]

    whole, parts = item((0, 1)), [item((rank, 3)) for rank in range(3)]
    assert torch.equal(whole["pixel_values"], torch.cat([part["pixel_values"] for part in parts]))
    assert np.array_equal(whole["nodes"], np.concatenate([part["nodes"] for part in parts]))


def test_an_image_is_decoded_once_a_batch(table, hierarchy, monkeypatch):
    opened = []
    original = Image.open
    monkeypatch.setattr(images_module.Image, "open", lambda file, *args: (opened.append(str(file)), original(file))[1])
    sampler = BatchSampler(hierarchy, BatchPlan(3, 6, mated_boxes_per_scene=2))
    batch = CropBatches(ImageReader(table, 0), hierarchy, sampler, size=16)[0]
    assert len(batch["nodes"]) > 12
    assert len(opened) == len(set(hierarchy.node_image[batch["nodes"]].tolist()))


def test_crops_show_the_context_and_have_the_mode_asked_for(table, hierarchy):
    reader = ImageReader(table)
    nodes = np.flatnonzero(hierarchy.node_image < 3)
    crops, _, kept = node_crops(reader, hierarchy, nodes, 16, context=0.3, mode="pad")
    assert np.array_equal(kept, np.arange(len(nodes)))
    for node, found in zip(nodes, crops, strict=True):
        image = reader[int(hierarchy.node_image[node])]
        assert np.array_equal(found, crop(image, hierarchy.node_box[node], 16, context=0.3, mode="pad"))
        if hierarchy.node_label[node] == -1:
            assert np.array_equal(found, crop(image, (0, 0, *image.size), 16)), "a scene has nothing around it"


def test_a_flip_mirrors_whole_images(table, hierarchy):
    sampler = BatchSampler(hierarchy, BatchPlan(4, 4))
    plain = CropBatches(ImageReader(table, 0), hierarchy, sampler, size=16, flip=False)
    flipped = CropBatches(ImageReader(table, 0), hierarchy, sampler, size=16, flip=True)
    seen = set()
    for step in range(4):
        a, b = plain[step], flipped[step]
        images = hierarchy.node_image[a["nodes"]]
        for image in np.unique(images):
            mine = torch.from_numpy(images == image)
            same = torch.equal(a["pixel_values"][mine], b["pixel_values"][mine])
            mirrored = torch.equal(a["pixel_values"][mine].flip(-1), b["pixel_values"][mine])
            assert same or mirrored
            seen.add(mirrored and not same)
    assert seen == {True, False}


def test_a_broken_image_is_left_out_and_named(table, hierarchy, tmp_path):
    files = table.image_files.astype(object)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    files[0] = str(broken)
    reader = ImageReader(dataclasses.replace(table, image_files=files), 0)
    nodes = np.flatnonzero(np.isin(hierarchy.node_image, [0, 1]))
    crops, messages, kept = node_crops(reader, hierarchy, nodes, 16)
    assert len(crops) == len(kept) == (hierarchy.node_image == 1).sum()
    assert (hierarchy.node_image[nodes[kept]] == 1).all()
    assert len(messages) == 1
    assert "broken.jpg" in messages[0]


def test_too_few_images_for_a_batch(hierarchy):
    with pytest.raises(ValueError, match="lower the number of scenes per batch"):
        BatchSampler(hierarchy, BatchPlan(scenes=15))


@pytest.mark.parametrize("plan", [{"scenes": 1}, {"boxes_per_scene": 0}, {"mates_per_box": -1}])
def test_impossible_plans_are_refused(plan):
    with pytest.raises(ValueError, match=r"at least|negative"):
        BatchPlan(**plan)
