"""The ablation without cross-image pairs, and the figure in which its curves are drawn."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hf_hyperbolic.data.batches import BatchPlan, BatchSampler
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.read import read_boxes
from hf_hyperbolic.data.relations import RelationIndex
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.systems import system_name

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compare_script", ROOT / "training" / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_cross_image_pairs_they_are_neither_positive_nor_negative_nor_sought(script, data):
    hierarchy = build_hierarchy(read_boxes(data, "train"))
    args, alone_args = (
        TrainArguments.parse(["--mated_boxes_per_scene", "2", *script.SYSTEMS[name]])
        for name in ("hyperbolic angle + similarity", "intra-image only")
    )

    def images_without_scene(settings):
        plan = BatchPlan(
            8, settings.boxes_per_scene, settings.mated_boxes_per_scene, settings.mates_per_box
        )  # fmt: skip
        nodes = BatchSampler(hierarchy, plan, settings.seed).nodes(0)
        return set(hierarchy.node_image[nodes]) - set(nodes[nodes < hierarchy.num_images])

    assert images_without_scene(args), "mates bring boxes of further images"
    assert not images_without_scene(alone_args)
    nodes = np.arange(hierarchy.num_nodes)[hierarchy.active()]
    both, alone = (RelationIndex(hierarchy, settings.cross_parents).relations(nodes) for settings in (args, alone_args))
    assert both.cross.any()
    assert not alone.cross.any()
    assert np.array_equal(alone.own, both.own)
    assert (alone.ignored == (both.ignored | both.cross)).all(), "no positive any more, but no negative either"
    assert (system_name(args), system_name(alone_args)) == (
        "hyperbolic angle + similarity",
        "hyperbolic angle + similarity, intra-image",
    )


def test_the_ablation_runs_only_when_it_is_named(script):
    assert "intra-image only" in script.SYSTEMS
    assert "intra-image only" not in script.CompareArguments().systems


def test_curves_of_seeds_are_drawn_as_mean_and_range(script, tmp_path, monkeypatch):
    drawn = {}

    def draw(curves, chance, ceiling):
        from hf_hyperbolic.report.figures import precision_recall

        drawn.update(curves=curves, chance=chance, ceiling=ceiling)
        return precision_recall(curves, chance, ceiling)

    monkeypatch.setattr(script, "precision_recall", draw)
    run = {"recall": [0.0, 1.0], "chance": [0.2, 0.1], "ceiling": [1.0, 1.0], "low": [0.7, 0.3], "high": [0.9, None]}
    curves = {
        "two": [{**run, "value": [0.8, 0.4]}, {**run, "value": [0.6, 0.2]}],
        "one": [{**run, "value": [0.8, 0.4]}],
    }
    script.draw_curves(curves, tmp_path / "curves.svg")
    two, one = drawn["curves"].values()
    np.testing.assert_allclose([two.precision, two.low, two.high], [[0.7, 0.3], [0.6, 0.2], [0.8, 0.4]])
    assert (one.precision, one.low) == ([0.8, 0.4], [0.7, 0.3])
    assert np.isnan(one.high[1])
    assert drawn["chance"] == ([0.0, 1.0], [0.2, 0.1])
    assert "best possible" in (tmp_path / "curves.svg").read_text()
