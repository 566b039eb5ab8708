"""Relations among the nodes of several processes' streamed batches."""

import numpy as np
import pytest

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.export import export_parquet
from hf_hyperbolic.training import feeds
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.feeds import StreamFeed


@pytest.fixture
def ranks(data, tmp_path):
    """The feeds and first batches of two processes that share a stream."""
    export_parquet(read_coco(data / "instances_train.json"), tmp_path / "set", "train", rows_per_shard=12)
    args = TrainArguments(data=str(tmp_path / "set"), stream=True, scenes_per_batch=4, boxes_per_scene=5, image_size=16)
    found = [StreamFeed(args, (rank, 2)) for rank in range(2)]
    return [(feed, next(feed.loader(0))) for feed in found]


def test_streamed_batches_of_two_processes_are_related_as_one(ranks, monkeypatch):
    monkeypatch.setattr(feeds, "gather_object", lambda mine: [(b["hierarchy"], b["nodes"]) for _, b in ranks])
    (feed, first), (_, second) = ranks
    assert not set(first["image_ids"]) & set(second["image_ids"])
    sparse = feed.relations(first, np.concatenate([first["nodes"], second["nodes"]]))
    relations, is_scene = sparse.dense(), sparse.is_scene

    # image, label and ancestors of each node, written out by hand
    nodes = []
    for rank, batch in enumerate((first, second)):
        hierarchy = batch["hierarchy"]
        pairs = {tuple(pair) for pair in hierarchy.ancestry.tolist()}
        for node in batch["nodes"].tolist():
            held = {hierarchy.node_label[child] for parent, child in pairs if parent == node}
            nodes.append((rank, node, hierarchy.node_image[node], hierarchy.node_label[node], held, pairs))
    assert is_scene.tolist() == [label == -1 for _, _, _, label, _, _ in nodes]
    assert is_scene.sum() == 8
    cross_ranks = 0
    for i, (rank, node, image, label, held, pairs) in enumerate(nodes):
        for j, (other_rank, other, other_image, other_label, _, _) in enumerate(nodes):
            own = rank == other_rank and (node, other) in pairs
            same_image = (rank, image) == (other_rank, other_image)
            cross = label == -1 and other_label in held and not same_image
            assert relations.own[i, j] == own
            assert relations.cross[i, j] == cross
            cross_ranks += cross and rank != other_rank
    assert cross_ranks > 0, "no scene holds a class of the other process: this would be vacuous"


def test_alone_a_process_takes_the_relations_of_its_batch(ranks, monkeypatch):
    feed, batch = ranks[0]
    monkeypatch.setattr(feeds, "gather_object", lambda mine: mine)
    alone = feed.relations(batch, batch["nodes"])
    assert alone is batch["relations"]
    assert alone.is_scene.sum() == 4


def test_a_crop_is_described_by_its_image_and_box(ranks):
    feed, batch = ranks[0]
    named = feed.describe(batch)
    assert len(named) == len(batch["nodes"])
    scenes = [name for name in named if name.endswith("[0.0, 0.0, 96.0, 96.0]")]
    assert [name.split(" ")[0] for name in scenes] == list(batch["image_ids"])
