"""`data inspect`: what is in a source."""

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_hyperbolic.cli.guards import add_guard_arguments, read_guards
from hf_hyperbolic.cli.source import add_source_arguments, add_threshold_argument, read, read_settings

if TYPE_CHECKING:
    from hf_hyperbolic.data.hierarchy import Hierarchy
    from hf_hyperbolic.data.read import Source

_QUANTILES = (0, 25, 50, 75, 95, 100)
# classes shown from each end of the frequencies, and problems shown of each reason
_CLASSES = 8
_EXAMPLES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add_threshold_argument(parser)
    add_guard_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with all classes and problems")


def run(options: argparse.Namespace) -> int:
    guards = read_guards(options)
    source = read(options)
    settings = read_settings(options, source)
    summary = summarise(source, settings.build(source.table))
    if guards:
        from hf_hyperbolic.data.guards import build_guarded_hierarchy

        # what an export left out stays out
        guards = replace(guards, deny=[*settings.deny, *guards.deny])
        guarded, dropped = build_guarded_hierarchy(source.table, guards, settings.threshold, settings.duplicate_iou)
        summary["with_guards"] = {"pairs_of_boxes": count_pairs(guarded)[0], "dropped": dict(dropped)}
    print(json.dumps(summary, indent=2) if options.json else as_text(summary))
    return 0


def summarise(source: "Source", hierarchy: "Hierarchy") -> dict[str, Any]:
    """Counts of a source, ready for JSON."""
    import numpy as np

    table = source.table
    images = table.num_images
    boxes = hierarchy.active()[images:]
    by_image = np.bincount(table.box_image, minlength=images)
    frequency = np.bincount(table.labels, minlength=len(table.class_names))
    order = np.argsort(-frequency, kind="stable").tolist()
    levels = np.bincount(hierarchy.level[images:][boxes])
    pairs_of_boxes, pairs_with_scenes = count_pairs(hierarchy)
    return {
        "format": source.format,
        "images": images,
        "images_at_hand": int((table.image_files != "").sum()),
        "images_without_boxes": int((by_image == 0).sum()),
        "boxes": table.num_boxes,
        "boxes_that_are_the_image": int((~boxes).sum()),
        "boxes_by_level": {str(level): int(count) for level, count in enumerate(levels) if level},
        "pairs_of_boxes": pairs_of_boxes,
        "pairs_with_scenes": pairs_with_scenes,
        "boxes_per_image": {str(q): float(np.percentile(by_image, q)) for q in _QUANTILES},
        "classes": {table.class_names[label]: int(frequency[label]) for label in order},
        "problems": {
            reason: {"count": count, "examples": [str(p) for p in table.problems if p.reason == reason]}
            for reason, count in table.skipped().most_common()
        },
    }


def count_pairs(hierarchy: "Hierarchy") -> tuple[dict[str, int], dict[str, int]]:
    """Direct and transitive pairs: those of boxes, those of scenes with boxes."""
    counts = []
    for of_boxes in (True, False):
        direct, all_pairs = (
            int(((pairs[:, 0] >= hierarchy.num_images) == of_boxes).sum())
            for pairs in (hierarchy.direct, hierarchy.ancestry)
        )
        counts.append({"direct": direct, "transitive": all_pairs - direct})
    return counts[0], counts[1]


def as_text(summary: dict[str, Any]) -> str:
    levels = ", ".join(f"level {level}: {count:,}" for level, count in summary["boxes_by_level"].items())
    quantiles = ", ".join(f"{value:.4g} ({q} %)" for q, value in summary["boxes_per_image"].items())
    classes = list(summary["classes"].items())
    used = [(name, count) for name, count in classes if count]
    lines = [
        f"format           {summary['format']}",
        f"images           {summary['images']:,} ({summary['images_at_hand']:,} at hand, "
        f"{summary['images_without_boxes']:,} without boxes)",
        f"boxes            {summary['boxes']:,} ({summary['boxes_that_are_the_image']:,} are the whole image)",
        f"boxes by level   {levels or 'none'}",
        f"pairs of boxes   {_pairs(summary['pairs_of_boxes'])}",
        *_guarded(summary.get("with_guards")),
        f"pairs with scene {_pairs(summary['pairs_with_scenes'])}",
        f"boxes per image  {quantiles}",
        f"classes          {len(classes):,}, of which {len(used):,} have boxes",
        f"  most frequent  {_listed(used[:_CLASSES])}",
    ]
    if len(used) > _CLASSES:
        lines.append(f"  least frequent {_listed(used[-min(_CLASSES, len(used) - _CLASSES) :])}")
    total = sum(entry["count"] for entry in summary["problems"].values())
    lines.append(f"problems         {total:,}" if total else "problems         none")
    for reason, entry in summary["problems"].items():
        lines.append(f"  {entry['count']:,} {reason}")
        lines += [f"    {example}" for example in entry["examples"][:_EXAMPLES]]
    return "\n".join(lines)


def _pairs(counts: dict[str, int]) -> str:
    return f"{counts['direct']:,} direct, {counts['transitive']:,} transitive"


def _guarded(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    dropped = dict(found["dropped"])
    returned = dropped.pop("returned")
    listed = ", ".join(f"{count:,} by {name}" for name, count in dropped.items() if count) or "none"
    back = f", of which {returned:,} come back by way of a third box" if returned else ""
    return [f"  with guards    {_pairs(found['pairs_of_boxes'])}; dropped: {listed}{back}"]


def _listed(classes: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in classes) or "none"
