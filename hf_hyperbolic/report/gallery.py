"""Galleries: what a query brings back, each result marked right or wrong.

Right means what the protocols mean by it. Parent -> child: the retrieved box's class occurs in the query's tree.
Child -> parent: the retrieved node's tree holds the query's class. Neither asks for the same image. What is unknown,
where labels are federated, is left out as the protocols leave it out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.federated import unknown_pairs
from hf_hyperbolic.evaluation.nodes import Direction, NodeScorer, active_boxes, parents, scenes
from hf_hyperbolic.report.html import Markup, folded, image, join, tag, text, thumbnail_uri
from hf_hyperbolic.report.numbers import measure_name
from hf_hyperbolic.report.style import level_colour, level_name

CropOf = Callable[[int], np.ndarray]
ANGLES = ("alpha", "beta", "euclidean_alpha", "euclidean_beta")


@dataclass(frozen=True)
class Hit:
    """One retrieved node.

    Attributes:
        node: which.
        score: larger is better.
        right: whether it counts.
        own_image: whether it comes from the query's image.
    """

    node: int
    score: float
    right: bool
    own_image: bool


@dataclass(frozen=True)
class GalleryRow:
    """One query and its best results.

    Attributes:
        query: node.
        direction: `"children"` or `"parents"`.
        hits: best first.
        chance: share of the gallery that counts, in [0, 1].
    """

    query: int
    direction: Direction
    hits: tuple[Hit, ...]
    chance: float


@dataclass(frozen=True)
class Gallery:
    """Rows of one kind: queries of one level, one direction, one gallery.

    Attributes:
        title: for example "object → parents".
        about: what is searched, in words.
        measure: what ranks.
        rows: one a query.
        deep: whether it is for queries below parts, and shown folded.
    """

    title: str
    about: str
    measure: str
    rows: tuple[GalleryRow, ...]
    deep: bool = False


def relevant(hierarchy: Hierarchy, query: int, candidates: np.ndarray, direction: Direction) -> np.ndarray:
    """(G,) bool: which candidate nodes count for a query."""
    members = hierarchy.ancestry[:, 0]
    if direction == "children":
        labels = np.unique(hierarchy.node_label[hierarchy.ancestry[members == query, 1]])
        return np.isin(hierarchy.node_label[candidates], labels)
    wanted = hierarchy.node_label[hierarchy.ancestry[:, 1]] == hierarchy.node_label[query]
    return np.isin(candidates, members[wanted])


def search(
    hierarchy: Hierarchy, scorer: NodeScorer, query: int, candidates: np.ndarray, direction: Direction, top: int = 8
) -> GalleryRow:
    """The `top` best candidates for a query; never itself, a node that takes no part, or one of unknown relation."""
    candidates = candidates[(candidates != query) & hierarchy.active()[candidates]]
    pairs = np.stack([np.full_like(candidates, query), candidates], axis=1)
    candidates = candidates[~unknown_pairs(hierarchy, pairs if direction == "children" else pairs[:, ::-1])]
    scores = scorer(np.array([query]), candidates, direction)[0].double().cpu().numpy()
    right = relevant(hierarchy, query, candidates, direction)
    own = hierarchy.node_image[candidates] == hierarchy.node_image[query]
    best = np.argsort(-scores, kind="stable")[:top]
    hits = tuple(Hit(int(candidates[i]), float(scores[i]), bool(right[i]), bool(own[i])) for i in best)
    return GalleryRow(query, direction, hits, float(right.mean()) if len(right) else 0.0)


def galleries(
    hierarchy: Hierarchy,
    scorers: Mapping[Direction, NodeScorer],
    measures: Mapping[str, str],
    queries_per_level: int = 3,
    top: int = 8,
    seed: int = 0,
) -> list[Gallery]:
    """Galleries for queries at each level, drawn at random, each from another class and image where there are enough.

    Scenes bring back children, objects and parts bring back scenes and, where they have any, children. What lies two
    levels down or more also brings back boxes it may be part of.

    Args:
        hierarchy: the split.
        scorers: direction -> what scores nodes.
        measures: direction -> name of the measure behind the scorer.
        queries_per_level: rows of each gallery.
        top: results of each row.
        seed: of the choice of queries.
    """
    rng = np.random.default_rng(seed)
    boxes, with_descendant = active_boxes(hierarchy), parents(hierarchy)
    full_scenes, wholes = scenes(hierarchy), with_descendant[hierarchy.node_label[with_descendant] >= 0]
    deepest = int(hierarchy.level.max(initial=0))
    plans: list[tuple[int, Direction, np.ndarray, np.ndarray, str]] = []
    for level in range(min(deepest, 3) + 1):
        members = np.flatnonzero((hierarchy.level == level) & hierarchy.active())
        holders = np.intersect1d(members, with_descendant)
        if level > 0:
            plans.append((level, "parents", members, full_scenes, "all full scenes"))
        if level > 1:
            plans.append((level, "parents", members, wholes, "all boxes that hold other boxes"))
        plans.append((level, "children", holders, boxes, "all boxes"))
    found = []
    for level, direction, pool, candidates, about in plans:
        chosen = _choose(hierarchy, pool, queries_per_level, rng)
        rows = [search(hierarchy, scorers[direction], query, candidates, direction, top) for query in chosen]
        if rows := [row for row in rows if row.hits]:
            among = ", among boxes" if candidates is wholes else ""
            title = f"{level_name(level)} → {direction}{among}".capitalize()
            found.append(Gallery(title, f"{about} ({len(candidates):,})", measures[direction], tuple(rows), level > 2))
    return found


def render_gallery(gallery: Gallery, hierarchy: Hierarchy, crop_of: CropOf) -> Markup:
    """HTML of a gallery, its pictures inside.

    Args:
        gallery: what to show.
        hierarchy: names the nodes.
        crop_of: node -> (H, W, 3) uint8.
    """
    rows = (_render_row(row, gallery.measure, hierarchy, crop_of) for row in gallery.rows)
    about = tag("p", f"Searched: {gallery.about}. Ranked by {measure_name(gallery.measure)}.", class_="note")
    content = [about, *rows]
    if gallery.deep:
        return tag("div", folded(tag("strong", gallery.title), *content), class_="gallery")
    return tag("div", join([tag("h3", gallery.title), *content]), class_="gallery")


def node_name(hierarchy: Hierarchy, node: int) -> str:
    """The class of a box, "scene" for a scene."""
    label = int(hierarchy.node_label[node])
    return hierarchy.class_names[label] if label >= 0 else "scene"


def _held(hierarchy: Hierarchy, node: int, most: int = 12) -> str:
    """Classes in a node's tree, in words."""
    labels = np.unique(hierarchy.node_label[hierarchy.ancestry[hierarchy.ancestry[:, 0] == node, 1]])
    names = [hierarchy.class_names[label] for label in labels[:most]]
    return ", ".join(names) + (f" and {len(labels) - most} more" if len(labels) > most else "")


def _choose(hierarchy: Hierarchy, pool: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """`count` random nodes; a class or an image comes twice only when there are too few of them."""
    order = rng.permutation(pool)
    labels, images = hierarchy.node_label, hierarchy.node_image
    chosen: list[int] = []
    for allowed in (
        lambda n: (labels[n] < 0 or labels[n] not in labels[chosen]) and images[n] not in images[chosen],
        lambda n: labels[n] < 0 or labels[n] not in labels[chosen],
        lambda n: True,
    ):
        for node in order:
            if len(chosen) == count:
                return chosen
            if node not in chosen and allowed(node):
                chosen.append(int(node))
    return chosen


def _render_row(row: GalleryRow, measure: str, hierarchy: Hierarchy, crop_of: CropOf) -> Markup:
    level = int(hierarchy.level[row.query])
    name = node_name(hierarchy, row.query)
    found = sum(hit.right for hit in row.hits)
    tally = f"{found} of {len(row.hits)} right, {row.chance * len(row.hits):.1f} by chance"
    ask = [
        tag("strong", name),
        tag("span", level_name(level), class_="level", style=f"--level:{level_colour(level)}") if level else text(""),
        tag("span", tally, class_="tally"),
        tag("span", f"holds {_held(hierarchy, row.query)}", class_="tally")
        if row.direction == "children"
        else text(""),
    ]
    query = image(thumbnail_uri(crop_of(row.query), 220), f"query: {name}", class_="query")
    hits = render_hits(row.hits, measure, hierarchy, crop_of)
    return tag("div", join([tag("div", join(ask), class_="ask"), query, hits]), class_="row")


def render_hits(hits: Iterable[Hit], measure: str, hierarchy: Hierarchy, crop_of: CropOf) -> Markup:
    """Results side by side, each with its score and marked right or wrong."""
    return tag("ol", join(_render_hit(hit, measure, hierarchy, crop_of) for hit in hits), class_="hits")


def _render_hit(hit: Hit, measure: str, hierarchy: Hierarchy, crop_of: CropOf) -> Markup:
    name, verdict = node_name(hierarchy, hit.node), "right" if hit.right else "wrong"
    mark = tag("span", "✓" if hit.right else "✗", class_="mark", role="img", aria_label=verdict, title=verdict)
    parts: Iterable[object] = [
        tag("div", join([image(thumbnail_uri(crop_of(hit.node)), name), mark], ""), class_="picture"),
        tag("span", name, class_="name", title=name),
        tag("span", score_text(hit.score, measure), class_="score"),
        tag("span", "own image", class_="own") if hit.own_image else text(""),
    ]
    return tag("li", join(parts), class_=f"hit {verdict}")


def score_text(score: float, measure: str) -> str:
    """Angles in degrees, everything else as it is (a distance without its sign)."""
    if measure in ANGLES:
        return f"{np.degrees(score):.1f}°"
    return f"{abs(score):.3f}" if measure == "distance" else f"{score:.3f}"
