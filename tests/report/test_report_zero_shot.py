"""The zero-shot section of the report, and curves with their bands."""

import re
from html import escape

import numpy as np
import pytest

from hf_hyperbolic.evaluation.table import format_table
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot
from hf_hyperbolic.evaluation.zero_shot_task import draw_support
from hf_hyperbolic.report import write_report
from hf_hyperbolic.report.figures import Curve, precision_recall
from hf_hyperbolic.report.prose import default_summary
from hf_hyperbolic.report.zero_shot import zero_shot_section


@pytest.fixture(scope="module")
def with_zero_shot(split, results):
    support = draw_support(split.hierarchy, split.hierarchy, shots=3, draws=2)
    found = {}
    for name, result in results.items():
        more, _ = evaluate_zero_shot(
            split.embeds, split.hierarchy, split.embeds[support.nodes], support, split.curvature, resamples=20,
            map_resamples=5,
        )  # fmt: skip
        found[name] = result | more
    return found


def test_section_holds_the_numbers_of_the_results(split, with_zero_shot, metrics, tmp_path):
    path = write_report(
        tmp_path / "report.html", with_zero_shot, split.hierarchy, split.embeds, split.curvature, None, split.crop_of,
        {"checkpoint": "me/<model>", "image_size": 64, "evaluated_on": "/sets/voc", "split": "val"},
    )  # fmt: skip
    page = path.read_text()
    section = re.search(r'<section id="zero-shot">.*?</section>', page, flags=re.S).group()
    assert '<a href="#zero-shot">' in page
    result = with_zero_shot["hyperbolic angle"]
    assert result["zero_shot_about"]["measure"] == "distance"
    for name in ("accuracy", "class_accuracy", "map", "map_50"):
        assert f"{100 * result['zero_shot']['distance'][name]['value']:.1f} %" in section
    oracle = result["zero_shot"]["distance"]["accuracy"]["oracles"]["most_common_class"]
    assert f"{100 * oracle:.1f} %" in section
    assert "&lt;b&gt;door" in section
    assert "<b>door" not in section
    assert "means over 2 draws" in section


def test_a_model_that_was_trained_on_the_data_is_not_called_zero_shot(with_zero_shot):
    def with_training(*here):
        found = {}
        for (name, result), one in zip(with_zero_shot.items(), here, strict=False):
            about = result["zero_shot_about"]
            note = ["zero_shot: the model was trained on it"] if one else []
            found[name] = result | {"zero_shot_about": about | {"trained_here": one, "notes": note}}
        return found

    names = list(with_zero_shot)[:2]
    elsewhere, here = with_training(False, False), with_training(True, True)
    assert "on a data set that the model was not trained on?" in zero_shot_section(elsewhere)
    assert "Not zero-shot here" in zero_shot_section(here)
    assert "not trained on" not in zero_shot_section(here)
    for text in (zero_shot_section(here), format_table(here)):
        assert "he model was trained on it" in text
    other = with_training(False, True)
    assert f"note: zero_shot: the model was trained on it ({names[1]})" in format_table(other)
    assert f"The model was trained on it ({escape(names[1])})." in zero_shot_section(other)


def test_no_section_without_figures(results):
    assert zero_shot_section(results) == ""


def test_table_has_a_block_only_where_there_are_figures(results, with_zero_shot):
    assert "Zero-shot" not in format_table(results)
    text = format_table(with_zero_shot)
    value = with_zero_shot["hyperbolic angle"]["zero_shot"]["beta"]["map"]["value"]
    line = next(line for line in text[text.index("Zero-shot") :].splitlines() if "  beta " in line)
    assert f"{100 * value:.1f}" in line


def test_of_zero_shot_the_measure_that_is_quoted_has_a_star(with_zero_shot):
    """A class is told by what is nearest, whatever a system ranks by."""
    name, result = next(iter(with_zero_shot.items()))
    quoted = result["zero_shot_about"]["measure"]
    other = next(measure for measure in result["zero_shot"] if measure != quoted)
    text = format_table({name: result}, measures={name: dict.fromkeys(("children", "parents", "pairs"), other)})
    before, _, block = text.partition("Zero-shot: ")
    assert f"  {other}* " in before
    assert f"  {quoted}* " not in before
    assert f"  {quoted}* " in block
    assert f"  {other}* " not in block
    assert "oracle: commonest class" in text


def test_a_checkpoint_of_unknown_training_is_not_said_to_be_trained(split):
    said = default_summary(
        split.hierarchy, {"checkpoint": "openai/clip", "image_size": 224, "evaluated_on": "/sets/voc"}, hyperbolic=False
    )
    assert said.startswith("A Euclidean image model (clip at 224 px) is taken as it is. It is tested here on 12 images")
    assert "of voc" in said
    assert "train" not in said


def test_curves_have_bands_chance_and_ceiling():
    recall = [0.0, 0.5, 1.0]
    figure = precision_recall(
        {"ours": Curve(recall, [0.9, 0.7, 0.5], [0.8, 0.6, 0.4], [1.0, 0.8, 0.6]), "bare": (recall, [0.5] * 3)},
        (recall, [0.3] * 3),
        (recall, [1.0] * 3),
    )
    axes = figure.axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    for point in ((0.5, 0.6), (0.5, 0.8), (1.0, 0.4)):
        assert np.isclose(band, point).all(1).any(), point
    assert len(axes.collections) == 1
    names = [entry.get_text() for entry in axes.get_legend().get_texts()]
    assert names == ["ours", "bare", "chance", "best possible"]
    assert axes.get_ylim()[1] > 1
