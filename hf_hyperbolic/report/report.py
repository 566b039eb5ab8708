"""The report: one HTML file that shows what a model retrieves, how well, and how far to trust it."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.nodes import Direction, NodeScorer
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer, is_hyperbolic
from hf_hyperbolic.report import figures, html, prose, tables
from hf_hyperbolic.report.by_class import class_section
from hf_hyperbolic.report.cards import headline_cards
from hf_hyperbolic.report.emergence import tree_section
from hf_hyperbolic.report.example import example_images, render_example
from hf_hyperbolic.report.gallery import Gallery, galleries, render_gallery
from hf_hyperbolic.report.html import Markup
from hf_hyperbolic.report.space import space_section
from hf_hyperbolic.report.words import words_section
from hf_hyperbolic.report.zero_shot import zero_shot_section
from hf_hyperbolic.retrieval.measures import euclidean_counterpart

_WAYS: tuple[Direction, ...] = ("children", "parents")
_PANEL_NOTES = {
    "loss": "Loss, each direction. The thin line is what was logged, the thick one its running mean.",
    "curvature": "Curvature c, learnt: larger means that space widens faster.",
    "temperature": "Temperature τ of the softmax, learnt.",
    "radius": "Scenes should stay nearer the origin than the boxes in them.",
    "validation": "On the validation split, while training.",
}


def write_report(
    path: str | os.PathLike[str],
    results: Mapping[str, Mapping[str, Any]],
    hierarchy: Hierarchy,
    embeds: np.ndarray | torch.Tensor,
    curvature: float | None,
    metrics: Sequence[Mapping[str, Any]] | None,
    crop_of: Callable[[int], np.ndarray],
    settings: Mapping[str, Any],
    *,
    title: str = "What is inside, and what is it a part of?",
    summary: str | None = None,
    children_measure: str = "beta",
    parents_measure: str = "alpha",
    pairs_measure: str | None = None,
    system_measures: Mapping[str, Mapping[str, str]] | None = None,
    comparisons: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    scorers: Mapping[Direction, NodeScorer] | None = None,
    queries_per_level: int = 3,
    top: int = 8,
    seed: int = 0,
    name_embeds: np.ndarray | torch.Tensor | None = None,
    called: np.ndarray | None = None,
) -> Path:
    """Writes the report: one file, pictures and style inside, no script, nothing fetched.

    It is written aside and then renamed, so a reader never sees half of it.

    Args:
        path: the HTML file; its folder is made.
        results: system -> result of `evaluate_embeddings` on `hierarchy`; the first is the main system, the others are
            baselines beside it.
        hierarchy: the split.
        embeds: (N, D) embeddings of the main system, one row a node.
        curvature: c of the main system's space of curvature -c; None or 0 for a Euclidean model.
        metrics: lines of the run's `metrics.jsonl`; None leaves the training curves out.
        crop_of: node -> (H, W, 3) uint8, what lies in the node's box, neither padded nor widened.
        settings: of the run, shown as they are; `backbone`, `image_size`, `data`, `train_scenes`,
            `max_steps`, `split` and `evaluated_on` (where that is not `data`) also fill the opening sentences,
            `threshold` the limits.
        title: of the page.
        summary: opening sentences in place of those made from `settings`.
        children_measure: what ranks the main system's results parent -> child.
        parents_measure: what ranks them child -> parent. A Euclidean model's hyperbolic measures become Euclidean ones.
        pairs_measure: what tells its pairs of whole and part from others; as `children_measure`, uncorrected, when
            None.
        system_measures: system -> `{"children": measure, "parents": measure, "pairs": measure}`; another system's
            default is cosine.
        comparisons: other system -> figure in words -> `paired_difference` of shares, main minus other.
        scorers: what ranks the galleries in each direction; made from `embeds` and the measures when None, a
            hub-corrected measure then taking the gallery's own items as references.
        queries_per_level: rows of each gallery.
        top: results of each row.
        seed: of the choice of gallery queries.
        name_embeds: (C, D) embeddings of the names of the hierarchy's classes by the main system's text tower, for a
            section on retrieval by words; None leaves it out.
        called: (C,) number of each class's name, where classes share one; see `evaluate_text_to_image`.

    Returns:
        The path written.

    Raises:
        ValueError: there is no system, or `embeds` does not fit the hierarchy.
        OSError: the file cannot be written.
    """
    if not results:
        raise ValueError("results is empty: give at least the main system's results of evaluate_embeddings")
    vectors = torch.as_tensor(embeds).detach().float().cpu()
    if vectors.ndim != 2 or len(vectors) != hierarchy.num_nodes:
        raise ValueError(
            f"embeds has shape {tuple(vectors.shape)}, expected ({hierarchy.num_nodes}, D): one row a node of the "
            "hierarchy"
        )
    main = next(iter(results))
    measures: dict[str, Mapping[str, str]] = {
        name: dict.fromkeys(("children", "parents", "pairs"), "cosine") for name in results
    }
    measures[main] = {
        "children": _applicable(children_measure, curvature),
        "parents": _applicable(parents_measure, curvature),
        "pairs": _applicable(pairs_measure or children_measure.partition("+")[0], curvature),
    }
    measures.update({name: found for name, found in (system_measures or {}).items() if name in results})
    hyperbolic = is_hyperbolic(curvature)

    sections = [_headline(results, measures, main), _example(hierarchy, crop_of)]
    if scorers is None:
        scorers = {way: EmbeddingScorer(vectors, measures[main][way], curvature) for way in _WAYS}
    found = galleries(hierarchy, scorers, measures[main], queries_per_level, top, seed)
    sections.append(_galleries(found, hierarchy, crop_of, f"Queries drawn at random (seed {seed}), not picked."))
    sections.append(
        words_section(
            results, measures, hierarchy, vectors, name_embeds, curvature, crop_of, called, top=top, seed=seed
        )
    )
    sections.append(space_section(hierarchy, vectors.numpy(), curvature, crop_of))
    sections.append(tree_section(results, hierarchy, vectors.numpy(), curvature, crop_of))
    sections.append(_figures_in_full(results, measures, comparisons))
    sections.append(zero_shot_section(results))
    if metrics:
        sections.append(_training(metrics))
    sections.append(
        html.section("reading", "How to read this", prose.how_to_read(hyperbolic), html.tag("h3", "Limits"),
                     prose.limits(results[main], measures[main], settings))
    )  # fmt: skip
    sections.append(
        html.section("settings", "Settings", html.folded("All settings of the run", tables.settings_table(settings)))
    )
    opening = summary if summary is not None else prose.default_summary(hierarchy, settings, hyperbolic)
    return _write(Path(path), html.page(title, _body(title, opening, [part for part in sections if part])))


def _applicable(measure: str, curvature: float | None) -> str:
    """The Euclidean counterpart of a hyperbolic measure, for a Euclidean model."""
    base, plus, correction = measure.partition("+")
    return measure if is_hyperbolic(curvature) else f"{euclidean_counterpart(base)}{plus}{correction}"


def _headline(results: Mapping[str, Mapping[str, Any]], measures: Mapping[str, Mapping[str, str]], main: str) -> Markup:
    lead = f"The model is “{main}”. On each rule it is the filled dot; hollow dots are the other systems."
    if len(results) == 1:
        lead = f"The model is “{main}”. On each rule it is the filled dot."
    cards = headline_cards(results, measures)
    return Markup(
        html.section("results", "At a glance", cards, lead=lead).replace("<section", '<section class="bare"', 1)
    )


def _example(hierarchy: Hierarchy, crop_of: Callable[[int], np.ndarray]) -> Markup:
    chosen = example_images(hierarchy, 1)
    if not chosen:
        return Markup("")
    lead = "Boxes that lie in a larger box are its parts, so the boxes of an image make a tree."
    return html.section("example", "What there is to learn", render_example(hierarchy, chosen[0], crop_of), lead=lead)


def _galleries(
    found: Sequence[Gallery], hierarchy: Hierarchy, crop_of: Callable[[int], np.ndarray], drawn: str
) -> Markup:
    parts = [render_gallery(gallery, hierarchy, crop_of) for gallery in found]
    lead = f"{drawn} Below each, the best of what it brings back, the best first."
    return html.section(
        "retrieval",
        "Retrieval in both directions",
        prose.gallery_key([gallery.measure for gallery in found]),
        *parts,
        lead=lead,
    )


def _figures_in_full(
    results: Mapping[str, Mapping[str, Any]],
    measures: Mapping[str, Mapping[str, str]],
    comparisons: Mapping[str, Mapping[str, Mapping[str, Any]]] | None,
) -> Markup:
    parts: list[Markup] = []
    if comparisons:
        note = "Paired over the same queries, with 95 % intervals: a claim that one beats the other rests on these."
        parts += [
            html.tag("h3", "Differences"),
            html.tag("p", note, class_="note"),
            tables.comparison_table(comparisons),
        ]
    parts.append(tables.retrieval_tables(results, measures))
    curves = precision_recall_curves(results, measures)
    if curves:
        note = "Precision interpolated at fixed recall, mean over scenes. Bands: 95 % intervals over scenes."
        parts.append(html.tag("h3", "Precision and recall, scene → boxes"))
        drawn = next(iter(results.values()))["precision_recall"]
        drawing = figures.precision_recall(
            curves,
            chance=(drawn["recall"], figures.numbers(drawn["chance"])),
            ceiling=(drawn["recall"], figures.numbers(drawn["ceiling"])),
        )
        parts.append(html.figure(drawing, "precision against recall", note, class_="wide"))
    if classes := class_section(results, measures):
        parts.append(classes)
    if entailment := tables.entailment_table(results, measures):
        note = "Pairs of whole and part against three kinds of other pairs. Oracles that see no image stand below."
        parts += [html.tag("h3", "Entailment"), html.tag("p", note, class_="note"), entailment]
    note = "Hubs and cones are faults, lower is better. Busiest: share of the queries with one item in their first ten."
    parts += [html.tag("h3", "Geometry"), html.tag("p", note, class_="note"), tables.geometry_table(results, measures)]
    lead = "Each value with its 95 % interval below it. The small print under a system says what ranks."
    return html.section("tables", "All figures", *parts, lead=lead)


def precision_recall_curves(
    results: Mapping[str, Mapping[str, Any]], measures: Mapping[str, Mapping[str, str]]
) -> dict[str, figures.Curve]:
    """System with its measure -> its curve, those of systems without one left out."""
    curves = {}
    for system, result in results.items():
        measure = measures[system]["children"]
        drawn = result.get("precision_recall", {})
        if found := drawn.get("measures", {}).get(measure):
            curves[f"{system} ({measure})"] = figures.Curve(
                drawn["recall"], *(figures.numbers(found[name]) for name in ("value", "low", "high"))
            )
    return curves


def _training(metrics: Sequence[Mapping[str, Any]]) -> Markup:
    panels = [
        html.figure(drawing, f"training curve: {name}", _PANEL_NOTES[name])
        for name, drawing in figures.training_curves(metrics).items()
    ]
    return (
        html.section("training", "Training", html.tag("div", html.join(panels), class_="panels"))
        if panels
        else Markup("")
    )


def _body(title: str, opening: str, sections: Sequence[Markup]) -> Markup:
    names = {
        "results": "At a glance", "example": "The task", "retrieval": "Retrieval", "words": "Words",
        "space": "The space", "tree": "The tree", "tables": "All figures", "zero-shot": "Zero-shot",
        "training": "Training", "reading": "How to read", "settings": "Settings",
    }  # fmt: skip
    present = [name for name in names if any(f'id="{name}"' in part[:60] for part in sections)]
    links = html.join(html.tag("li", html.tag("a", names[name], href=f"#{name}")) for name in present)
    header = html.tag(
        "header", html.tag("div", html.join([html.tag("h1", title), html.tag("p", opening)]), class_="inner")
    )
    nav = html.tag("nav", html.tag("ul", links), aria_label="sections")
    footer = html.tag("footer", "Made by hf_hyperbolic. This file holds everything it shows.")
    return html.join([header, nav, html.tag("main", html.join(sections)), footer])


def _write(path: Path, content: str) -> Path:
    """Writes beside the file, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(content)
        # mkstemp makes the file private; a report is for others to read
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    return path
