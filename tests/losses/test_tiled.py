"""The losses over tiles against autograd of the dense formula: value, gradients, and what is held of the pairs."""

import gc
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.data.relations import SparseRelations
from hf_hyperbolic.losses import PairMasks, TiledMasks, angle_loss, cosine_loss
from hf_hyperbolic.losses import tiled as module
from hf_hyperbolic.losses.info_nce import bidirectional_info_nce
from hf_hyperbolic.losses.similarity_masks import undirected

LOSSES = ("lorentz alpha", "lorentz beta", "euclidean alpha", "euclidean beta", "cosine")


def loss_of(kind, embeds, masks, curvature, temperature, own_weight, where="outside", tile=0):
    if kind == "cosine":
        return cosine_loss(embeds, masks, temperature, own_weight, where, tile)
    geometry, upward = kind.split()
    return angle_loss(embeds, masks, curvature, temperature, geometry, own_weight, where, upward, tile)


def by_autograd(kind, embeds, masks, curvature, temperature, own_weight, where):
    """All pairs at once, by the elementwise geometry and the plain loss."""
    if kind == "cosine":
        logits = torch.nn.functional.cosine_similarity(embeds[:, None], embeds[None], dim=-1) / temperature
        return bidirectional_info_nce(logits, logits, undirected(masks), own_weight, where)
    geometry, upward = kind.split()
    space = lorentz if geometry == "lorentz" else euclidean
    # the angle of a point towards itself is undefined: there another point stands
    others = embeds[None] + torch.eye(len(embeds), dtype=embeds.dtype)[..., None]
    exterior = space.exterior_angle(embeds[:, None], others, curvature)
    down = (torch.pi - exterior) / temperature
    return bidirectional_info_nce(
        down, exterior / temperature if upward == "alpha" else down.T, masks, own_weight, where
    )


def values_and_gradients(kind, embeds, masks, compute=loss_of, output="loss", **settings):
    leaves = [embeds.clone(), torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)]
    for leaf in leaves:
        leaf.requires_grad_()
    found = compute(kind, leaves[0], masks, leaves[1], leaves[2], **settings)
    gradients = torch.autograd.grad(getattr(found, output), leaves, allow_unused=True, materialize_grads=True)
    return [found.loss.detach(), found.parent_to_child.detach(), found.child_to_parent.detach(), *gradients]


def random_relations(n, seed, cross_parents="scene", images=4, classes=5):
    """A consistent set: boxes below the scene of their image and now and then below one another."""
    rng = np.random.default_rng(seed)
    image = np.sort(rng.integers(0, images, n))
    labels = rng.integers(0, classes, n)
    labels[np.unique(image, return_index=True)[1]] = -1
    parent, child = np.nonzero((image[:, None] == image) & np.triu(rng.random((n, n)) < 0.6, 1) & (labels >= 0))
    holds = np.zeros((n, classes), dtype=bool)
    holds[parent, labels[child]] = True
    holds |= (labels == -1)[:, None] & (rng.random((n, classes)) < 0.3)  # of boxes that are not in the batch
    twins = np.argwhere(np.triu((image[:, None] == image) & (rng.random((n, n)) < 0.1), 1))
    return SparseRelations(
        own=torch.from_numpy(np.stack([parent, child], axis=1)),
        duplicates=torch.from_numpy(np.concatenate([twins, twins[:, ::-1]])),
        images=torch.from_numpy(image),
        labels=torch.from_numpy(labels),
        holds=torch.from_numpy(holds),
        cross_parents=cross_parents,
    )


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 13),
    tile=st.integers(0, 15),
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(LOSSES),
    own_weight=st.sampled_from([0.0, 0.75, 1.0]),
    where=st.sampled_from(["outside", "inside"]),
    cross_parents=st.sampled_from(["scene", "all", "none"]),
    output=st.sampled_from(["loss", "parent_to_child", "child_to_parent"]),
)
def test_tiles_give_the_loss_and_the_gradients_of_autograd(
    n, tile, seed, kind, own_weight, where, cross_parents, output
):
    relations = random_relations(n, seed, cross_parents)
    embeds = torch.randn(n, 4, dtype=torch.float64, generator=torch.manual_seed(seed))
    dense = PairMasks.from_relations(relations.dense())
    expected = values_and_gradients(kind, embeds, dense, by_autograd, output, own_weight=own_weight, where=where)
    for masks in (TiledMasks(relations), dense):
        found = values_and_gradients(kind, embeds, masks, output=output, own_weight=own_weight, where=where, tile=tile)
        for value, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(value, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("tile", [0, 5])
def test_scores_are_kept_tile_by_tile_too(kind, tile, monkeypatch):
    # a batch of a test would be one tile
    monkeypatch.setattr(module, "_PAIRS_OF_TILE", {"cpu": 1})
    monkeypatch.setattr(module, "_FEWEST_ROWS", 3)
    relations = random_relations(13, 3, "all")
    embeds = torch.randn(13, 4, dtype=torch.float64, generator=torch.manual_seed(3))
    dense = PairMasks.from_relations(relations.dense())
    expected = values_and_gradients(kind, embeds, dense, by_autograd, own_weight=0.4, where="outside")
    found = values_and_gradients(kind, embeds, TiledMasks(relations), own_weight=0.4, tile=tile)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("tile", [0, 100])
def test_a_gpu_gives_what_double_precision_does(kind, tile, monkeypatch):
    monkeypatch.setattr(module, "_PAIRS_ELSEWHERE", 2**16)
    relations = random_relations(300, 3, images=40)
    embeds = torch.randn(300, 16, generator=torch.manual_seed(3)) / 3
    found = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        leaf = embeds.to(device, dtype).requires_grad_()
        masks = TiledMasks(relations.to(device))
        loss = loss_of(kind, leaf, masks, 1.0, 0.2, 0.75, tile=tile).loss
        found.append([loss.detach().cpu().double(), torch.autograd.grad(loss, leaf)[0].cpu().double()])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


def test_a_small_temperature_in_float32_neither_overflows_nor_vanishes():
    relations = random_relations(13, 3, "all")
    embeds = torch.randn(13, 4, generator=torch.manual_seed(3))
    masks = PairMasks.from_relations(relations.dense())
    single, double = [], []
    for dtype, found in ((torch.float32, single), (torch.float64, double)):
        leaf = embeds.to(dtype, copy=True).requires_grad_()
        loss = angle_loss(leaf, masks, 1.0, 0.005, own_weight=0.5, upward="beta").loss
        found.extend([loss.detach().double(), torch.autograd.grad(loss, leaf)[0].double()])
    torch.testing.assert_close(single, double, rtol=1e-3, atol=1e-2)
    assert double[1].abs().max() > 1


def test_the_relations_of_these_tests_are_not_vacuous():
    relations = random_relations(13, 3)
    own, cross, ignored = relations.block()
    assert own.any()
    assert cross.any()
    assert ignored.sum() > 13
    assert len(relations.duplicates)


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation gives."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("kind", ["lorentz beta", "cosine"])
def test_no_matrix_of_all_pairs_is_made_forward_or_backward(kind):
    n, tile = 192, 48
    relations = random_relations(n, 0, images=60)
    embeds = torch.randn(n, 4, generator=torch.manual_seed(0)).requires_grad_()
    sizes = {}
    for rows in (0, tile):
        with LargestTensor() as largest:
            loss_of(kind, embeds, TiledMasks(relations), 1.0, 0.1, 0.75, tile=rows).loss.backward()
        sizes[rows] = largest.elements
    assert sizes[0] >= n * n, "the dense loss makes one: otherwise this would be vacuous"
    assert n * tile <= sizes[tile] <= 2 * n * tile, sizes  # of a tile the pairs of both shares


def numbers_in_new_tensors(compute):
    """Of every tensor that is there after `compute()` and was not before, however it is held; what it gives stays."""
    gc.collect()
    before = {id(one) for one in gc.get_objects() if issubclass(type(one), torch.Tensor)}
    result = compute()
    gc.collect()
    found = [one.numel() for one in gc.get_objects() if issubclass(type(one), torch.Tensor) and id(one) not in before]
    return result, found


@pytest.mark.parametrize("kind", LOSSES)
def test_tiles_keep_nothing_of_a_tile_until_backward(kind):
    n, tile = 64, 16
    embeds = torch.randn(n, 4, generator=torch.manual_seed(0)).requires_grad_()
    masks = TiledMasks(random_relations(n, 0, images=20))
    largest = {}
    for rows in (0, tile):
        loss, sizes = numbers_in_new_tensors(lambda rows=rows: loss_of(kind, embeds, masks, 1.0, 0.1, 0.75, tile=rows))
        largest[rows] = max(sizes)
        del loss
    assert largest[0] >= n * n, "the dense loss keeps its scores: otherwise this would be vacuous"
    assert largest[tile] < n * tile


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a resident set is told otherwise elsewhere")
def test_what_a_tile_leaves_does_not_keep_its_memory_from_the_next():
    """Small tensors that stay where large ones were made a process grow by several such matrices."""
    count = 8192
    script = Path(__file__).parents[2] / "benchmarks" / "loss_kernel.py"
    command = [sys.executable, script, "--sizes", str(count), "--forms", "tiled", "--steps", "1", "--cpu", "--alone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["peak"] < 4 * count**2 / 2**20, "MiB of one matrix of all pairs"


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("tile", [0, 5])
def test_without_gradients_its_value_is_the_same_though_the_temperature_is_learnt(without, tile):
    embeds, temperature = torch.randn(13, 4, generator=torch.manual_seed(3)), torch.nn.Parameter(torch.tensor(0.1))
    masks = TiledMasks(random_relations(13, 3))
    expected = angle_loss(embeds, masks, 1.0, temperature, tile=tile).loss
    with without():
        found = angle_loss(embeds, masks, 1.0, temperature, tile=tile).loss
    assert not found.requires_grad
    assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("tile", [0, 5])
def test_with_its_graph_retained_it_can_be_gone_through_again(kind, tile):
    embeds = torch.randn(13, 4, dtype=torch.float64, generator=torch.manual_seed(3)).requires_grad_()
    found = loss_of(kind, embeds, TiledMasks(random_relations(13, 3)), 1.0, 0.1, 0.5, tile=tile)
    (whole,) = torch.autograd.grad(found.loss, embeds, retain_graph=True)
    (again,) = torch.autograd.grad(found.loss, embeds, retain_graph=True)
    torch.testing.assert_close(again, whole)
    ways = [
        torch.autograd.grad(way, embeds, retain_graph=True)[0] for way in (found.parent_to_child, found.child_to_parent)
    ]
    torch.testing.assert_close(ways[0] + ways[1], whole)
    torch.autograd.grad(found.loss, embeds)
    with pytest.raises(RuntimeError, match="a second time"):
        torch.autograd.grad(found.loss, embeds)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("tile", [0, 5])
@pytest.mark.parametrize("backward_too", [False, True])
def test_within_autocast_it_is_in_full_precision(kind, tile, backward_too):
    embeds = torch.randn(13, 4, generator=torch.manual_seed(3)).requires_grad_()
    masks = TiledMasks(random_relations(13, 3))
    expected = loss_of(kind, embeds, masks, 1.0, 0.1, 0.5, tile=tile).loss
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_of(kind, embeds, masks, 1.0, 0.1, 0.5, tile=tile).loss
        assert (embeds @ embeds.T).dtype == torch.bfloat16, "otherwise this would be vacuous"
    assert torch.equal(found, expected)
    with torch.autocast("cpu", torch.bfloat16, enabled=backward_too):
        (gradient,) = torch.autograd.grad(found, embeds)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, embeds)[0], rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_temperature_is_one_number_in_any_form(shape, dtype):
    embeds = torch.randn(13, 4, generator=torch.manual_seed(3))
    masks = TiledMasks(random_relations(13, 3))
    temperature = torch.full(shape, 0.07, dtype=dtype, requires_grad=True)
    plain = torch.tensor(temperature.item(), requires_grad=True)
    found, expected = (cosine_loss(embeds, masks, tau).loss for tau in (temperature, plain))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    (gradient,), (wanted,) = torch.autograd.grad(found, temperature), torch.autograd.grad(expected, plain)
    assert (gradient.shape, gradient.dtype) == (shape, dtype)
    torch.testing.assert_close(
        gradient.float().reshape(()), wanted, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=0
    )


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("tile", [0, 2])
def test_of_no_node_the_loss_is_zero(kind, tile):
    embeds = torch.zeros(0, 4, requires_grad=True)
    nothing = torch.zeros(0, 0, dtype=torch.bool)
    found = loss_of(kind, embeds, PairMasks(nothing, nothing, nothing), 1.0, 0.1, 0.5, tile=tile).loss
    found.backward()
    assert found.item() == 0
    assert embeds.grad.shape == (0, 4)


@pytest.mark.parametrize("where", ["outside", "inside"])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_that_was_scaled_for_fp16_has_the_gradient_scaled(kind, where):
    embeds = torch.randn(13, 4, generator=torch.manual_seed(3)).requires_grad_()
    loss = loss_of(kind, embeds, TiledMasks(random_relations(13, 3)), 1.0, 0.07, 0.5, where).loss
    (plain,) = torch.autograd.grad(loss, embeds, retain_graph=True)
    (scaled,) = torch.autograd.grad(loss * 2.0**16, embeds, retain_graph=True)
    assert plain.abs().max() > 0
    torch.testing.assert_close(scaled / 2.0**16, plain, rtol=1e-4, atol=1e-7)
    # what tells a scaler to skip the step
    assert not torch.autograd.grad(loss * math.inf, embeds)[0].isfinite().any()


def test_without_any_pair_the_loss_is_zero_and_carries_a_gradient():
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    embeds = torch.randn(3, 2, requires_grad=True)
    found = angle_loss(embeds, PairMasks(nothing, nothing, torch.eye(3, dtype=torch.bool)), 1.0, 0.1, tile=2)
    found.loss.backward()
    assert found.loss.item() == 0
    assert torch.equal(embeds.grad, torch.zeros(3, 2))


def test_a_second_derivative_is_refused():
    embeds = torch.randn(4, 2, requires_grad=True)
    loss = angle_loss(embeds, TiledMasks(random_relations(4, 0)), 1.0, 0.1).loss
    with pytest.raises(RuntimeError, match="first derivative alone"):
        torch.autograd.grad(loss, embeds, create_graph=True)


def test_bad_tiles_weights_and_temperatures_are_refused():
    masks = TiledMasks(random_relations(4, 0))
    with pytest.raises(ValueError, match="at least 1 row"):
        angle_loss(torch.ones(4, 2), masks, 1.0, 0.1, tile=-1)
    with pytest.raises(ValueError, match="own_weight must lie"):
        cosine_loss(torch.ones(4, 2), masks, 0.1, own_weight=1.5, tile=2)
    with pytest.raises(ValueError, match=r"temperature must be one number, got a tensor of shape \(4, 1\)"):
        cosine_loss(torch.ones(4, 2), masks, torch.full((4, 1), 0.1))
