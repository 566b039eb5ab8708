"""Results as a person reads them: a plain text table."""

from collections.abc import Callable, Mapping
from typing import Any

from hf_hyperbolic.evaluation.by_class import GROUPS
from hf_hyperbolic.evaluation.captions import KS as CAPTION_KS
from hf_hyperbolic.evaluation.figures import Figure
from hf_hyperbolic.evaluation.ranking import k_name

# name of a system -> direction ("children", "parents", "pairs") -> the measure by which it ranks
Measures = Mapping[str, Mapping[str, str]]
# heading, how to find the figure in a result, factor, decimals
Column = tuple[str, Callable[[dict[str, Any], str], Figure | None], float, int]

_ORACLES = {
    "oracle: class prevalence": "class_prevalence",
    "oracle: class count": "class_count",
    "oracle: category pair": "category_pair_frequency",
    "oracle: scene flag": "scene_flag",
    "oracle: commonest class": "most_common_class",
}


def _path(*keys: str) -> Callable[[dict[str, Any], str], Figure | None]:
    """Finds a figure; `{}` among the keys stands for the measure. A corrected measure has no entailment."""

    def find(result: dict[str, Any], measure: str) -> Figure | None:
        found: Any = result
        for key in keys:
            found = found.get(measure if key == "{}" else key) if found is not None else None
        return found

    return find


def _main_cuts(settings: dict[str, Any]) -> tuple[str, int]:
    shares = [k for k in settings["ks"] if isinstance(k, float)]
    cut = k_name(0.5 if 0.5 in shares or not settings["ks"] else settings["ks"][-1])
    return cut, 10 if 10 in settings["top_ks"] else settings["top_ks"][-1]


def _retrieval_columns(settings: dict[str, Any]) -> list[Column]:
    cut, top = _main_cuts(settings)
    return [
        (f"P>C R@{cut}", _path("parent_to_child", "{}", f"recall@{cut}"), 100, 1),
        (f"P>C OT@{cut}", _path("parent_to_child", "{}", f"ot@{cut}"), 1, 2),
        ("P>C AP", _path("parent_to_child", "{}", "average_precision"), 100, 1),
        (f"C>P top-{top}", _path("child_to_parent", "{}", f"top_{top}"), 100, 1),
        ("other images", _path("child_to_parent", "{}", f"top_{top}_other_images"), 100, 1),
        ("own R@1", _path("own_scene", "{}", "recall@1"), 100, 1),
        ("own R@5", _path("own_scene", "{}", "recall@5"), 100, 1),
        ("median rank", _path("own_scene", "{}", "median_rank"), 1, 1),
        ("P>C hub", _path("hubness", "parent_to_child", "{}", "largest_share"), 100, 1),
        ("C>P hub", _path("hubness", "child_to_parent", "{}", "largest_share"), 100, 1),
    ]


_ENTAILMENT_COLUMNS: list[Column] = [
    ("AUC random", _path("entailment", "{}", "auc_random"), 1, 3),
    ("boxes", _path("entailment", "{}", "auc_random_boxes"), 1, 3),
    ("AUC reversed", _path("entailment", "{}", "auc_reversed"), 1, 3),
    ("boxes", _path("entailment", "{}", "auc_reversed_boxes"), 1, 3),
    ("AUC unrelated", _path("entailment", "{}", "auc_unrelated"), 1, 3),
    ("boxes", _path("entailment", "{}", "auc_unrelated_boxes"), 1, 3),
    ("parent nearer", _path("radial", "all"), 100, 1),
    ("boxes", _path("radial", "boxes"), 100, 1),
]


def _zero_shot_columns(section: str) -> list[Column]:
    return [
        ("accuracy", _path(section, "{}", "accuracy"), 100, 1),
        ("mean of classes", _path(section, "{}", "class_accuracy"), 100, 1),
        ("mAP", _path(section, "{}", "map"), 100, 1),
        ("mAP@.50", _path(section, "{}", "map_50"), 100, 1),
    ]


_TEXT_COLUMNS: list[Column] = [
    ("boxes top-10", _path("text_to_image", "{}", "boxes_top_10"), 100, 1),
    ("boxes AP", _path("text_to_image", "{}", "boxes_average_precision"), 100, 1),
    ("scenes top-10", _path("text_to_image", "{}", "scenes_top_10"), 100, 1),
    ("scenes AP", _path("text_to_image", "{}", "scenes_average_precision"), 100, 1),
]


_CAPTION_COLUMNS: list[Column] = [
    (f"{words} R@{k}", _path("captions", "{}", f"{gallery}_recall@{k}"), 100, 1)
    for gallery, words in (("images", "image"), ("captions", "caption"))
    for k in CAPTION_KS
]


def _class_columns(settings: dict[str, Any]) -> list[Column]:
    """From frequent to rare, the retrieval figures that `_retrieval_columns` shows."""
    cut, top = _main_cuts(settings)
    shown = (
        (f"P>C R@{cut}", "parent_to_child", f"recall@{cut}"),
        (f"C>P top-{top}", "child_to_parent", f"top_{top}"),
        ("own R@1", "own_scene", "recall@1"),
    )
    return [
        (group if index else f"{title} {group}", _path("by_class", section, "{}", group, name), 100, 1)
        for title, section, name in shown
        for index, group in enumerate(GROUPS)
    ]


def _classes_line(by_class: dict[str, Any]) -> str:
    parts = [
        f"{name} {extent['classes']} ({extent['images'][0]} to {extent['images'][1]} images)"
        for name, extent in by_class["groups"].items()
        if name in GROUPS and extent["images"]
    ]
    split = "the training" if by_class["counted_in"] == "train" else "this"
    return f"Classes by the number of images of {split} split: {', '.join(parts)}. Macro means over classes."


def format_table(
    results: Mapping[str, dict[str, Any]], intervals: bool = False, measures: Measures | None = None
) -> str:
    """Systems x measures x main figures, with rows for chance, ceiling and those image-free oracles that a block has.

    Args:
        results: name of a system -> what `evaluate_embeddings` returned, all on one hierarchy.
        intervals: adds a row to each with its 95 % intervals.
        measures: by which each system ranks `children`, `parents` and `pairs`; rows of these measures get a star, and
            of zero-shot those of the measure by which its figures are quoted.

    Returns:
        Blocks of text (retrieval, entailment, groups of classes, zero-shot where there is any), one line a row. Shares
        are in per cent, AUC in [0, 1]; `-` is undefined.

    Raises:
        ValueError: there is no result, or the systems were evaluated on different splits or cut-offs.
    """
    if not results:
        raise ValueError("format_table needs at least one result")
    first_name, first = next(iter(results.items()))
    for name, result in results.items():
        for part in ("counts", "entailment_pairs"):
            if result[part] != first[part]:
                raise ValueError(
                    f"{first_name!r} and {name!r} were evaluated on different splits ({part} differ): "
                    "print one table for each split"
                )
        if any(result["settings"][key] != first["settings"][key] for key in ("ks", "top_ks", "ground")):
            raise ValueError(f"{first_name!r} and {name!r} were evaluated with different cut-offs or grounds")
    counts, own = first["counts"], measures or {}
    lines = [
        f"{counts['images']} scenes, {counts['boxes']} boxes, {counts['classes']} classes",
        "",
        "Retrieval. P>C parent to child, C>P child to parent, own: a box's own scene among the scenes.",
        "Lower is better for OT, median rank and hub (largest share of queries that one item serves in the top 10).",
        "The oracles see neither image nor query: boxes of common classes first, scenes of many classes first.",
        *_ranks_line(own),
        *_block(results, first, _retrieval_columns(first["settings"]), "parent_to_child", intervals, own),
        "",
        "Entailment. AUC of ancestor -> descendant pairs against others, then over box -> box pairs alone;",
        "share of pairs with the parent nearer the origin. The oracles see no image.",
        *_block(results, first, _ENTAILMENT_COLUMNS, "entailment", intervals, own),
        *_class_block(results, first, intervals, own),
        *_tree_block(results, intervals),
        *_zero_shot_block(results, first, intervals, own),
        *_text_blocks(results, intervals, own),
        *(f"note: {note}" for note in first["notes"]),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _ranks_line(measures: Measures) -> list[str]:
    """Which measure is whose own."""
    told = []
    for name, by in measures.items():
        down, up = by["children"], by["parents"]
        apart = f"children (P>C, boxes, image) by {down}, parents (C>P, own, scenes, caption) by {up}"
        told.append(f"* {name} ranks {f'by {down}' if down == up else apart} and tells pairs by {by['pairs']}.")
    return told


def _class_block(
    results: Mapping[str, dict[str, Any]], first: dict[str, Any], intervals: bool, own: Measures
) -> list[str]:
    if "by_class" not in first:
        return []
    columns = _class_columns(first["settings"])
    return ["", _classes_line(first["by_class"]), *_block(results, first, columns, "parent_to_child", intervals, own)]


def _tree_block(results: Mapping[str, dict[str, Any]], intervals: bool) -> list[str]:
    """One row a system: the figures are by one score, not by a measure."""
    having = {name: result["tree"] for name, result in results.items() if result.get("tree")}
    if not having:
        return []
    first = next(iter(having.values()))
    columns: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("image F1", ("edge_f1", first["score"])),
        ("its star", ("edge_f1", "star")),
        ("class F1", ("classes", "edge_f1")),
        ("obtuse", ("classes", "obtuse")),
        ("its star", ("classes", "star")),
        ("depth-radius", ("depth", "all")),
        ("boxes", ("depth", "boxes")),
    )
    rows = [["system", *(heading for heading, _ in columns), "delta", "random"]]
    for key in ("chance", "ceiling"):
        rows.append([key, *(_cell(_path(*path)(first, ""), key, 1, 3) for _, path in columns), "", ""])
    head = len(rows)
    for name, tree in having.items():
        entries = [_path(*path)(tree, "") for _, path in columns]
        deltas = [_cell(tree["gromov"], key, 1, 3) for key in ("value", "random_directions")]
        rows.append([name, *(_cell(entry, "value", 1, 3) for entry in entries), *deltas])
        if intervals:
            rows.append(["", *(_interval(entry, 1, 3) for entry in entries), "", ""])
    return [
        "",
        f"Tree. F1 of edges recovered from angles, of {first['images']} images and of the classes (star: all "
        "below the scene;",
        "of two classes that with the wider angle holds the other; obtuse: a class holds by an obtuse angle alone);",
        "Spearman correlation of depth and radius; Gromov's 2 delta / diameter (a tree: 0) and of random directions.",
        *_aligned(rows, head, labels=1),
    ]


def _zero_shot_block(
    results: Mapping[str, dict[str, Any]], first: dict[str, Any], intervals: bool, own: Measures
) -> list[str]:
    if "zero_shot" not in first:
        return []
    about = first["zero_shot_about"]
    return [
        "",
        f"Zero-shot: {about['boxes']} boxes told among {about['classes']} classes by prototypes of up to "
        f"{about['shots'] or 'all'} boxes of another split, mean of {about['draws']} draws. mAP over IoU .50 to .95.",
        *_block(results, first, _zero_shot_columns("zero_shot"), "zero_shot", intervals, own),
        *(f"note: {note}" for note in zero_shot_notes(results)),
    ]


def _text_blocks(results: Mapping[str, dict[str, Any]], intervals: bool, own: Measures) -> list[str]:
    """By the names of the classes and by captions, of the systems that have a text tower."""
    lines: list[str] = []
    for section, columns, words in (
        ("zero_shot_by_name", _zero_shot_columns("zero_shot_by_name"), "Zero-shot by the names of the same classes."),
        ("text_to_image", _TEXT_COLUMNS, "Text to image: boxes of the class named, and scenes that hold one."),
        ("captions", _CAPTION_COLUMNS, "Captions: an image by its caption, and a caption by its image."),
    ):
        having = {name: result for name, result in results.items() if section in result}
        if having:
            lines += ["", words, *_block(having, next(iter(having.values())), columns, section, intervals, own)]
    return lines


def zero_shot_notes(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Notes on the zero-shot figures, each once; with the systems that it holds for where it does not hold for all."""
    systems: dict[str, list[str]] = {}
    having = [name for name in results if results[name].get("zero_shot")]
    for name in having:
        for note in results[name]["zero_shot_about"]["notes"]:
            systems.setdefault(note, []).append(name)
    return [note if names == having else f"{note} ({', '.join(names)})" for note, names in systems.items()]


def _block(
    results: Mapping[str, dict[str, Any]],
    first: dict[str, Any],
    columns: list[Column],
    section: str,
    intervals: bool,
    own: Measures,
) -> list[str]:
    rows = [["system", "measure", *(heading for heading, *_ in columns)]]
    known = [(_any(find, first), factor, decimals) for _, find, factor, decimals in columns]
    for key in ("chance", "ceiling"):
        rows.append([key, "", *(_cell(entry, key, factor, decimals) for entry, factor, decimals in known)])
    beside = [((entry or {}).get("oracles") or {}, factor, decimals) for entry, factor, decimals in known]
    for label, oracle in _ORACLES.items():
        if any(oracle in oracles for oracles, *_ in beside):
            rows.append([label, "", *(_cell(e, oracle, factor, d) if oracle in e else "" for e, factor, d in beside)])
    head = len(rows)
    for name, result in results.items():
        for measure in result["settings"]["measures"]:
            if measure not in result[section]:
                continue
            figures = [(find(result, measure), factor, decimals) for _, find, factor, decimals in columns]
            star = "*" if name in own and measure in _quoted(result, section, own[name]) else ""
            rows.append([name, measure + star, *(_cell(entry, "value", factor, d) for entry, factor, d in figures)])
            if intervals:
                rows.append(["", "", *(_interval(entry, factor, d) for entry, factor, d in figures)])
    return _aligned(rows, head, labels=2)


def _quoted(result: dict[str, Any], section: str, own: Mapping[str, str]) -> set[str]:
    """The measures that count in a section: of zero-shot its own, as a class is told by what is nearest."""
    if section.startswith("zero_shot"):
        return {result["zero_shot_about"]["measure"]}
    if section == "entailment":
        return {own["pairs"]}
    return {own["children"], own["parents"]}


def _aligned(rows: list[list[str]], head: int, labels: int) -> list[str]:
    """Rows as lines, a rule below the first and below the first `head`; the first `labels` columns to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        sized = [*zip(row, widths, strict=True)]
        left, right = sized[:labels], sized[labels:]
        lines.append("  ".join([*(cell.ljust(w) for cell, w in left), *(cell.rjust(w) for cell, w in right)]))
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:head], rule, *lines[head:]]


def _any(find: Callable[[dict[str, Any], str], Figure | None], result: dict[str, Any]) -> Figure | None:
    """The figure under the first measure that has it: chance, ceiling and oracles are the same under all."""
    for measure in result["settings"]["measures"]:
        found = find(result, measure)
        if found is not None:
            return found
    return None


def _cell(entry: Figure | None, key: str, factor: float, decimals: int) -> str:
    number = None if entry is None else entry.get(key)
    return "-" if number is None else f"{number * factor:.{decimals}f}"


def _interval(entry: Figure | None, factor: float, decimals: int) -> str:
    if entry is None or entry.get("low") is None:
        return ""
    return f"[{_cell(entry, 'low', factor, decimals)}, {_cell(entry, 'high', factor, decimals)}]"
