"""The report as a whole: one file, nothing fetched, the numbers of the results, whatever the model and the data."""

import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_embeddings
from hf_hyperbolic.report import write_report
from hf_hyperbolic.report.example import example_images
from hf_hyperbolic.report.prose import default_summary, limits

SETTINGS = {
    "backbone": "resnet-tiny",
    "data": "scenes",
    "train_scenes": 6000,
    "note": "<i>x</i>",
    "split": "validation",
}
VOID = {"img", "meta", "br", "hr", "link", "input", "line", "circle", "rect", "image"}


class Page(HTMLParser):
    """Collects tags and checks that they close in order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict]] = []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def ids(self):
        return [a["id"] for _, a in self.attributes if "id" in a]


@pytest.fixture(scope="module")
def report(split, results, metrics, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    comparisons = {
        "untrained <net>": {
            "Top-10": {"value": -0.0123, "low": -0.02, "high": 0.01, "units": 9, "excludes_zero": False}
        }
    }
    written = write_report(
        path, results, split.hierarchy, split.embeds, split.curvature, metrics, split.crop_of, SETTINGS,
        title="Scenes <1>", comparisons=comparisons,
    )  # fmt: skip
    assert written == path
    return path.read_text()


def test_page_is_whole_and_its_links_lead_somewhere(report):
    page = Page(report)
    assert page.ids() == [
        "results",
        "example",
        "retrieval",
        "space",
        "tree",
        "tables",
        "training",
        "reading",
        "settings",
    ]
    assert [a["href"][1:] for tag, a in page.attributes if tag == "a"] == page.ids()
    assert all(a.get("alt") is not None for tag, a in page.attributes if tag == "img")


def test_page_fetches_nothing_and_runs_nothing(report):
    for tag, attributes in Page(report).attributes:
        assert tag not in ("script", "link", "iframe")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:image/", "#"))
    assert "url(" not in report
    assert "@import" not in report


def test_names_of_others_are_escaped(report):
    assert "<b>door" not in report
    assert "<net>" not in report
    assert "<i>x" not in report
    assert "Scenes &lt;1&gt;" in report
    assert "untrained &lt;net&gt;" in report


def test_cards_and_tables_hold_the_numbers_of_the_results(report, results):
    main, other = results.values()
    recall = main["parent_to_child"]["beta"]["recall@50%"]
    assert f'<div class="value">{100 * recall["value"]:.1f} %</div>' in report
    assert f"95 % interval {100 * recall['low']:.1f} to {100 * recall['high']:.1f}" in report
    top = main["child_to_parent"]["alpha"]["top_10"]
    assert f'<div class="value">{100 * top["value"]:.1f} %</div>' in report
    assert f"<dd>{100 * top['chance']:.1f} %</dd>" in report
    auc = main["entailment"]["beta"]["auc_random"]
    assert f'<div class="value">{auc["value"]:.3f}</div>' in report
    for oracle in auc["oracles"].values():
        assert f"<dd>{oracle:.3f}</dd>" in report
        assert f"scores {oracle:.3f}" in report
    for entry, oracle, words, figure in (
        (recall, "class_prevalence", "common classes first", "Recall@50 %"),
        (top, "class_count", "scenes of many classes first", "Top-10"),
    ):
        blind = f"{100 * entry['oracles'][oracle]:.1f} %"
        assert f"<dt>no image seen: {words}</dt><dd>{blind}</dd>" in report
        assert f'<th scope="row">{words.capitalize()}<small>sees no image</small></th>' in report
        assert f"finds {blind} ({figure}); the model {100 * entry['value']:.1f} %, random rankings" in report
    beside = other["parent_to_child"]["cosine"]["recall@50%"]
    assert f"<dd>{100 * beside['value']:.1f} %</dd>" in report
    assert "−1.2<small>−2.0 to +1.0</small><small>not told from 0</small>" in report


def test_oracle_verdict_follows_the_numbers(split, results, tmp_path):
    for value, said in (
        (0.999999, "Only what the model has above these"),
        (0.8, "The model is not clearly above these"),  # its interval reaches below
        (0.1, "The model is not clearly above these"),
    ):
        main = dict(results["hyperbolic angle"])
        entry = main["entailment"]["beta"]["auc_random"] | {
            "value": value,
            "low": value - 1e-6,
            "oracles": {"scene_flag": 0.8},
        }
        main["entailment"] = {"beta": main["entailment"]["beta"] | {"auc_random": entry}}
        path = write_report(
            tmp_path / "r.html", {"ours": main}, split.hierarchy, split.embeds, split.curvature, None, split.crop_of, {}
        )
        assert said in path.read_text()


@pytest.mark.parametrize(
    ("section", "measure", "figure", "oracle", "question"),
    [
        ("parent_to_child", "beta", "recall@50%", "class_prevalence", "is it a common class?"),
        ("child_to_parent", "alpha", "top_10", "class_count", "does the scene hold much?"),
    ],
)
def test_blind_rankings_are_set_beside_the_model(results, section, measure, figure, oracle, question):
    measures = {"children": "beta", "parents": "alpha", "pairs": "beta"}
    main = results["hyperbolic angle"]
    entry = main[section][measure][figure]

    def said(**changes) -> str:
        return limits({section: {measure: {figure: entry | changes}}}, measures, {})

    verdict = f"The model is not clearly above it: its figure does not show that it answers more than “{question}”"
    assert verdict in said(value=0.7, low=0.65, oracles={oracle: 0.7})
    assert verdict in said(value=0.7, low=0.55, oracles={oracle: 0.6})
    above = said(value=0.7, low=0.65, oracles={oracle: 0.6})
    assert "Only what the model has above it shows more than that." in above
    assert "finds 60.0 % " in above
    assert question not in above
    for silent in (said(oracles={oracle: None}), said(value=None), said(oracles={})):
        assert "looks at no image" not in silent


def test_without_metrics_there_is_no_training_section(split, results, tmp_path):
    path = write_report(
        tmp_path / "r.html", results, split.hierarchy, split.embeds, split.curvature, None, split.crop_of, {},
    )  # fmt: skip
    assert "training" not in Page(path.read_text()).ids()


@pytest.mark.parametrize("curvature", [None, 0.0])
def test_euclidean_model(split, metrics, tmp_path, curvature):
    result = evaluate_embeddings(split.embeds, split.hierarchy, curvature, settings=EvaluationSettings(resamples=10))
    path = write_report(
        tmp_path / "r.html", {"euclidean": result}, split.hierarchy, split.embeds, curvature, metrics, split.crop_of, {}
    )
    content = path.read_text()
    Page(content)
    assert "A Euclidean image model" in content
    assert "Poincaré" not in content
    assert "Euclidean angle at the parent (β)" in content
    recall = result["parent_to_child"]["euclidean_beta"]["recall@50%"]["value"]
    assert f'<div class="value">{100 * recall:.1f} %</div>' in content


@pytest.mark.parametrize("images", [1, 2])
def test_tiny_split(make_small_split, tmp_path, images):
    small = make_small_split(images)
    result = evaluate_embeddings(
        small.embeds, small.hierarchy, small.curvature, settings=EvaluationSettings(resamples=5)
    )
    path = write_report(
        tmp_path / "r.html", {"ours": result}, small.hierarchy, small.embeds, small.curvature, [], small.crop_of, {}
    )
    Page(path.read_text())


def test_scorers_given_rank_the_galleries(split, results, tmp_path):
    asked = []

    def scorer(queries, gallery, direction):
        asked.append(direction)
        return torch.zeros(len(queries), len(gallery))

    write_report(
        tmp_path / "r.html", results, split.hierarchy, split.embeds, split.curvature, None, split.crop_of, {},
        scorers={"children": scorer, "parents": scorer},
    )  # fmt: skip
    assert set(asked) == {"children", "parents"}


def test_failure_leaves_the_old_report_and_nothing_aside(split, results, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(path, results, split.hierarchy, split.embeds, split.curvature, None, split.crop_of, {})
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_bad_arguments_are_named(split, tmp_path, results):
    args = (split.curvature, None, split.crop_of, {})
    with pytest.raises(ValueError, match="results is empty"):
        write_report(tmp_path / "r.html", {}, split.hierarchy, split.embeds, *args)
    with pytest.raises(ValueError, match=re.escape("embeds has shape (3, 6)")):
        write_report(tmp_path / "r.html", results, split.hierarchy, split.embeds[:3], *args)
    assert not list(tmp_path.iterdir())


def test_summary_tells_what_was_trained_on_from_what_is_tested_on(split):
    h = split.hierarchy
    same = default_summary(h, {"data": "/data/cats", "split": "val"}, hyperbolic=True)
    assert "on the images of cats" in same
    assert "on 12 images of the val split, with 36 boxes of 5 classes on 3 levels." in same
    other = default_summary(h, {"data": "scenes", "evaluated_on": "/data/cats", "split": "val"}, hyperbolic=True)
    assert "was trained on drawn scenes" in other
    assert "images of the val split of cats, with" in other


def test_example_images_are_deep_and_readable(split):
    chosen = example_images(split.hierarchy, 3)
    assert len(chosen) == len(set(chosen)) == 3
    levels = split.hierarchy.level
    assert all(levels[split.hierarchy.node_image == image].max() == 2 for image in chosen)


def test_same_report_every_time(split, results, metrics, tmp_path):
    contents = [
        write_report(
            tmp_path / f"{k}.html", results, split.hierarchy, np.asarray(split.embeds), split.curvature, metrics,
            split.crop_of, SETTINGS,
        ).read_bytes()
        for k in range(2)
    ]  # fmt: skip
    assert contents[0] == contents[1]
