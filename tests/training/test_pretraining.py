"""What a pretraining run contrasts, leaves out and watches."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, ResNetConfig, ResNetModel

from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import build_backbone, build_model, starts_from_scratch
from hf_hyperbolic.training.pretrain_arguments import PretrainArguments
from hf_hyperbolic.training.pretraining import (
    ContrastedBackbone,
    PretrainValidation,
    ViewBatches,
    neighbour_accuracy,
    overlapping,
    two_views,
)
from hf_hyperbolic.training.sources import load_split
from hf_hyperbolic.training.systems import PRETRAINED, UNTRAINED, untrained

TINY = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")


@pytest.fixture(scope="module")
def args(data):
    return PretrainArguments(data=str(data), image_size=32, scenes_per_batch=4, boxes_per_scene=4)


@pytest.fixture(scope="module")
def split(args):
    return load_split(args, "train")


@pytest.mark.parametrize("context", [0.0, 0.25])
def test_overlapping_is_what_the_loop_gives(split, context):
    hierarchy = split.hierarchy
    nodes = np.concatenate([hierarchy.image_nodes(image) for image in (3, 5, 4)])
    found = overlapping(hierarchy, nodes, context)

    def shown(node):
        x0, y0, x1, y1 = map(float, hierarchy.node_box[node])
        width, height = hierarchy.node_box[hierarchy.node_image[node]][2:]
        wider, taller = context * (x1 - x0), context * (y1 - y0)
        return max(0, x0 - wider), max(0, y0 - taller), min(width, x1 + wider), min(height, y1 + taller)

    for a, one in enumerate(nodes):
        for b, other in enumerate(nodes):
            (x0, y0, x1, y1), (u0, v0, u1, v1) = shown(one), shown(other)
            meet = min(x1, u1) > max(x0, u0) and min(y1, v1) > max(y0, v0)
            assert found[a, b] == (meet and hierarchy.node_image[one] == hierarchy.node_image[other])
    assert found.diagonal().all()
    in_image = hierarchy.node_image[nodes][:, None] == hierarchy.node_image[nodes]
    assert (in_image & ~found).any(), "boxes side by side are to be told apart"


def test_nested_boxes_are_no_negatives(split):
    hierarchy = split.hierarchy
    found = overlapping(hierarchy, np.arange(hierarchy.num_nodes))
    assert found[hierarchy.direct[:, 0], hierarchy.direct[:, 1]].all()


def test_processes_share_a_batch_and_show_the_same_views(split, args):
    whole = ViewBatches(split, args)[3]
    parts = [ViewBatches(split, args, (rank, 2))[3] for rank in range(2)]
    assert np.array_equal(np.concatenate([part["nodes"] for part in parts]), whole["nodes"])
    assert np.array_equal(whole["places"], np.arange(whole["count"]))
    expected = two_views(whole, whole["pixel_values"], args, 3)
    first, second = zip(*(two_views(part, part["pixel_values"], args, 3).chunk(2) for part in parts), strict=True)
    torch.testing.assert_close(torch.cat([*first, *second]), expected, rtol=1e-5, atol=1e-3)
    half = len(expected) // 2
    assert (expected[:half] - expected[half:]).abs().mean() > 10, "the two views must differ"
    assert not torch.equal(two_views(whole, whole["pixel_values"], args, 4), expected)


def test_whole_images_and_boxes_are_in_a_batch(split, args):
    labels = split.hierarchy.node_label[ViewBatches(split, args)[0]["nodes"]]
    assert (labels == -1).sum() == args.scenes_per_batch
    assert (labels >= 0).sum() > args.scenes_per_batch


def test_neighbour_accuracy_is_what_the_loop_gives():
    rng = np.random.default_rng(0)
    features, labels, images = rng.normal(size=(60, 6)), rng.integers(0, 4, 60), rng.integers(0, 9, 60)
    features[:, 0] += 2 * (labels == 1)
    right = 0
    for n in range(60):
        others = [m for m in range(60) if images[m] != images[n]]
        cosine = [features[n] @ features[m] / np.linalg.norm(features[n]) / np.linalg.norm(features[m]) for m in others]
        nearest = labels[[others[m] for m in np.argsort(cosine)[::-1][:5]]]
        right += np.bincount(nearest, minlength=4).argmax() == labels[n]
    assert neighbour_accuracy(features, labels, images, k=5) == pytest.approx(right / 60)
    assert neighbour_accuracy(features, labels, np.zeros(60, int)) == 0, "no item has a neighbour in another image"
    assert neighbour_accuracy(np.eye(4), np.array([0, 0, 1, 1]), np.arange(4), k=10) <= 0.5


def test_validation_is_repeatable_and_leaves_the_model_as_it_was(args):
    torch.manual_seed(0)
    model = ContrastedBackbone(ResNetModel(TINY), 32, 16).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    validation = PretrainValidation(load_split(args, "val"), args, [0.5] * 3, [0.25] * 3)
    figures = validation(model)
    assert validation(model) == figures
    assert model.training
    assert model.backbone.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert 0 < figures["val_alignment"] < 4
    assert figures["val_uniformity"] < 0
    assert 0 < figures["val_commonest"] < 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"objective": "labels"},
        {"temperature": 0.0},
        {"min_area": 0.0},
        {"min_area": 1.5},
        {"colour": -1.0},
        {"head_dim": 0},
        {"image_size": 0},
        {"crop_mode": "cut"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))}"):
        PretrainArguments(**wrong)


def test_a_folder_with_a_configuration_alone_starts_from_scratch(tmp_path):
    TINY.save_pretrained(tmp_path / "config")
    ResNetModel(TINY).save_pretrained(tmp_path / "weights")
    assert starts_from_scratch("resnet-tiny")
    assert starts_from_scratch(str(tmp_path / "config"))
    assert not starts_from_scratch(str(tmp_path / "weights"))
    assert not starts_from_scratch("openai/clip-vit-base-patch16")
    args = TrainArguments(backbone=str(tmp_path / "config"), projection_dim=8, image_size=32)
    for built in (build_backbone(args.backbone), build_model(args).backbone):
        assert built.config.hidden_sizes == [8, 16]
    assert untrained(args).name == UNTRAINED
    args.backbone = str(tmp_path / "weights")
    assert untrained(args).name == PRETRAINED


def test_what_is_no_backbone_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        build_model(TrainArguments(backbone=str(tmp_path / "nowhere")))
    with pytest.raises(FileNotFoundError, match=r"holds no model \(config.json\)"):
        build_backbone(str(tmp_path))
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=20, **size)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="takes no images"):
        build_backbone(str(tmp_path / "bert"))
