"""The report's section of retrieval by words: the marks are those of a naive check."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation.captions import evaluate_captions
from hf_hyperbolic.evaluation.nodes import active_boxes
from hf_hyperbolic.evaluation.text_to_image import evaluate_text_to_image
from hf_hyperbolic.report import write_report
from hf_hyperbolic.report.words import words_section
from hf_hyperbolic.retrieval import scores

MEASURES = {"hyperbolic angle": {"children": "combined", "parents": "distance", "pairs": "beta"}}


@pytest.fixture
def names(split):
    return torch.randn(split.hierarchy.num_classes, 6, generator=torch.Generator().manual_seed(5))


def section(split, names, results=None, **more):
    results = results or {"hyperbolic angle": {}}
    measures = dict.fromkeys(results, MEASURES["hyperbolic angle"])
    return words_section(
        results, measures, split.hierarchy, split.embeds, names, split.curvature, split.crop_of, **more
    )


def verdicts(text):
    """Title -> name -> rights of its results, in order."""
    found = {}
    for block in re.split(r'<div class="gallery">', text)[1:]:
        title = re.search(r"<h3>(.*?)</h3>", block).group(1)
        rows = re.split(r'<div class="row asked">', block)[1:]
        found[title] = {
            re.search(r"<strong>“(.*?)”</strong>", row).group(1): re.findall(r'class="hit (right|wrong)"', row)
            for row in rows
        }
    return found


def test_marks_and_order_equal_a_naive_check(split, names):
    h = split.hierarchy
    found = verdicts(section(split, names, queries=99, top=5))
    assert list(found) == ["Name → boxes", "Name → scenes"]
    every = set()
    for title, measure, direction, nodes in (
        ("Name → boxes", "combined", "children", active_boxes(h)),
        ("Name → scenes", "distance", "parents", np.arange(h.num_images)),
    ):
        assert len(found[title]) == h.num_classes
        for label, name in enumerate(h.class_names):
            row = scores(names[label : label + 1], split.embeds[nodes], measure, direction, split.curvature)[0].numpy()
            best = nodes[np.argsort(-row, kind="stable")[:5]]
            if direction == "children":
                right = [h.node_label[node] == label for node in best]
            else:
                right = [label in h.node_label[h.ancestry[h.ancestry[:, 0] == node, 1]] for node in best]
            escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            assert found[title][escaped] == ["right" if one else "wrong" for one in right]
            every |= {*right}
    assert every == {True, False}, "with marks all alike this would check nothing"


def test_classes_of_one_name_are_asked_once_and_either_is_right(split, names):
    # a door and a window, by one name
    found = verdicts(section(split, names, queries=99, top=99, called=[0, 1, 2, 1, 3]))
    assert len(found["Name → boxes"]) == 4
    assert "window" not in found["Name → boxes"]
    marks = found["Name → boxes"]["&lt;b&gt;door&lt;/b&gt;"]
    labels = split.hierarchy.node_label[active_boxes(split.hierarchy)]
    assert marks.count("right") == np.isin(labels, [1, 3]).sum()
    assert f", {marks.count('right')} in all<" in section(split, names, queries=99, called=[0, 1, 2, 1, 3])


def test_names_are_drawn_by_the_seed(split, names):
    drawn = [list(verdicts(section(split, names, queries=2, seed=seed))["Name → boxes"]) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2
    assert any(one != drawn[0] for one in drawn)


def test_a_class_that_does_not_occur_is_not_asked(split, names):
    h = replace(split.hierarchy, class_names=(*split.hierarchy.class_names, "boat"))
    found = verdicts(section(replace(split, hierarchy=h), torch.cat([names, names[:1]]), queries=99))
    assert "boat" not in found["Name → boxes"]


def test_the_report_has_it_where_the_model_has_words(split, results, names, tmp_path):
    by_name, _ = evaluate_text_to_image(split.embeds, split.hierarchy, names, split.curvature, resamples=20)
    main = next(iter(results))
    both = results | {main: results[main] | {"text_to_image": by_name}}

    def page(**more):
        return write_report(
            tmp_path / "report.html", both, split.hierarchy, split.embeds, split.curvature, None, split.crop_of, {},
            children_measure="combined", parents_measure="distance", **more,
        ).read_text()  # fmt: skip

    assert 'id="words"' not in page()
    shown = page(name_embeds=names)
    assert '<a href="#words">' in shown
    part = re.search(r'<section id="words">.*?</section>', shown, flags=re.S).group()
    for measure, figure in (("combined", "boxes_top_10"), ("distance", "scenes_average_precision")):
        assert f"{100 * by_name[measure][figure]['value']:.1f} %" in part
    assert "<b>door" not in part


@pytest.mark.parametrize("with_names", [True, False])
def test_captions_have_a_table_though_the_model_knows_no_name(with_names, split, results, names, tmp_path):
    images = split.hierarchy.num_images
    texts, owner = [f"image {number}" for number in range(images)], np.arange(images)
    said = torch.randn(images, 6, generator=torch.Generator().manual_seed(2))
    found, _ = evaluate_captions(
        split.embeds, split.hierarchy, texts, said, owner, split.curvature, ["combined", "distance"], resamples=20
    )
    main = next(iter(results))
    both = results | {main: results[main] | {"captions": found}}
    shown = write_report(
        tmp_path / "report.html", both, split.hierarchy, split.embeds, split.curvature, None, split.crop_of, {},
        children_measure="combined", parents_measure="distance", name_embeds=names if with_names else None,
    ).read_text()  # fmt: skip
    part = re.search(r'<section id="words">.*?</section>', shown, flags=re.S).group()
    assert "<h3>Captions</h3>" in part
    assert ("Name → boxes" in part) == with_names
    for measure, figure, head in (
        ("combined", "images_recall@1", "Image recall@1"), ("distance", "captions_recall@5", "Caption recall@5"),
    ):  # fmt: skip
        assert f">{head}<" in part
        assert f"{100 * found[measure][figure]['value']:.1f} %" in part
