"""Time and memory of an evaluation of the size of Open Images validation: 41,620 images, 304,000 boxes, 600 classes.

python benchmarks/evaluation_at_scale.py

What grows with queries x gallery is timed on a share of the queries and scaled; the rest is run in full. Images, boxes
and embeddings are random.
"""

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from machine import peak_memory, processor

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.evaluation import child_to_parent, entailment, hubness, own_scene, parent_to_child
from hf_hyperbolic.evaluation.by_class import Units, macro_interval
from hf_hyperbolic.evaluation.figures import mean_figures
from hf_hyperbolic.evaluation.nodes import active_boxes, scenes, tiles
from hf_hyperbolic.evaluation.oracles import class_count, class_prevalence
from hf_hyperbolic.evaluation.processes import Processes
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer

CLASSES, DIMENSION, CURVATURE, MEASURE = 600, 128, 1.0, "beta"


@dataclass(frozen=True)
class FirstShare(Processes):
    """The first of so many processes, which does not wait for the others."""

    def gather(self, part: Any) -> list[Any]:
        return [part]


def split(images: int, boxes: int) -> Hierarchy:
    rng = np.random.default_rng(0)
    sides = np.exp(rng.uniform(np.log(0.05), np.log(0.9), size=(boxes, 2)))
    corner = rng.random((boxes, 2)) * (1 - sides)
    odds = 1 / np.arange(1, CLASSES + 1)
    names = np.array([f"image{i}" for i in range(images)])
    table = BoxTable(
        image_ids=names,
        image_files=names,
        image_sizes=np.full((images, 2), 1000, dtype=np.int32),
        box_image=np.sort(rng.integers(0, images, boxes)).astype(np.int32),
        boxes=(1000 * np.concatenate([corner, corner + sides], axis=1)).astype(np.float32),
        labels=rng.choice(CLASSES, boxes, p=odds / odds.sum()).astype(np.int32),
        class_names=tuple(f"class{c}" for c in range(CLASSES)),
    )
    return build_hierarchy(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=41_620)
    parser.add_argument("--boxes", type=int, default=304_000)
    parser.add_argument("--share", type=int, default=100, help="of the queries, one of so many")
    options = parser.parse_args()
    print(f"{processor()}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, numpy {np.__version__}, python {platform.python_version()}")
    print(f"{options.images} images, {options.boxes} boxes, {CLASSES} classes, {MEASURE}, dimension {DIMENSION}\n")
    print(f"{'':44}{'minutes':>9}{'peak GB':>9}")
    part = FirstShare(0, options.share)
    total = {"once": 0.0, "a measure": 0.0}

    def timed(name: str, per: str, scale: float, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = function()
        minutes = scale * (time.perf_counter() - start) / 60
        total[per] += minutes
        peak = peak_memory() / 1e9
        print(f"{name + ', ' + per:44}{minutes:9.2f}{peak:9.2f}", flush=True)
        return found

    hierarchy = timed("hierarchy", "once", 1, lambda: split(options.images, options.boxes))
    tangents = torch.randn(hierarchy.num_nodes, DIMENSION, generator=torch.Generator().manual_seed(0))
    scorer = EmbeddingScorer(lorentz.exp_map0(tangents / DIMENSION**0.5, CURVATURE), MEASURE, CURVATURE)
    boxes, top = active_boxes(hierarchy), scenes(hierarchy)
    down = parent_to_child.prepare(hierarchy)

    def shared(name: str, per: str, queries: int, gallery: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs the first share of the queries and scales its time."""
        every = len(list(tiles(queries, gallery)))
        return timed(name, per, every / part.share(every).stop, lambda: function(*arguments, processes=part))

    many, few = len(boxes), len(down.queries)
    shared("parent -> child", "a measure", few, many, parent_to_child.per_query, down, scorer)
    timed("parent -> child, ceiling", "once", 1, lambda: parent_to_child.ceiling(down))
    shared("parent -> child, random curves", "once", few, many, parent_to_child.chance, down, ())
    timed("parent -> child, random labels", "once", 1, lambda: parent_to_child.chance(down, processes=part))
    oracle = class_prevalence(hierarchy, hierarchy)
    shared("parent -> child, oracle", "once", few, many, parent_to_child.per_query, down, oracle)
    up, any_up = child_to_parent.prepare(hierarchy), child_to_parent.prepare(hierarchy, "parents")
    found = shared("child -> scene", "a measure", many, len(top), child_to_parent.per_query, up, scorer)
    shared("child -> any parent", "a measure", many, len(any_up.gallery), child_to_parent.per_query, any_up, scorer)
    oracle = class_count(hierarchy)
    shared("child -> scene, oracle", "once", many, len(top), child_to_parent.per_query, up, oracle)
    timed("child -> scene, levels", "once", 2, lambda: child_to_parent.levels_per_query(up))
    timed("child -> any parent, levels", "once", 1, lambda: child_to_parent.levels_per_query(any_up))
    shared("own scene", "a measure", many, len(top), own_scene.own_scene_ranks, hierarchy, scorer)
    ways = (("hubs among boxes", (down.queries, boxes, "children")), ("hubs among scenes", (boxes, top, "parents")))
    for name, (queries, gallery, direction) in ways:
        extent = (len(queries), len(gallery))
        shared(name, "a measure", *extent, hubness.occurrences, scorer, queries, gallery, direction, 10)
    counts = np.full(len(boxes), 10)
    timed("hubs, chance", "a measure", 1, lambda: hubness.hubness_figures(counts, len(boxes)))
    rng = np.random.default_rng(0)
    values = {MEASURE: {name: rng.random(many) for name in found}}
    timed("intervals of box queries", "a measure", 3, lambda: mean_figures(values, {}, {}))
    units = Units(hierarchy.node_label[boxes].astype(np.int64), hierarchy.node_image[boxes])
    members, columns = [np.ones(CLASSES, dtype=bool)] * 4, np.stack(list(values[MEASURE].values()), axis=1)
    timed("intervals by class", "a measure", 2, lambda: macro_interval(columns, units, members))
    samples = {"": entailment.sample_pairs(hierarchy)}
    timed("entailment", "a measure", 2, lambda: entailment.per_image(samples, scorer.pairs, hierarchy))
    print(f"\nsum, scaled: {total['once']:.0f} minutes once and {total['a measure']:.0f} minutes a measure")


if __name__ == "__main__":
    main()
