"""The report's sentences. Those that state a number are built from the results; none is typed in."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.report.html import Markup, join, tag, text
from hf_hyperbolic.report.numbers import figure_name, lookup, measure_name, number
from hf_hyperbolic.retrieval.measures import SIMILARITY_SHARE

# rankings that are the same for every query: section, direction whose measure ranks, figure, oracle, the point made,
# what is ranked first, what a model no better may have answered
_BLIND = (
    (
        "parent_to_child", "children", "recall@50%", "class_prevalence",
        "A common class is not content seen.", "boxes of common classes", "is it a common class?",
    ),
    (
        "child_to_parent", "parents", "top_10", "class_count",
        "A crowded scene is right for many boxes.", "scenes of many classes", "does the scene hold much?",
    ),
)  # fmt: skip


def default_summary(hierarchy: Hierarchy, settings: Mapping[str, Any], hyperbolic: bool) -> str:
    """Two sentences: what was trained on what, and what it is tested on here; unknown settings are left unsaid.

    Settings with a `checkpoint` are of a model of unknown training, taken as it is.
    """
    parts = [f"A {'hyperbolic' if hyperbolic else 'Euclidean'} image model"]
    if settings.get("backbone"):
        size = f" at {settings['image_size']} px" if settings.get("image_size") else ""
        parts.append(f"({settings['backbone']}{size})")
    if settings.get("checkpoint"):
        size = f" at {settings['image_size']} px" if settings.get("image_size") else ""
        parts.append(f"({Path(str(settings['checkpoint'])).name}{size}) is taken as it is.")
        return f"{' '.join(parts)} {_tested(hierarchy, settings)}"
    parts.append("was trained")
    if settings.get("data") == "scenes":
        count = settings.get("train_scenes")
        parts.append(f"on {count:,} drawn scenes" if count else "on drawn scenes")
    elif settings.get("data"):
        parts.append(f"on the images of {Path(str(settings['data'])).name}")
    if settings.get("max_steps"):
        parts.append(f"for {settings['max_steps']:,} steps")
    parts.append("to tell what is inside an image, and what it is a part of.")
    return f"{' '.join(parts)} {_tested(hierarchy, settings)}"


def _tested(hierarchy: Hierarchy, settings: Mapping[str, Any]) -> str:
    boxes = int((hierarchy.active() & (hierarchy.node_label >= 0)).sum())
    levels = int(hierarchy.level.max(initial=0)) + 1
    split = f" of the {settings['split']} split" if settings.get("split") else ""
    evaluated, data, domain = settings.get("evaluated_on"), settings.get("data"), ""
    if evaluated is not None and evaluated != data:
        split += " of the drawn scenes" if evaluated == "scenes" else f" of {Path(str(evaluated)).name}"
        domain = " Out of domain: it was trained on another set." if data else ""
    return (
        f"It is tested here on {hierarchy.num_images:,} images{split}, with {boxes:,} boxes of "
        f"{int(hierarchy.scene_labels().any(0).sum()):,} classes on {levels} levels.{domain}"
    )


def how_to_read(hyperbolic: bool) -> Markup:
    """A newcomer's guide to the figures."""
    space = (
        "Every image, box or part is a point in hyperbolic space, which widens outwards as a tree does. Wholes lie "
        "near the origin, their parts further out in the same direction."
        if hyperbolic
        else "Every image, box or part is a vector. Wholes are short, their parts longer in the same direction."
    )
    entries = (
        ("The space", space),
        (
            "The angle",
            "A part should lie straight behind its whole, seen from the origin. Two angles say how straight: α, "
            "measured at the part, and β, measured at the whole. 180° is a perfect fit. α also grows when the whole "
            "is merely near the origin; β does not. A model trained by similarity too is ranked by both together: the "
            f"cosine of what β falls short of straight, plus {SIMILARITY_SHARE:g} times the similarity.",
        ),
        (
            "Right and wrong",
            "Going down, a retrieved box is right when its class occurs in the query's tree; going up, a retrieved "
            "whole is right when its tree holds the query's class. The very same image is not asked for; “own "
            "scene” asks for it.",
        ),
        (
            "Chance and best possible",
            "Chance is what a random ranking reaches on the same queries. The best possible is often below 100 %: a "
            "query with more right answers than places cannot find them all.",
        ),
        (
            "Intervals",
            "95 % bootstrap intervals over the queries or images of this split. They say how sure a figure is of "
            "this model; another training seed may differ by more.",
        ),
    )
    return tag("dl", join(Markup(tag("dt", name) + tag("dd", about)) for name, about in entries), class_="reading")


def limits(results: Mapping[str, Any], measures: Mapping[str, str], settings: Mapping[str, Any]) -> Markup:
    """What the figures do not show, with this model's own numbers."""
    return tag("ul", join(tag("li", point) for point in limit_points(results, measures, settings)), class_="plain")


def limit_points(results: Mapping[str, Any], measures: Mapping[str, str], settings: Mapping[str, Any]) -> list[str]:
    """The sentences of `limits`, as plain text."""
    points: list[str] = []
    threshold = settings.get("threshold")
    share = f"to at least {100 * threshold:g} % " if isinstance(threshold, float | int) else ""
    points += _oracle_points(results, measures["pairs"]) + _blind_points(results, measures)
    hub = lookup(results, "hubness", "child_to_parent", measures["parents"], "largest_share")
    if hub and hub.get("value") is not None:
        beside = f" (random rankings: {number(hub['chance'], 'share')})" if hub.get("chance") is not None else ""
        points.append(
            f"Hubs: ranked by {measure_name(measures['parents'])}, the busiest scene is among the first ten of "
            f"{number(hub['value'], 'share')} of the boxes{beside}. The larger the share, the less a ranking says of "
            "its query."
        )
    cosine = lookup(results, "cone", "mean_cosine")
    if isinstance(cosine, float):
        points.append(
            f"Cone: the mean cosine between two embeddings is {cosine:.2f}. Near 1 they all point one way, and only "
            "small differences of direction carry the content."
        )
    points.append(
        "Classes, not instances: a scene that holds any door is right for every door. Common classes are therefore "
        "easy, and chance is high where a few classes are everywhere."
    )
    points.append(
        f"Boxes stand for containment: a part is a box that lies {share}inside a larger one. Things in front of "
        "others are taken for parts, and things without a box count as absent."
    )
    points += [note[0].upper() + note[1:].rstrip(".") + "." for note in results.get("notes", []) if note]
    return points


def _oracle_points(results: Mapping[str, Any], measure: str) -> list[str]:
    entry = lookup(results, "entailment", measure, "auc_random")
    if not entry or entry.get("value") is None:
        return []
    oracles = {name: value for name, value in (entry.get("oracles") or {}).items() if value is not None}
    if not oracles:
        return []
    words = {
        "scene_flag": "a rule that only asks “is it a full scene?”",
        "category_pair_frequency": "a table of how often two categories were whole and part in training",
    }
    listed = " and ".join(
        f"{words.get(name, name.replace('_', ' '))} scores {value:.3f}" for name, value in oracles.items()
    )
    best = max(oracles.values())
    verdict = (
        "Only what the model has above these can be containment seen in the pictures."
        if (entry.get("low") or 0) > best
        else "The model is not clearly above these: its figure may be a level learnt, not containment seen in the "
        "pictures."
    )
    return [
        "A level learnt is not containment seen. On the pairs behind the entailment AUC, where the model scores "
        f"{entry['value']:.3f}, {listed}, without looking at any image. {verdict}"
    ]


def _blind_points(results: Mapping[str, Any], measures: Mapping[str, str]) -> list[str]:
    """What rankings reach that are the same for every query, beside the model's figure."""
    points = []
    for section, way, figure, oracle, heading, first, question in _BLIND:
        entry = lookup(results, section, measures[way], figure) or {}
        value, blind = entry.get("value"), (entry.get("oracles") or {}).get(oracle)
        if value is None or blind is None:
            continue
        verdict = (
            "Only what the model has above it shows more than that."
            if (entry.get("low") or 0) > blind
            else f"The model is not clearly above it: its figure does not show that it answers more than “{question}”"
        )
        points.append(
            f"{heading} On this split a ranking that looks at no image and merely puts {first} first, by their labels "
            f"and for every query alike, finds {number(blind, figure)} ({figure_name(figure)}); the model "
            f"{number(value, figure)}, random rankings {number(entry.get('chance'), figure)}. {verdict}"
        )
    return points


def gallery_key(measures: Collection[str]) -> Markup:
    """What the marks of the galleries mean, and the numbers of the measures that rank them."""
    bases = {measure.partition("+")[0] for measure in measures}
    numbers = [
        words
        for words, those in (
            ("the angle below a label: 180° is a perfect fit", ("alpha", "beta", "euclidean_alpha", "euclidean_beta")),
            ("the distance below a label: smaller is better", ("distance",)),
            ("the similarity below a label: 1 is the same direction", ("cosine",)),
            (
                f"the score below a label, angle and similarity together: {1 + SIMILARITY_SHARE:g} is a perfect fit",
                ("combined", "euclidean_combined"),
            ),
        )
        if bases & {*those}
    ]
    entries = (
        Markup('<span class="right"><span class="mark" aria-hidden="true">✓</span>right: the classes fit</span>'),
        Markup('<span class="wrong"><span class="mark" aria-hidden="true">✗</span>wrong</span>'),
        Markup('<span class="hit"><span class="own" style="display:inline;margin-right:7px">own image</span></span>'),
        *map(text, numbers),
    )
    return tag("div", join(entries), class_="key")
