"""Zero-shot detection in the report: what it is, how well each system does, and each class by itself."""

from typing import Any

from hf_hyperbolic.evaluation.table import zero_shot_notes
from hf_hyperbolic.report import html
from hf_hyperbolic.report.html import Markup, folded, row, table, tag
from hf_hyperbolic.report.numbers import measure_name, number
from hf_hyperbolic.report.tables import Results, protocol_table

_FIGURES = ("accuracy", "class_accuracy", "map", "map_50")
# by whether the model was trained on the data set; None: not known
_WHERE = {
    False: ", on a data set that the model was not trained on?",
    True: "? Not zero-shot here: the model was trained on this very data set.",
    None: "?",
}


def zero_shot_section(results: Results) -> Markup:
    """The section, empty where the results hold no `zero_shot`.

    Args:
        results: system -> result, the main system first.
    """
    main, result = next(iter(results.items()))
    if not result.get("zero_shot"):
        return Markup("")
    about = result["zero_shot_about"]
    chosen = [(name, found["zero_shot_about"]["measure"]) for name, found in results.items() if found.get("zero_shot")]
    every = [(system, measure) for system in results for measure in results[system].get("zero_shot", {})]
    parts = [
        tag("p", _note(about), class_="note"),
        protocol_table(results, "zero_shot", _FIGURES, chosen),
        folded("Every measure", protocol_table(results, "zero_shot", _FIGURES, every)),
    ]
    if about["measure"] in about["per_class"]["measures"]:
        parts.append(folded(f"Every class, {main}", _classes(about)))
    notes = [note.removeprefix("zero_shot: ") for note in zero_shot_notes(results)]
    parts += [tag("p", note[0].upper() + note[1:] + ".", class_="note") for note in notes]
    lead = f"Is the content of a box told by the nearest class prototype{_WHERE[about.get('trained_here')]}"
    return html.section("zero-shot", "Zero-shot detection", *parts, lead=lead)


def _note(about: dict[str, Any]) -> str:
    shots = f"up to {about['shots']} boxes of the class" if about["shots"] else "all boxes of the class"
    draws = f" Figures are means over {about['draws']} draws of them." if about["draws"] > 1 else ""
    return (
        f"{about['boxes']:,} annotated boxes, each given to one of {about['classes']:,} classes. A prototype is the "
        f"mean of {shots} in another split, taken as the parent of the box.{draws} mAP is COCO’s average precision, "
        "the boxes being the detections; the commonest class of that split, named for every box, is the oracle."
    )


def _classes(about: dict[str, Any]) -> Markup:
    per_class, measure = about["per_class"], about["measure"]
    found = per_class["measures"][measure]
    columns = (
        per_class["name"],
        per_class["boxes"],
        per_class["support"],
        found["accuracy"],
        found["average_precision"],
    )
    lines = sorted(zip(*columns, strict=True), key=lambda line: -line[1])
    rows = [
        row(name, [f"{boxes:,}", f"{support:,}", number(accuracy, "accuracy"), number(precision, "map")])
        for name, boxes, support, accuracy, precision in lines
    ]
    heads = [measure_name(measure), "boxes", "in the support split", "Accuracy", "Average precision"]
    return table(heads, rows)
