"""The section on the tree: figures follow the results, whatever the model and the data."""

import json

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_per_query, format_table
from hf_hyperbolic.report.emergence import tree_section
from hf_hyperbolic.report.horopca import kept
from hf_hyperbolic.report.space import space_section
from hf_hyperbolic.report.tree_figures import RIGHT, WRONG, angle_heat_map, class_trees, image_trees

QUICK = EvaluationSettings(resamples=20)


@pytest.mark.parametrize("model", ["hyperbolic", "euclidean", "unit vectors"])
def test_every_kind_of_model(split, model):
    curvature = split.curvature if model == "hyperbolic" else None
    embeds = torch.nn.functional.normalize(split.embeds, dim=1) if model == "unit vectors" else split.embeds
    result, values = evaluate_per_query(embeds, split.hierarchy, curvature, settings=QUICK)
    tree = result["tree"]
    json.dumps(result, allow_nan=False)
    assert next(iter(tree["edge_f1"])) == tree["score"] == "nearest_container"
    assert ("beta" in tree["edge_f1"]) == (model == "hyperbolic")
    for name, entry in tree["edge_f1"].items():
        assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= entry["ceiling"] + 1e-9
        assert entry["value"] == pytest.approx(np.nanmean(values[f"tree/{name}/edge_f1"]))
    section = tree_section({"<ours>": result}, split.hierarchy, embeds.numpy(), curvature, split.crop_of)
    assert "<ours>" not in section
    assert "<b>door" not in section
    assert section.count("<img") == 1 + 3 + 2
    for entry in (tree["edge_f1"]["star"], tree["classes"]["edge_f1"], tree["depth"]["boxes"]):
        assert f"{entry['value']:.3f}".replace("-", "−") in section
    assert f"{tree['gromov']['random_directions']:.3f}" in section
    told = tree["classes"]["pairs"][0]["told"]["value"]
    assert f"<td>{100 * told:.1f} %" in section
    line = next(line for line in format_table({"ours": result}).splitlines() if line.startswith("ours ") and
                f"{tree['gromov']['value']:.3f}" in line)  # fmt: skip
    assert line.split()[1] == f"{tree['edge_f1']['nearest_container']['value']:.3f}"


def flat_split(boxes):
    names = np.array(["a", "b"])
    table = BoxTable(
        image_ids=names,
        image_files=names,
        image_sizes=np.full((2, 2), 64, dtype=np.int32),
        box_image=np.repeat([0, 1], len(boxes)).astype(np.int32),
        boxes=np.array(boxes * 2, dtype=np.float32),
        labels=np.zeros(2 * len(boxes), dtype=np.int32),
        class_names=("only",),
    )
    return build_hierarchy(table)


def test_without_pairs_of_boxes_it_says_so():
    hierarchy = flat_split([[0, 0, 20, 20]])
    embeds = torch.randn(hierarchy.num_nodes, 4, generator=torch.Generator().manual_seed(0))
    result, _ = evaluate_per_query(embeds, hierarchy, 1.0, settings=QUICK)
    assert result["tree"]["classes"] is None
    assert result["tree"]["images"] == 0
    assert result["tree"]["edge_f1"]["nearest_container"]["value"] is None
    assert sum(note.startswith("tree: ") for note in result["notes"]) == 2
    section = tree_section({"ours": result}, hierarchy, embeds.numpy(), 1.0, lambda node: np.zeros((4, 4, 3), np.uint8))
    assert "No box of this split lies in a box of another class." in section
    assert "No image of this split has two boxes" in section
    assert "-  " in format_table({"ours": result})


def test_results_without_the_section(split, results):
    old = {name: {k: v for k, v in result.items() if k != "tree"} for name, result in results.items()}
    section = tree_section(old, split.hierarchy, split.embeds.numpy(), split.curvature, split.crop_of)
    assert section.count("<img") == 1
    assert "Tree." not in format_table(old)


def colours(axes):
    return [to_hex(line.get_color()) for line in axes.lines]


def test_wrong_edges_of_an_image_are_coloured(split):
    hierarchy = split.hierarchy
    nodes = hierarchy.image_nodes(0)
    direct = {v: u for u, v in hierarchy.direct.tolist()}
    parent = np.array([direct.get(int(node), -1) for node in nodes])
    figure, right, found, true = image_trees(hierarchy, nodes, parent, split.crop_of)
    assert right == found == true == 3
    assert {c for axes in figure.axes for c in colours(axes)} == {RIGHT}
    part = int(np.flatnonzero(hierarchy.level[nodes] == 2)[0])
    parent[part] = nodes[0]
    figure, right, found, true = image_trees(hierarchy, nodes, parent, split.crop_of)
    assert (right, found, true) == (2, 3, 3)
    upper, lower = figure.axes
    assert WRONG not in colours(upper)
    assert colours(lower).count(WRONG) == 1


def test_wrong_edges_of_classes_are_coloured():
    true, found = np.array([-1, 0, 1, 0]), np.array([-1, 0, 3, 0])
    left, right = class_trees(["scene", "car", "wheel", "dog"], true, found).axes
    assert colours(right).count(WRONG) == 1
    assert [t.get_text() for t in right.texts if to_hex(t.get_color()) == WRONG] == ["wheel"]
    assert WRONG not in colours(left)


def test_heat_map_frames_the_true_container_in_the_order_of_the_dendrogram():
    between = np.array([[0, 60, 10, 60.0], [60, 0, 60, 20], [10, 60, 0, 60], [60, 20, 60, 0]])
    interior = np.arange(16.0).reshape(4, 4) * 10
    names, true = ["scene", "a", "b", "c"], np.array([-1, 0, 0, 1])
    axes = angle_heat_map(names, interior, between, true).axes[1]
    order = [tick.get_text() for tick in axes.get_xticklabels()]
    assert abs(order.index("scene") - order.index("b")) == abs(order.index("a") - order.index("c")) == 1
    place = [names.index(name) for name in order]
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(interior[np.ix_(place, place)])
    framed = {(order[round(p.get_y() + 0.5)], order[round(p.get_x() + 0.5)]) for p in axes.patches}
    assert framed == {("scene", "a"), ("scene", "b"), ("a", "c")}


def test_space_has_two_pictures_with_what_they_keep_or_one(split):
    section = space_section(split.hierarchy, split.embeds.numpy(), split.curvature, split.crop_of)
    assert section.count("<img") == 2
    assert section.count("of that in the space") == 2
    flat = space_section(split.hierarchy, split.embeds.numpy(), None, split.crop_of)
    assert flat.count("<img") == 1
    assert "HoroPCA" not in flat
    assert kept(split.embeds.numpy(), np.zeros((split.hierarchy.num_nodes, 2)), 0.7).variance < 1e-12
