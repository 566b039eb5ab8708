import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from torch.utils.data import DataLoader

from hf_hyperbolic.data import BoxTable, ImageReader, build_hierarchy, crop, drop_images, read_coco
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
    monkeypatch.setattr(images_module.Image, "open", lambda file, **kw: (opened.append(str(file)), original(file))[1])
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
    reader = ImageReader(replace(table, image_files=files), 0)
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


def photograph(seed: int, width: int, height: int) -> Image.Image:
    """Noise whose spectrum falls as that of photographs does, with edges."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    layers = []
    for _ in range(3):
        spectrum = (rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)) / frequency**1.4
        layer = np.fft.irfft2(spectrum, (height, width))
        layers.append(layer / layer.std())
    light, a, b = layers
    pixels = 120 + 40 * np.stack([light + 0.3 * a, light - 0.15 * (a + b), light + 0.3 * b], axis=-1)
    pixels[: height // 3, width // 4 : width // 2] *= 0.5
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


# sides that 8 does not divide; boxes that are all large in image 0, one small in image 1
SIZES = [(803, 605), (803, 605), (400, 600)]
BOXES = [
    [(10, 20, 610, 520), (300.5, 100.25, 802, 604), (0, 0, 803, 605)],
    [(10, 20, 610, 520), (50, 60, 80, 95)],
    [(30, 40, 390, 560)],
]


@pytest.fixture(scope="module", params=[False, True], ids=["pixels", "shares"])
def photographs(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    exif = Image.Exif()
    for number, (width, height) in enumerate(SIZES):
        image = photograph(number, width, height)
        if number == 2:  # lies on its side in the file
            exif[ExifTags.Base.Orientation] = 6
            image = image.transpose(Image.Transpose.ROTATE_90)
        image.save(folder / f"{number}.jpg", quality=90, exif=exif)
    boxes = [np.array(found, dtype=np.float64) for found in BOXES]
    if request.param:
        boxes = [found / np.tile(size, 2) for found, size in zip(boxes, SIZES, strict=True)]
    table = BoxTable(
        image_ids=np.array(["0", "1", "2"]),
        image_files=np.array([str(folder / f"{number}.jpg") for number in range(3)]),
        image_sizes=np.ones((3, 2), np.int32) if request.param else np.array(SIZES, dtype=np.int32),
        box_image=np.repeat(np.arange(3, dtype=np.int32), [3, 2, 1]),
        boxes=np.concatenate(boxes).astype(np.float32),
        labels=np.zeros(6, dtype=np.int32),
        class_names=("thing",),
        relative=request.param,
    )
    return table, build_hierarchy(table)


def plain_crops(table, hierarchy, nodes, size):
    """The obvious way: open, decode in full and cut, for every box anew."""
    crops = []
    for node in nodes:
        with Image.open(table.image_files[hierarchy.node_image[node]]) as stored:
            image = ImageOps.exif_transpose(stored).convert("RGB")
        factors = np.tile(np.array(image.size) / table.image_sizes[hierarchy.node_image[node]], 2)
        crops.append(crop(image, hierarchy.node_box[node] * factors, size))
    return np.stack(crops).astype(int)


@pytest.mark.parametrize(("size", "scales"), [(224, [1, 1, 1]), (112, [2, 1, 1]), (64, [2, 1, 2]), (40, [4, 1, 4])])
def test_crops_of_images_decoded_at_a_fraction(photographs, size, scales):
    table, hierarchy = photographs
    reader = ImageReader(table)
    used = []
    reader.read = lambda index, scale=1: used.append((int(index), scale)) or ImageReader.read(reader, index, scale)
    nodes = np.arange(hierarchy.num_nodes)
    crops, _, _ = node_crops(reader, hierarchy, nodes, size)
    assert used == list(enumerate(scales))
    difference = np.abs(crops - plain_crops(table, hierarchy, nodes, size))
    for image, scale in enumerate(scales):
        mine = difference[hierarchy.node_image == image]
        if scale == 1:
            assert (mine == 0).all()
        else:
            assert 0 < mine.mean() < 1
            assert np.percentile(mine, 99) <= 6


@pytest.mark.parametrize("size", [64, 40])
def test_a_crop_depends_neither_on_its_batch_nor_on_the_cache(photographs, size):
    table, hierarchy = photographs
    everything = np.arange(hierarchy.num_nodes)
    crops, _, _ = node_crops(ImageReader(table), hierarchy, everything, size)
    used = ImageReader(table)
    for other in (16, 224, 112):  # leaves the images behind at other scales
        node_crops(used, hierarchy, everything, other)
    for node in everything:
        for reader in (ImageReader(table, 0), used):
            alone, _, _ = node_crops(reader, hierarchy, np.array([node]), size)
            assert np.array_equal(alone[0], crops[node])


def test_image_nodes(hierarchy):
    for image in range(hierarchy.num_images):
        expected = np.flatnonzero(hierarchy.node_image == image)
        assert np.array_equal(hierarchy.image_nodes(image), expected)


@pytest.mark.real_data
@pytest.mark.skipif("HF_HYPERBOLIC_DATA" not in os.environ, reason="needs photographs")
@pytest.mark.parametrize("name", ["coco", "ccp"])
def test_scaled_photographs_differ_by_a_grey_level(name):
    folder = Path(os.environ["HF_HYPERBOLIC_DATA"]) / name
    table = drop_images(read_coco(folder / "instances_val.json", folder / "images"), np.arange(40, 100), [])
    scenes = replace(build_hierarchy(table), node_image=np.arange(table.num_images))  # without boxes below them
    nodes = np.arange(table.num_images)
    crops, _, _ = node_crops(ImageReader(table), scenes, nodes, 32)
    difference = np.abs(crops - plain_crops(table, scenes, nodes, 32))
    assert 0 < difference.mean() < 1.2
