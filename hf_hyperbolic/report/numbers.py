"""How figures are named and written."""

from collections.abc import Mapping
from typing import Any

from hf_hyperbolic.report.html import Markup, tag, text

Entry = Mapping[str, Any]

MISSING = "–"
MEASURE_NAMES = {
    "cosine": "cosine",
    "euclidean_alpha": "Euclidean angle at the child (α)",
    "euclidean_beta": "Euclidean angle at the parent (β)",
    "euclidean_combined": "Euclidean angle at the parent with similarity",
    "alpha": "hyperbolic angle at the child (α)",
    "beta": "hyperbolic angle at the parent (β)",
    "combined": "hyperbolic angle at the parent with similarity",
    "distance": "hyperbolic distance",
}
# oracles that see no image, by what they rank first
_ORACLE_NAMES = {"class_prevalence": "common classes first", "class_count": "scenes of many classes first"}
_WHOLE_NAMES = {
    "average_precision": "Average precision",
    "median_rank": "Median rank",
    "largest_share": "Busiest item's share",
    "skewness": "Skewness",
    "accuracy": "Accuracy",
    "class_accuracy": "Accuracy, mean of classes",
    "boxes_top_10": "Boxes, top-10",
    "boxes_average_precision": "Boxes, average precision",
    "scenes_top_10": "Scenes, top-10",
    "scenes_average_precision": "Scenes, average precision",
    "map": "mAP (IoU .50 to .95)",
    "map_50": "mAP (IoU .50)",
}
_THREE_DECIMALS = ("auc_", "edge_f1", "spearman")
_AUC_NAMES = {"random": "random pairs", "reversed": "reversed pairs", "unrelated": "same image, unrelated"}


def measure_name(measure: str) -> str:
    """`"beta+centred"` -> `"hyperbolic angle at the parent (β), centred"`."""
    base, _, correction = measure.partition("+")
    return MEASURE_NAMES.get(base, base) + (f", {correction}" if correction else "")


def oracle_name(oracle: str) -> str:
    """`"class_prevalence"` -> `"common classes first"`, `"scene_flag"` -> `"scene flag"`."""
    return _ORACLE_NAMES.get(oracle, oracle.replace("_", " "))


def figure_name(figure: str) -> str:
    """`"recall@50%"` -> `"Recall@50 %"`, `"top_10_other_images"` -> `"Top-10"`, and so on."""
    if figure in _WHOLE_NAMES:
        return _WHOLE_NAMES[figure]
    if figure.startswith("auc_"):
        kind = figure.removeprefix("auc_").removesuffix("_boxes")
        return _AUC_NAMES.get(kind, kind)
    if figure.startswith("top_"):
        return f"Top-{figure.split('_')[1]}"
    name, at, k = figure.partition("@")
    # of captions, what is searched: images_recall@5
    name = name.upper() if name == "ot" else name.capitalize().replace("s_", " ")
    return f"{name}{at}{k.replace('%', ' %')}"


def is_share(figure: str) -> bool:
    """Whether a figure is written in per cent: all but AUC, F1, correlations, optimal transport, ranks and skewness."""
    return not figure.startswith((*_THREE_DECIMALS, "ot@", "median_rank", "skewness"))


def number(value: float | None, figure: str) -> str:
    """A value of a figure as it is written.

    Per cent, three decimals for AUC, F1 and correlations, two for OT and skewness, ranks short.
    """
    if value is None:
        return MISSING
    if is_share(figure):
        return f"{100 * value:.1f} %"
    if figure.startswith(_THREE_DECIMALS):
        return f"{value:.3f}".replace("-", "−")
    return f"{value:g}" if figure == "median_rank" else f"{value:.2f}"


def interval(entry: Entry, figure: str) -> str:
    """`"72.9 to 75.1"`; empty when there is none."""
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return ""
    return f"{number(low, figure).removesuffix(' %')} to {number(high, figure).removesuffix(' %')}"


def cell(entry: Entry | None, figure: str) -> Markup:
    """A table cell's content: value, and the interval below it."""
    if entry is None:
        return text(MISSING)
    below = interval(entry, figure)
    return Markup(text(number(entry.get("value"), figure)) + (tag("small", below) if below else ""))


def lookup(results: Mapping[str, Any], *path: str) -> Entry | None:
    """The figure at a path of a results dict, None where any step is missing."""
    found: Any = results
    for step in path:
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found
