"""Does the tree emerge? Depth and radius, trees recovered from angles, of images and of classes, and delta."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.emergence import MAIN_SCORE, tree_scorers
from hf_hyperbolic.evaluation.scorer import is_hyperbolic
from hf_hyperbolic.evaluation.tree_recovery import image_tree
from hf_hyperbolic.report import figures, html
from hf_hyperbolic.report.example import example_images
from hf_hyperbolic.report.gallery import CropOf
from hf_hyperbolic.report.html import Markup, row, table, tag, text
from hf_hyperbolic.report.numbers import MISSING, cell, lookup, measure_name, number
from hf_hyperbolic.report.poincare import embedding_radii
from hf_hyperbolic.report.tables import Results
from hf_hyperbolic.report.tree_figures import angle_heat_map, class_trees, image_trees

IMAGES = 3
_MOST_BOXES = 12
_SCORES = {MAIN_SCORE: "nearest container", "obtuse_container": "nearest container, obtuse", "star": "star"}


def tree_section(
    results: Results, hierarchy: Hierarchy, embeds: np.ndarray, curvature: float | None, crop_of: CropOf
) -> Markup:
    """The section.

    Args:
        results: system -> result, the main system first; a result without `tree` is left out of the tables.
        hierarchy: the split.
        embeds: (N, D) embeddings of the main system.
        curvature: c of its space; None or 0 for a Euclidean model.
        crop_of: node -> (H, W, 3) uint8.
    """
    having = {system: result["tree"] for system, result in results.items() if result.get("tree")}
    nodes = np.flatnonzero(hierarchy.active())
    radii = embedding_radii(embeds[nodes], curvature if is_hyperbolic(curvature) else None)
    parts = [
        tag("h3", "Depth and distance from the origin"),
        html.figure(
            figures.radius_by_level(radii, hierarchy.level[nodes]), "distance from the origin for each level",
            "Dot: median. Bar: middle half.", class_="wide",
        ),
    ]  # fmt: skip
    if having:
        parts += [_depth_table(having), *_images(having, hierarchy, embeds, curvature, crop_of), *_classes(having)]
        parts += _delta(having)
    lead = (
        "Wholes should lie nearer the origin than their parts, parts behind their wholes. What follows is read off the "
        "embeddings: no tree is given to the model at this point, and no more than one angle is fitted to other images."
    )
    return html.section("tree", "Does the tree emerge?", *parts, lead=lead)


def _depth_table(having: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = []
    for index, (system, tree) in enumerate(having.items()):
        cells = [cell(lookup(tree, "depth", name), "spearman") for name in ("all", "boxes")]
        rows.append(row(system, cells, "main" if index == 0 else None))
    first = next(iter(having.values()))["depth"]
    for field, words in (("chance", "chance"), ("ceiling", "best possible, given ties in depth")):
        rows.append(row(words, [number(first[name][field], "spearman") for name in ("all", "boxes")], "aside"))
    return table(["Spearman correlation of depth and distance from the origin", "all nodes", "boxes only"], rows)


def _images(
    having: Mapping[str, Mapping[str, Any]],
    hierarchy: Hierarchy,
    embeds: np.ndarray,
    curvature: float | None,
    crop_of: CropOf,
) -> list[Markup]:
    title = tag("h3", "The tree of an image")
    first = next(iter(having.values()))
    if not first["images"]:
        return [title, tag("p", "No image of this split has two boxes: there is no tree to recover.", class_="note")]
    about = (
        "Of all trees on an image's nodes, the one whose edges score most is taken. Nearest container: a node holds "
        "another where the interior angle at it is wide, and of those that hold it the one nearest in direction is its "
        "parent. From which angle on is fitted, one number, on the images of the other half; obtuse: from a right "
        f"angle on. F1 of the recovered against the direct edges, mean over {first['images']} images (drawn at "
        "random where there are more), with 95 % intervals over them. Star: the scene is every box's parent. Chance: "
        "random scores. The best possible is below 1 where overlapping boxes give a box two parents."
    )
    parts = [title, tag("p", about, class_="note"), _score_table(having)]
    scorer = tree_scorers(torch.as_tensor(embeds).float(), hierarchy, curvature)[first["score"]]
    for image in example_images(hierarchy, IMAGES, _MOST_BOXES):
        drawing, right, found, true = image_trees(hierarchy, *image_tree(hierarchy, image, scorer), crop_of)
        f1 = 2 * right / max(found + true, 1)
        caption = (
            f"{right} of {true} true edges found, F1 {f1:.2f}. Red and dashed: edges that are wrong; grey and dashed: "
            "true edges missed. Frames: level in the true tree. The image was picked for the size and depth of its "
            "tree alone."
        )
        alt = "the true tree of an image and, below it, the tree recovered from angles"
        parts.append(html.figure(drawing, alt, caption, kind="png", class_="wider"))
    return parts


def _score_table(having: Mapping[str, Mapping[str, Any]]) -> Markup:
    """One row a system and score, the figure to quote first; the star, chance and the best possible below."""
    rows = []
    for index, (system, tree) in enumerate(having.items()):
        for name, entry in tree["edge_f1"].items():
            if name != "star" and (index == 0 or name == tree["score"]):
                label = Markup(text(system) + tag("small", _SCORES.get(name) or measure_name(name)))
                main = index == 0 and name == tree["score"]
                rows.append(row(label, [cell(entry, "edge_f1")], "main" if main else None))
    first = next(iter(having.values()))["edge_f1"]
    rows.append(row("star", [cell(first["star"], "edge_f1")], "aside"))
    for field, words in (("chance", "chance"), ("ceiling", "best possible")):
        rows.append(row(words, [number(first["star"][field], "edge_f1")], "aside"))
    return table(["Edges ranked by", "Edge F1"], rows)


def _classes(having: Mapping[str, Mapping[str, Any]]) -> list[Markup]:
    title = tag("h3", "Which class holds which")
    main = next(iter(having.values()))
    found = main["classes"]
    if found is None:
        return [title, tag("p", "No box of this split lies in a box of another class.", class_="note")]
    names, chosen = found["names"], len(found["names"]) - 1
    interior, between = (
        np.array([[np.nan if a is None else a for a in line] for line in found[key]]) for key in ("interior", "between")
    )
    true, parent = np.array(found["true_parent"]), np.array(found["found_parent"])
    f1, star, obtuse = found["edge_f1"], found["star"], found["obtuse"]
    about = (
        f"The scene and {chosen} of {found['of_classes']} classes, those of the most frequent pairs of whole and part; "
        "angles are means over boxes of different images, so they say what the model takes a class to hold, not an "
        "image."
    )
    heat = (
        "Mean interior angle at the row's class. Blue: obtuse. Framed: the category that the "
        "column's boxes lie directly in most often. Order and side: dendrogram of the mean angles between directions "
        "(average linkage)."
    )
    trees = (
        "Left: each class below the category that its boxes lie directly in most often. Right: the tree recovered from "
        "the mean angles alone: of two classes that with the wider angle at it holds the other, and of those that hold "
        f"a class the one nearest in direction is above it. F1 {number(f1['value'], 'edge_f1')} "
        f"({number(f1['low'], 'edge_f1')} to {number(f1['high'], 'edge_f1')}, over classes); the star "
        f"{number(star['value'], 'edge_f1')}, random trees {number(f1['chance'], 'edge_f1')}. Where a class holds "
        f"by an obtuse angle alone: {number(obtuse['value'], 'edge_f1')} "
        f"({number(obtuse['low'], 'edge_f1')} to {number(obtuse['high'], 'edge_f1')})."
    )
    parts = [
        title,
        tag("p", about, class_="note"),
        html.figure(
            angle_heat_map(names, interior, between, true), "mean angles between classes", heat, class_="wider"
        ),
        html.figure(class_trees(names, true, parent), "the tree of classes, true and recovered", trees, class_="wider"),
    ]
    others = {s: t["classes"]["edge_f1"] for s, t in having.items() if t["classes"]}
    rows = [row(s, [cell(entry, "edge_f1")], "main" if i == 0 else None) for i, (s, entry) in enumerate(others.items())]
    rows.append(row("star", [cell(star, "edge_f1")], "aside"))
    rows.append(row("chance", [number(f1["chance"], "edge_f1")], "aside"))
    parts.append(table(["Tree of classes", "Edge F1"], rows))
    if found["pairs"]:
        parts += [_pairs_note(found), _pairs_table(having)]
    return parts


def _pairs_note(found: Mapping[str, Any]) -> Markup:
    chance = number(found["pairs"][0]["told"]["chance"], "told")
    about = (
        "The most frequent pairs of whole and part: of the part's boxes in such a whole, the share whose best "
        "container among all categories but their own class is the whole's class, by their mean angles to boxes of "
        f"other images. Chance is {chance}."
    )
    return tag("p", about, class_="note")


def _pairs_table(having: Mapping[str, Mapping[str, Any]]) -> Markup:
    by_system = [
        {(pair["whole"], pair["part"]): pair for pair in tree["classes"]["pairs"]}
        for tree in having.values()
        if tree["classes"]
    ]
    rows = []
    for (whole, part), pair in by_system[0].items():
        cells = [cell(pairs[whole, part]["told"], "told") if (whole, part) in pairs else MISSING for pairs in by_system]
        label = Markup(text(f"{whole} > {part}") + tag("small", f"{pair['boxes']} boxes"))
        rows.append(row(label, cells))
    return html.folded("Which class holds a box, pair by pair", table(["Whole > part", *having], rows))


def _delta(having: Mapping[str, Mapping[str, Any]]) -> list[Markup]:
    rows = []
    for index, (system, tree) in enumerate(having.items()):
        found = tree["gromov"]
        if found["value"] is None:
            continue
        span = tag("small", f"{found['smallest']:.3f} to {found['largest']:.3f}") if found["draws"] > 1 else ""
        label = Markup(text(system) + tag("small", f"{found['metric'].capitalize()} distance"))
        values = [Markup(text(f"{found['value']:.3f}") + span), f"{found['random_directions']:.3f}"]
        rows.append(row(label, values, "main" if index == 0 else None))
    if not rows:
        return []
    first = next(iter(having.values()))["gromov"]
    rows.append(row("a tree", ["0.000", "–"], "aside"))
    times = f", mean over {first['draws']} draws, with the smallest and largest" if first["draws"] > 1 else ""
    about = (
        f"Gromov's four-point delta relative to the diameter, of {first['points']} points{times}: 0 for a tree, 1 at "
        "most. It is no proof of a hierarchy: as many points as far out in random directions, which in many dimensions "
        "stand at right angles to each other, make a star and so nearly a tree."
    )
    heads = ["2 δ / diameter", "embeddings", "random directions, same radii"]
    return [tag("h3", "How like a tree the distances are"), tag("p", about, class_="note"), table(heads, rows)]
