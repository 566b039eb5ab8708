"""Retrieval by words in the report: what the name of a class brings back, and how well captions find their images."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.captions import KS
from hf_hyperbolic.evaluation.federated import known_labels
from hf_hyperbolic.evaluation.nodes import Direction, active_boxes, scenes
from hf_hyperbolic.report import html
from hf_hyperbolic.report.gallery import CropOf, Hit, render_hits
from hf_hyperbolic.report.html import Markup, folded, tag
from hf_hyperbolic.report.numbers import measure_name
from hf_hyperbolic.report.tables import Results, protocol_table
from hf_hyperbolic.retrieval.measures import scores

_BY_NAME = ("boxes_top_10", "boxes_average_precision", "scenes_top_10", "scenes_average_precision")
_BY_CAPTION = tuple(f"{gallery}_recall@{k}" for gallery in ("images", "captions") for k in KS)
_OF_NAMES = "Means over the names of all classes that occur, with 95 % intervals over names."
_OF_CAPTIONS = (
    "Image recall@k: the share of captions whose image is among the first k of all images. Caption recall@k: the share "
    "of images that have one of their own captions among the first k of all captions. 95 % intervals over images. The "
    "best possible is below 100 % where images share a caption."
)
_WAYS: tuple[tuple[Direction, str, str], ...] = (
    ("children", "Name → boxes", "all boxes"),
    ("parents", "Name → scenes", "all full scenes"),
)


def words_section(
    results: Results,
    measures: Mapping[str, Mapping[str, str]],
    hierarchy: Hierarchy,
    embeds: torch.Tensor,
    name_embeds: torch.Tensor | np.ndarray | None,
    curvature: float | None,
    crop_of: CropOf,
    called: Sequence[int] | np.ndarray | None = None,
    queries: int = 4,
    top: int = 8,
    seed: int = 0,
) -> Markup:
    """The section, empty without embeddings of names and figures of captions.

    A box is right when it is of a class of the name; a scene, when its tree holds one. Scenes of which nobody knows
    that, where labels are federated, are left out.

    Args:
        results: system -> result, the main system first; figures are shown of those with `text_to_image` or `captions`.
        measures: system -> direction -> measure.
        hierarchy: the split.
        embeds: (N, D) embeddings of the main system.
        name_embeds: (C, D) embeddings of the names of its classes; None where it does not know them.
        curvature: of the main system's space.
        crop_of: node -> (H, W, 3) uint8.
        called: (C,) number of each class's name, where classes share one; each has its own when None.
        queries: names asked, drawn at random among those that occur.
        top: results of each.
        seed: of the draw.
    """
    of_captions = _figures(results, measures, "captions", _BY_CAPTION, _OF_CAPTIONS)
    if of_captions:
        of_captions = [tag("h3", "Captions"), *of_captions]
    if name_embeds is None:
        lead = "What is said of an image is its parent: a caption finds its image, and an image its captions."
        return html.section("words", "Retrieval by words", *of_captions, lead=lead) if of_captions else Markup("")
    names = torch.as_tensor(name_embeds).detach().float().cpu()
    numbers = np.arange(hierarchy.num_classes) if called is None else np.asarray(called)
    main = next(iter(results))
    occurring = np.unique(numbers[hierarchy.node_label[active_boxes(hierarchy)]])
    chosen = np.random.default_rng(seed).permutation(occurring)[:queries]
    parts = _figures(results, measures, "text_to_image", _BY_NAME, _OF_NAMES)
    for direction, title, about in _WAYS:
        measure = measures[main][direction]
        nodes = active_boxes(hierarchy) if direction == "children" else scenes(hierarchy)
        rows = []
        for name in chosen:
            classes = np.flatnonzero(numbers == name)
            right, known = _answers(hierarchy, nodes, classes, direction)
            items = nodes[known]
            found = scores(names[classes[:1]], embeds[torch.from_numpy(items)], measure, direction, curvature=curvature)
            rows.append(
                _row(hierarchy.class_names[classes[0]], items, found[0].numpy(), right[known], measure, hierarchy,
                     crop_of, top)
            )  # fmt: skip
        searched = tag("p", f"Searched: {about} ({len(nodes):,}). Ranked by {measure_name(measure)}.", class_="note")
        parts.append(tag("div", html.join([tag("h3", title), searched, *rows]), class_="gallery"))
    lead = (
        f"What the name of a class brings back. Names drawn at random (seed {seed}), not picked; each is the parent of "
        "the boxes that it names, and the child of the scenes that hold one."
    )
    return html.section("words", "Retrieval by words", *parts, *of_captions, lead=lead)


def _answers(
    hierarchy: Hierarchy, nodes: np.ndarray, classes: np.ndarray, direction: Direction
) -> tuple[np.ndarray, np.ndarray]:
    """(G,) bool each: which nodes answer to a name of these classes, and of which that is known."""
    if direction == "children":
        return np.isin(hierarchy.node_label[nodes], classes), np.ones(len(nodes), dtype=bool)
    held = hierarchy.scene_labels()
    known = known_labels(hierarchy, nodes, held)
    right = np.asarray(held[:, classes].any(axis=1))
    settled = np.ones(len(nodes), dtype=bool) if known is None else np.asarray(known[:, classes].all(axis=1))
    return right, settled | right


def _row(
    name: str,
    items: np.ndarray,
    found: np.ndarray,
    right: np.ndarray,
    measure: str,
    hierarchy: Hierarchy,
    crop_of: CropOf,
    top: int,
) -> Markup:
    best = np.argsort(-found, kind="stable")[:top]
    hits = [Hit(int(items[i]), float(found[i]), bool(right[i]), own_image=False) for i in best]
    chance = right.mean() * len(hits)
    tally = f"{sum(hit.right for hit in hits)} of {len(hits)} right, {chance:.1f} by chance, {right.sum():,} in all"
    ask = tag("div", html.join([tag("strong", f"“{name}”"), tag("span", tally, class_="tally")]), class_="ask")
    return tag("div", html.join([ask, render_hits(hits, measure, hierarchy, crop_of)]), class_="row asked")


def _figures(
    results: Results, measures: Mapping[str, Mapping[str, str]], section: str, figures: Sequence[str], note: str
) -> list[Markup]:
    """Note and tables of a section, nothing where no system has it."""
    having = {name: found for name, found in results.items() if found.get(section)}
    if not having:
        return []
    chosen = [(name, measure) for name in having for measure in dict.fromkeys(measures[name][w] for w, *_ in _WAYS)]
    every = [(name, measure) for name, found in having.items() for measure in found[section]]
    return [
        tag("p", note, class_="note"),
        protocol_table(having, section, figures, chosen),
        folded("Every measure", protocol_table(having, section, figures, every)),
    ]
