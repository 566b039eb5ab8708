import io
import json
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as PILImage
from torch.utils.data import DataLoader

from hf_hyperbolic.data import ImageReader, build_hierarchy, crop, decode, read_coco
from hf_hyperbolic.data.batches import BatchPlan, node_crops
from hf_hyperbolic.data.relations import RelationIndex
from hf_hyperbolic.data.row_hierarchies import COLUMNS, join_hierarchies, row_hierarchy
from hf_hyperbolic.data.scenes import write_scenes
from hf_hyperbolic.data.streaming import StreamedBatches

IMAGES = 23


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return read_coco(write_scenes(tmp_path_factory.mktemp("scenes"), "train", IMAGES, size=96))


@pytest.fixture(scope="module")
def hierarchy(table):
    return build_hierarchy(table)


@pytest.fixture(scope="module")
def rows(table, hierarchy):
    """Rows of the exported set, made here by plain loops over the table and the hierarchy."""
    made = []
    for image in range(table.num_images):
        boxes = np.flatnonzero(table.box_image == image)
        local = {image: 0} | {table.num_images + int(box): 1 + i for i, box in enumerate(boxes)}
        nodes = table.num_images + boxes
        pairs = {
            name: [[local[p], local[c]] for p, c in getattr(hierarchy, name).tolist() if p in local]
            for name in ("direct", "ancestry")
        }
        with open(table.image_files[image], "rb") as file:
            content = file.read()
        made.append(
            {
                "image": {"bytes": content, "path": None},
                "image_id": str(table.image_ids[image]),
                "width": int(table.image_sizes[image, 0]),
                "height": int(table.image_sizes[image, 1]),
                "boxes": table.boxes[boxes].tolist(),
                "labels": table.labels[boxes].tolist(),
                "levels": hierarchy.level[nodes].tolist(),
                "is_scene_duplicate": hierarchy.node_is_scene_duplicate[nodes].tolist(),
                **pairs,
            }
        )
    return made


def write(folder, rows, class_names, shards, split="train"):
    (folder / "data").mkdir(parents=True)
    features = Features(
        {
            "image": Image(decode=False),
            "image_id": Value("string"),
            "width": Value("int32"),
            "height": Value("int32"),
            "boxes": List(List(Value("float32"), length=4)),
            "labels": List(ClassLabel(names=list(class_names))),
            "levels": List(Value("int32")),
            "is_scene_duplicate": List(Value("bool")),
            "direct": List(List(Value("int32"), length=2)),
            "ancestry": List(List(Value("int32"), length=2)),
        }
    )
    for shard, part in enumerate(np.array_split(np.arange(len(rows)), shards)):
        columns = {name: [rows[i][name] for i in part] for name in COLUMNS}
        data = Dataset.from_dict(columns, features=features).cast_column("image", Image())
        data.to_parquet(folder / "data" / f"{split}-{shard:05d}-of-{shards:05d}.parquet")
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory, rows, table):
    """Number of shards -> a folder of so many."""
    return {n: write(tmp_path_factory.mktemp(f"of{n}") / "set", rows, table.class_names, n) for n in (1, 3, 5)}


def stream(folder, **changes):
    settings = {"plan": BatchPlan(4, 3), "size": 16, "seed": 1, "buffer": 8, "epochs": 1} | changes
    return StreamedBatches(folder, "train", **settings)


def scenes(batch, table):
    """Which images of the table a batch shows: found by their pixels' stand-in, the boxes' columns being distinct."""
    found = []
    for image in range(batch["hierarchy"].num_images):
        boxes = batch["hierarchy"].node_box[batch["hierarchy"].image_nodes(image)[1:]]
        same = [i for i in range(table.num_images) if np.array_equal(table.boxes[table.box_image == i], boxes)]
        assert len(same) == 1
        found.append(same[0])
    return found


def same_batch(a, b):
    return (
        torch.equal(a["pixel_values"], b["pixel_values"])
        and np.array_equal(a["nodes"], b["nodes"])
        and np.array_equal(a["hierarchy"].node_box, b["hierarchy"].node_box)
    )


def test_a_row_is_the_hierarchy_of_its_image(table, hierarchy, rows):
    joined, numbers = join_hierarchies([row_hierarchy(row, table.class_names) for row in rows])
    for name in ("node_image", "node_label", "node_box", "level", "direct", "ancestry", "node_is_scene_duplicate"):
        found, expected = getattr(joined, name), getattr(hierarchy, name)
        np.testing.assert_array_equal(found, expected, err_msg=name)
        assert found.dtype == expected.dtype
    for image, new in enumerate(numbers):
        np.testing.assert_array_equal(new, hierarchy.image_nodes(image))


def test_hierarchies_of_several_images_are_joined_in_order(table, hierarchy, rows):
    one = [row_hierarchy(row, table.class_names) for row in rows]
    parts = [join_hierarchies(one[:5])[0], join_hierarchies(one[5:])[0]]
    joined, numbers = join_hierarchies(parts)
    np.testing.assert_array_equal(joined.ancestry, hierarchy.ancestry)
    np.testing.assert_array_equal(joined.node_box, hierarchy.node_box)
    for part, new in zip(parts, numbers, strict=True):
        np.testing.assert_array_equal(joined.node_label[new], part.node_label)


def test_only_like_hierarchies_are_joined(table, rows):
    with pytest.raises(ValueError, match="no hierarchy"):
        join_hierarchies([])
    other = (*table.class_names[:-1], "other")
    with pytest.raises(ValueError, match="same classes"):
        join_hierarchies([row_hierarchy(rows[0], table.class_names), row_hierarchy(rows[0], other)])


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 1), (3, 2), (1, 4), (2, 3)])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_readers_share_every_row_exactly_once(shards, table, count, ranks, workers, monkeypatch):
    # the workers' part, in this process: what a DataLoader would tell each of them
    seen = Counter()
    for rank in range(ranks):
        for worker in range(workers):
            info = type("Info", (), {"num_workers": workers, "id": worker})
            monkeypatch.setattr("hf_hyperbolic.data.streaming.get_worker_info", lambda info=info: info)
            for batch in stream(shards[count], shard=(rank, ranks)):
                assert batch["hierarchy"].num_images <= 4
                seen.update(scenes(batch, table))
    assert seen == Counter(range(IMAGES))


def test_two_epochs_of_real_workers(shards, table):
    data = stream(shards[3], epochs=2)
    batches = list(DataLoader(data, batch_size=None, num_workers=2))
    order = {epoch: [scenes(b, table) for b in batches if b["position"]["at"]["epoch"] == epoch] for epoch in (0, 1)}
    for groups in order.values():
        assert sorted(image for group in groups for image in group) == list(range(IMAGES))
    assert order[0] != order[1]


def test_crops_and_relations_are_those_of_the_table(shards, table, hierarchy):
    reader, index = ImageReader(table), RelationIndex(hierarchy)
    drawn = 0
    for batch in stream(shards[3], flip=False, context=0.2, mode="pad"):
        local = batch["hierarchy"]
        images = np.array(scenes(batch, table))
        numbers = np.concatenate([images, *(hierarchy.image_nodes(image)[1:] for image in images)])
        nodes = numbers[batch["nodes"]]
        drawn += (hierarchy.node_label[nodes] >= 0).sum()
        for image in range(local.num_images):
            mine = batch["nodes"][local.node_image[batch["nodes"]] == image]
            available = local.active()[local.image_nodes(image)].sum() - 1
            assert len(mine) == 1 + min(3, available)
            assert mine[0] == image
        assert local.active()[batch["nodes"]].all()
        expected, _, _ = node_crops(reader, hierarchy, nodes, 16, 0.2, "pad")
        np.testing.assert_array_equal(batch["pixel_values"].numpy().transpose(0, 2, 3, 1), expected)
        relations = index.relations(nodes)
        for name in ("own", "cross", "ignored"):
            np.testing.assert_array_equal(
                getattr(batch["relations"].dense(), name), getattr(relations, name), err_msg=name
            )
    assert drawn > IMAGES


def test_flips_mirror_whole_images(shards):
    seen = set()
    for plain, flipped in zip(stream(shards[3], flip=False), stream(shards[3]), strict=True):
        images = plain["hierarchy"].node_image[plain["nodes"]]
        for image in np.unique(images):
            a, b = (batch["pixel_values"][torch.from_numpy(images == image)] for batch in (plain, flipped))
            assert torch.equal(a, b) or torch.equal(a.flip(-1), b)
            seen.add(torch.equal(a, b))
    assert seen == {True, False}


def test_batches_depend_on_the_seed(shards, table):
    first, again, other = (
        [scenes(batch, table) for batch in stream(shards[3], seed=seed, epochs=2)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    order = [image for group in first for image in group][:IMAGES]
    assert order != sorted(order), "not shuffled"


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize(("rank", "buffer"), [(0, 4), (1, 4), (1, 8)])
def test_resuming_gives_the_batches_that_would_have_followed(shards, count, rank, buffer):
    settings = {"shard": (rank, 2), "epochs": 2, "buffer": buffer}
    whole = list(stream(shards[count], **settings))
    for stop in range(1, len(whole)):
        before = stream(shards[count], **settings)
        for batch, _ in zip(before, range(stop), strict=False):
            before.consumed(batch)
        state = json.loads(json.dumps(before.state_dict()))
        after = stream(shards[count], **settings)
        after.load_state_dict(state)
        rest = list(after)
        assert len(rest) == len(whole) - stop
        assert all(same_batch(a, b) for a, b in zip(rest, whole[stop:], strict=True))


def test_resuming_with_workers_goes_on_with_the_one_whose_turn_it_was(shards):
    def taken(data, count, workers=2):
        loader = iter(DataLoader(data, batch_size=None, num_workers=workers))
        batches = []
        for _ in range(count):
            batches.append(next(loader))
            data.consumed(batches[-1])
        return batches

    whole = taken(stream(shards[3], epochs=None), 9)
    before = stream(shards[3], epochs=None)
    taken(before, 5)
    after = stream(shards[3], epochs=None)
    after.load_state_dict(before.state_dict())
    assert all(same_batch(a, b) for a, b in zip(taken(after, 4), whole[5:], strict=True))
    with pytest.raises(ValueError, match="num_workers=2"):
        next(iter(after))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"seed": 2}, "seed 1 and is now 2"), ({"shard": (0, 2)}, "shard"), ({"buffer": 40}, "block 8 and is now 40")],
)
def test_a_position_of_another_run_is_refused(shards, changes, message):
    with pytest.raises(ValueError, match=message):
        stream(shards[3], **changes).load_state_dict(stream(shards[3]).state_dict())
    with pytest.raises(ValueError, match="num_shards"):
        stream(shards[1]).load_state_dict(stream(shards[3]).state_dict())


def test_rows_that_cannot_be_used_are_counted_and_named(tmp_path, rows, table):
    sound = rows[:8]
    bad = [
        rows[8] | {"image": {"bytes": rows[8]["image"]["bytes"][:400], "path": None}},
        rows[9] | {"image": {"bytes": b"", "path": None}},
        rows[10] | {"width": rows[10]["width"] + 1},
        rows[11] | {"labels": rows[11]["labels"][:-1]},
        rows[12] | {"direct": [[0, 99]]},
        rows[13] | {"boxes": [[5.0, 5.0, 5.0, 9.0]] * len(rows[13]["boxes"])},
        rows[14] | {"labels": [-1] * len(rows[14]["labels"])},
    ]
    empty = [rows[15] | {name: [] for name in COLUMNS[4:]}]  # no box: not broken, but nothing to learn from
    folder = write(tmp_path / "set", sound + bad + empty, table.class_names, 2)
    data = stream(folder, epochs=2)
    messages = []
    shown = 0
    for batch in data:
        data.consumed(batch)
        messages += batch["broken"]
        shown += batch["hierarchy"].num_images
    # those after the last batch stay unsaid; every row comes by twice
    assert shown == 2 * len(sound)
    assert len(messages) >= len(bad)
    text = "\n".join(messages)
    for row, reason in zip(
        bad, ["broken_image|truncated", "not_an_image", "size_mismatch", *["bad_row"] * 4], strict=True
    ):
        lines = [line for line in messages if f"image {row['image_id']}:" in line]
        assert lines, text
        assert any(reason in lines[0] for reason in reason.split("|")), lines[0]


def test_a_reader_without_any_image_says_so(tmp_path, rows, table):
    folder = write(tmp_path / "set", [rows[0] | {"image": {"bytes": b"x", "path": None}}], table.class_names, 1)
    with pytest.raises(ValueError, match="reader 0 of 1 found no image it can use in epoch 0"):
        next(iter(stream(folder, epochs=None)))


def test_a_set_that_is_none(tmp_path, shards, rows):
    with pytest.raises(ValueError, match="nowhere"):
        stream(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="'val' cannot be streamed"):
        StreamedBatches(shards[1], "val", BatchPlan(2, 2), 16)
    (tmp_path / "plain" / "data").mkdir(parents=True)
    Dataset.from_dict({"image_id": ["a"], "labels": [[0]]}).to_parquet(
        tmp_path / "plain/data/train-00000-of-00001.parquet"
    )
    with pytest.raises(ValueError, match="lacks the columns image, width"):
        stream(tmp_path / "plain")
    with pytest.raises(ValueError, match="cannot draw mates"):
        stream(shards[1], plan=BatchPlan(2, 2, 1))


def test_large_images_are_decoded_at_a_fraction(tmp_path, table):
    y, x = np.mgrid[:600, :800]
    photo = np.stack([128 + 100 * np.sin(x / 40), 128 + 100 * np.cos(y / 50), 255 * x / 800], -1).astype(np.uint8)
    content = io.BytesIO()
    PILImage.fromarray(photo).save(content, "JPEG", quality=92)
    row = {
        "image": {"bytes": content.getvalue(), "path": None}, "image_id": "a", "width": 800, "height": 600,
        "boxes": [[100.0, 50.0, 500.0, 450.0]], "labels": [0], "levels": [1], "is_scene_duplicate": [False],
        "direct": [[0, 1]], "ancestry": [[0, 1]],
    }  # fmt: skip
    folder = write(tmp_path / "set", [row, row | {"image_id": "b"}], table.class_names, 1)
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    image = decode(str(tmp_path / "a.jpg"))
    batch = next(iter(stream(folder, flip=False, size=40)))
    found = batch["pixel_values"].numpy().transpose(0, 2, 3, 1).astype(int)
    full = [crop(image, (0, 0, 800, 600), 40), crop(image, (100, 50, 500, 450), 40)]
    for scene, box in ((0, 2), (1, 3)):
        for place, plain in ((scene, full[0]), (box, full[1])):
            at = int(np.flatnonzero(batch["nodes"] == place)[0])
            assert 0 < np.abs(found[at] - plain).mean() < 1
