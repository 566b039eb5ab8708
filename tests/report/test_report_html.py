"""Escaping, tables and how numbers are written."""

import numpy as np
import pytest

from hf_hyperbolic.report import html
from hf_hyperbolic.report.numbers import cell, figure_name, interval, number
from hf_hyperbolic.report.style import new_figure

NASTY = "<script>alert('x')</script>\"&"


def test_text_is_escaped_unless_it_is_markup():
    assert html.text(NASTY) == "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;"
    assert html.text(html.Markup("<b>x</b>")) == "<b>x</b>"
    assert html.tag("p", NASTY, class_=NASTY).count("<script") == 0
    assert html.tag("p", "x", class_="a", aria_label="b", id=None) == '<p class="a" aria-label="b">x</p>'


def test_table_has_its_rows_and_cells():
    found = html.table(["", "k & l"], [html.row("a", [1, 2]), html.row("b", [3, NASTY])])
    assert found.count("<tr") == 3
    assert found.count("<td") == 4
    assert "k &amp; l" in found
    assert "<script" not in found


def test_figures_and_pictures_lie_in_the_page():
    with pytest.raises(ValueError, match="svg"):
        html.figure(new_figure(1, 1), "x", kind="pdf")
    assert 'src="data:image/svg+xml;base64,' in html.figure(new_figure(1, 1), "x", "y")
    assert 'src="data:image/png;base64,' in html.figure(new_figure(1, 1), "x", kind="png")
    assert html.thumbnail_uri(np.zeros((1, 300, 3), dtype=np.uint8)).startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    ("name", "value", "title", "written"),
    [("recall@50%", 0.4567, "Recall@50 %", "45.7 %"), ("ot@10", 3.456, "OT@10", "3.46"),
     ("auc_random_boxes", 0.91234, "random pairs", "0.912"), ("top_10_other_images", None, "Top-10", "–"),
     ("median_rank", 97.5, "Median rank", "97.5"), ("average_precision", 1.0, "Average precision", "100.0 %")],
)  # fmt: skip
def test_figures_as_they_are_named_and_written(name, value, title, written):
    assert figure_name(name) == title
    assert number(value, name) == written


def test_interval_stands_below_the_value_where_there_is_one():
    entry = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert interval(entry, "top_5") == "25.0 to 75.0"
    assert cell(entry, "top_5") == "50.0 %<small>25.0 to 75.0</small>"
    assert cell({"value": 0.5, "low": None, "high": None}, "top_5") == "50.0 %"
    assert cell(None, "top_5") == "–"
