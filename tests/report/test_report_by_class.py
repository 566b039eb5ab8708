"""Frequent and rare classes: the table holds the results' numbers, the figure draws them."""

import copy
import dataclasses

import numpy as np
import torch

from hf_hyperbolic.data.boxes import Federation
from hf_hyperbolic.report.by_class import class_section, figure_by_frequency
from hf_hyperbolic.report.gallery import search

MEASURES = {
    "hyperbolic angle": {"children": "beta", "parents": "alpha"},
    "untrained <net>": {"children": "cosine", "parents": "cosine"},
}


def test_tables_hold_the_numbers_of_the_results(results):
    section = class_section(results, MEASURES)
    for system, measure in (("hyperbolic angle", "beta"), ("untrained <net>", "cosine")):
        for group in ("head", "middle", "tail", "all"):
            entry = results[system]["by_class"]["parent_to_child"][measure][group]["recall@50%"]
            interval = f"{100 * entry['low']:.1f} to {100 * entry['high']:.1f}"
            assert f"<td>{100 * entry['value']:.1f} %<small>{interval}</small></td>" in section
            assert f"<td>{100 * entry['ceiling']:.1f} %</td>" in section
    assert "thirds of the classes by the number of training images" in section
    assert "&lt;net&gt;" in section
    assert "<net>" not in section
    assert section.count("<figure") == 3


def test_bounds_are_said_and_results_without_the_section_leave_it_out(results):
    other = copy.deepcopy(results)
    other["hyperbolic angle"]["by_class"]["bounds"] = [10, 100]
    assert "tail up to 10 training images, middle up to 100" in class_section(other, MEASURES)
    del other["untrained <net>"]["by_class"]
    assert class_section(other, MEASURES)
    del other["hyperbolic angle"]["by_class"]
    assert class_section(other, MEASURES) == ""


def test_figure_draws_every_class_at_its_frequency():
    images, groups = [0, 5, 50, 500, 700], ["tail", "tail", "middle", "head", "head"]
    values, chance = [0.0, None, 0.4, 0.5, 1.0], [0.1, 0.1, 0.1, 0.2, 0.2]
    means = {"head": {"recall@1": {"value": 0.75, "low": 0.7, "high": 0.8}}, "tail": {"recall@1": {"value": None}}}
    axes = figure_by_frequency(images, values, chance, groups, "Recall", means, "recall@1").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["tail"].get_xdata().tolist() == [0.5, 5]
    assert np.isnan(lines["tail"].get_ydata()[1])
    assert lines["head"].get_ydata().tolist() == [0.5, 1.0]
    assert lines["chance"].get_ydata().tolist() == chance
    assert [list(line.get_ydata()) for line in axes.lines if line.get_label().startswith("_")] == [[0.75, 0.75]]
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[0] < 0
    assert axes.get_ylim()[1] > 1


def test_galleries_leave_out_what_nobody_knows(split):
    plain = split.hierarchy
    nothing = np.zeros((0, 2), dtype=np.int32)
    federated = dataclasses.replace(plain, federation=Federation(nothing, nothing))
    boxes, labels = np.arange(plain.num_images, plain.num_nodes), plain.scene_labels()

    def scorer(queries, gallery, direction):
        return torch.zeros(len(queries), len(gallery))

    down = search(federated, scorer, 0, boxes, "children", top=1000)
    assert {hit.node for hit in down.hits} == {int(b) for b in boxes if labels[0, plain.node_label[b]]}
    assert all(hit.right for hit in down.hits)
    assert len(search(plain, scorer, 0, boxes, "children", top=1000).hits) == len(boxes)
    box = int(boxes[1])
    up = search(federated, scorer, box, np.arange(plain.num_images), "parents", top=1000)
    assert {hit.node for hit in up.hits} == set(np.flatnonzero(labels[:, plain.node_label[box]]).tolist())
