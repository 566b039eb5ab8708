"""The figures draw the numbers they were given."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from hf_hyperbolic.report.figures import precision_recall, radius_by_level, training_curves
from hf_hyperbolic.report.style import LEVEL_COLOURS, LEVEL_MARKERS, level_name, to_png, to_svg

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
OKLAB_1 = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
           [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
OKLAB_2 = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
           [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    return np.array(OKLAB_2) @ np.cbrt(np.array(OKLAB_1) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("deficiency", [None, *DEFICIENCIES])
def test_level_colours_stay_apart_for_colour_blind_eyes(deficiency):
    matrix = np.eye(3) if deficiency is None else np.array(DEFICIENCIES[deficiency])
    seen = [oklab(matrix @ linear(colour)) for colour in LEVEL_COLOURS]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    # 0.02 is just noticeable in OKLab
    assert min(distances) > 0.08
    assert len(set(LEVEL_MARKERS)) == len(LEVEL_COLOURS)


def test_training_curves_draw_what_was_logged(metrics):
    figures = training_curves(metrics)
    assert list(figures) == ["loss", "curvature", "temperature", "radius", "validation"]
    lines = {line.get_label(): line for line in figures["loss"].axes[0].lines}
    assert {"parent → child", "child → parent", "all, weighted"} <= set(lines)
    raw = figures["loss"].axes[0].lines[4]
    assert raw.get_xdata().tolist() == list(range(10, 210, 10))
    np.testing.assert_allclose(raw.get_ydata(), [5 - step / 100 for step in range(10, 210, 10)])
    validation = {line.get_label(): line.get_ydata().tolist() for line in figures["validation"].axes[0].lines}
    assert validation == {"score": [0.5, 0.6], "top 10": [0.25, 0.3]}


def test_running_mean_is_the_mean_of_a_window():
    values = np.random.default_rng(0).normal(size=100)
    figure = training_curves([{"step": step, "loss": float(value)} for step, value in enumerate(values)])["loss"]
    smooth = figure.axes[0].lines[1].get_ydata()
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(100)]
    np.testing.assert_allclose(smooth, expected)


def test_training_curves_leave_out_what_was_not_logged_and_what_is_not_finite():
    rows = [{"step": 1, "loss": math.nan}, {"step": 2, "loss": 3.0}, {"step": 3, "curvature": None}]
    figures = training_curves(rows)
    assert list(figures) == ["loss"]
    assert figures["loss"].axes[0].lines[0].get_ydata().tolist() == [3.0]
    assert training_curves([]) == {}


def test_radius_by_level_marks_medians_and_counts():
    rng = np.random.default_rng(0)
    levels = np.repeat([0, 1, 2], [5, 40, 200])
    radii = rng.gamma(3, 1 + levels)
    axes = radius_by_level(radii, levels).axes[0]
    medians = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(medians, [np.median(radii[levels == level]) for level in range(3)])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["part\nn = 200", "object\nn = 40", "scene\nn = 5"]
    assert len(axes.collections) == 3


@pytest.mark.parametrize("radii", [np.array([1.0]), np.zeros(4), np.full(50, 3.0)])
def test_radius_by_level_of_points_all_alike(radii):
    assert to_svg(radius_by_level(radii, np.zeros(len(radii), dtype=int)))


def test_precision_recall_has_a_line_a_system_and_chance():
    recall = [0.0, 0.5, 1.0]
    figure = precision_recall(
        {"ours": (recall, [0.9, 0.7, 0.5]), "other": (recall, [0.8, 0.6, 0.4])}, (recall, [0.3] * 3)
    )
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert {name: list(values) for name, values in lines.items()} == {
        "ours": [0.9, 0.7, 0.5], "other": [0.8, 0.6, 0.4], "chance": [0.3] * 3,
    }  # fmt: skip
    assert [entry.get_text() for entry in figure.axes[0].get_legend().get_texts()] == ["ours", "other", "chance"]
    assert precision_recall({"ours": (recall, [np.nan] * 3)}, None).axes[0].get_ylim() == (0, 1)


def test_files_are_the_same_every_time_and_text_stays_text():
    recall = ([0.0, 1.0], [0.5, 0.5])
    first, second = (to_svg(precision_recall({"ours": recall}, recall)) for _ in range(2))
    assert first == second
    assert b">precision</text>" in first
    pngs = [to_png(precision_recall({"ours": recall}, recall)) for _ in range(2)]
    assert pngs[0] == pngs[1]
    assert pngs[0].startswith(b"\x89PNG")


def test_level_names_below_the_last_are_deeper():
    assert [level_name(level) for level in (0, 1, 2, 3, 4, 9)] == [
        "scene", "object", "part", "part of a part", "deeper", "deeper",
    ]  # fmt: skip
