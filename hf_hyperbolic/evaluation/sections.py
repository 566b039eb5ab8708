"""The sections of a result: each runs one protocol under every measure and writes its figures and values.

What a section holds is documented where it is returned, in `evaluate.evaluate_per_query`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation import child_to_parent, entailment, own_scene, parent_to_child
from hf_hyperbolic.evaluation.figures import Figure, mean_figures, number
from hf_hyperbolic.evaluation.hubness import hubness_figures, mean_cosine, occurrences
from hf_hyperbolic.evaluation.nodes import Direction, active_ancestry, active_boxes, parents, scenes
from hf_hyperbolic.evaluation.optimal_transport import Ground
from hf_hyperbolic.evaluation.oracles import class_count, class_prevalence
from hf_hyperbolic.evaluation.processes import ALONE, Processes
from hf_hyperbolic.evaluation.radial import mean_norm_by_level, radial_order
from hf_hyperbolic.evaluation.ranking import K, resolve_k
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer

PerUnit = dict[str, np.ndarray]


@dataclass(frozen=True)
class EvaluationSettings:
    """What the figures depend on beside embeddings and hierarchy.

    Attributes:
        ks: cut-offs parent -> child; an int counts boxes, a float in (0, 1] is a share of the gallery.
        top_ks: cut-offs child -> parent.
        recall_levels: of the precision-recall curves, in [0, 1].
        ground: of the optimal transport: `"index"`, a `ClassTree` or a (C, C) cost matrix.
        max_pairs: ancestry pairs behind an AUC, at most.
        resamples: of the bootstrap.
        resample_images: draw whole images instead of single box queries (child -> parent, own scene), since the boxes
            of an image are not independent; intervals are wider (the median rank's is over queries all the same).
        class_bounds: most training images of a class of the tail, and of the middle; None for thirds of the classes by
            frequency, which also stand in where a group would be empty (see `by_class`).
    """

    ks: Sequence[K] = parent_to_child.KS
    top_ks: Sequence[int] = child_to_parent.KS
    recall_levels: Sequence[float] = parent_to_child.RECALL_LEVELS
    ground: Ground = "index"
    max_pairs: int = 20_000
    resamples: int = 1000
    resample_images: bool = False
    class_bounds: tuple[int, int] | None = (10, 100)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; a ground other than `"index"` is given by the name of its type."""
        return {
            "ks": list(self.ks),
            "top_ks": list(self.top_ks),
            "ground": self.ground if isinstance(self.ground, str) else type(self.ground).__name__,
            "max_pairs": self.max_pairs,
            "resamples": self.resamples,
            "resampled": "images" if self.resample_images else "queries",
            "class_bounds": None if self.class_bounds is None else list(self.class_bounds),
        }


@dataclass
class Evaluation:
    """One evaluation as it grows.

    Attributes:
        hierarchy: the split.
        scorers: measure -> scorer.
        settings: see there.
        seed: of pair sampling, simulated chance and bootstrap.
        processes: that share the queries of every protocol.
        results: the JSON-ready result.
        per_unit: `"<section>/<measure>/<figure>"` -> values.
        class_recall: measure -> what `parent_to_child.per_query` finds of each class.
    """

    hierarchy: Hierarchy
    scorers: Mapping[str, EmbeddingScorer]
    settings: EvaluationSettings
    seed: int = 0
    processes: Processes = ALONE
    results: dict[str, Any] = field(default_factory=lambda: {"notes": []})
    per_unit: PerUnit = field(default_factory=dict)
    class_recall: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def keep(self, section: str, values: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Stores the values behind a section's figures."""
        for measure, figures in values.items():
            for name, array in figures.items():
                self.per_unit[f"{section}/{measure}/{name}"] = array

    def mean_figures(
        self,
        values: Mapping[str, Mapping[str, np.ndarray]],
        chance: Mapping[str, float],
        ceiling: Mapping[str, float],
        by_image: bool = False,
    ) -> dict[str, dict[str, Figure]]:
        """Means with intervals; `by_image` says that units are box queries, which may be drawn image by image."""
        groups = None
        if by_image and self.settings.resample_images:
            groups = self.hierarchy.node_image[active_boxes(self.hierarchy)]
        return mean_figures(values, chance, ceiling, self.settings.resamples, self.seed, groups)

    def note_clamped(self, section: str, ks: Sequence[K], gallery: int) -> None:
        """Says which cut-offs exceed the gallery."""
        clamped = [k for k in ks if isinstance(k, int) and resolve_k(k, gallery) < k]
        if clamped:
            listed = ", ".join(map(str, clamped))
            self.results["notes"].append(
                f"{section}: the gallery holds {gallery} items, so k = {listed} means {gallery}"
            )


def add_oracles(
    table: Mapping[str, Mapping[str, Figure]], values: Mapping[str, Mapping[str, np.ndarray] | None]
) -> None:
    """Puts `oracles` beside every figure: oracle -> its mean on the same units, None for one that cannot be had.

    Args:
        table: measure -> figure.
        values: oracle -> figure -> per-unit values, or None.
    """
    beside = mean_figures({oracle: found for oracle, found in values.items() if found is not None}, {}, {}, resamples=1)
    for measured in table.values():
        for name, entry in measured.items():
            entry["oracles"] = {
                oracle: beside[oracle][name]["value"] if oracle in beside else None for oracle in values
            }


def add_counts(run: Evaluation) -> None:
    """`counts`."""
    hierarchy = run.hierarchy
    ancestry = active_ancestry(hierarchy)
    run.results["counts"] = {
        "images": hierarchy.num_images,
        "boxes": len(active_boxes(hierarchy)),
        "boxes_that_are_the_scene": int((~hierarchy.active()).sum()),
        "scenes_without_boxes": int((~hierarchy.scene_labels().any(1)).sum()),
        "classes": hierarchy.num_classes,
        "parents": len(parents(hierarchy)),
        "ancestry_pairs": len(ancestry),
        "box_ancestry_pairs": int((ancestry[:, 0] >= hierarchy.num_images).sum()),
    }


def add_parent_to_child(run: Evaluation, train_hierarchy: Hierarchy | None) -> None:
    """`parent_to_child` and `precision_recall`."""
    settings, results = run.settings, run.results
    task = parent_to_child.prepare(run.hierarchy)
    skipped = run.hierarchy.num_images - len(task.queries)
    if skipped:
        results["notes"].append(f"parent_to_child: {skipped} scenes without a box are not queries")
    run.note_clamped("parent_to_child", settings.ks, len(task.gallery))
    if task.query_known is not None:
        known = task.gallery_sizes().mean() / len(task.gallery)
        results["notes"].append(
            f"labels are federated: of {100 * known:.1f} % of the boxes it is known, in the mean over scenes, whether "
            "their class is in the scene; the others are left out of that scene's ranking, and likewise box to scene"
        )
    levels = settings.recall_levels
    chance, chance_curve = parent_to_child.chance(
        task, settings.ks, levels, settings.ground, run.seed, processes=run.processes
    )
    ceiling = parent_to_child.ceiling(task, settings.ks, settings.ground)
    values, curves = {}, {}
    for measure, scorer in run.scorers.items():
        found = parent_to_child.per_query(task, scorer, settings.ks, levels, settings.ground, run.processes)
        values[measure], curve, run.class_recall[measure] = found
        curves[measure] = {str(level): curve[:, column] for column, level in enumerate(levels)}
    results["parent_to_child"] = run.mean_figures(values, chance, ceiling)
    blind = None
    if train_hierarchy is not None:
        oracle = class_prevalence(run.hierarchy, train_hierarchy, run.seed)
        found = parent_to_child.per_query(task, oracle, settings.ks, levels, settings.ground, run.processes)
        blind = found.figures
    add_oracles(results["parent_to_child"], {"class_prevalence": blind})
    points = run.mean_figures(curves, {}, {})
    results["precision_recall"] = {
        "recall": list(levels),
        "chance": [number(entry) for entry in chance_curve],
        "ceiling": [1.0] * len(levels),
        "measures": {
            measure: {bound: [point[bound] for point in curve.values()] for bound in ("value", "low", "high")}
            for measure, curve in points.items()
        },
    }
    run.keep("parent_to_child", values)


def add_child_to_parent(run: Evaluation) -> None:
    """`child_to_parent` and `child_to_any_parent`."""
    galleries: tuple[tuple[str, child_to_parent.Gallery], ...] = (
        ("child_to_parent", "scenes"),
        ("child_to_any_parent", "parents"),
    )
    ks = run.settings.top_ks
    for section, gallery in galleries:
        task = child_to_parent.prepare(run.hierarchy, gallery)
        run.note_clamped(section, ks, len(task.gallery))
        chance, ceiling = child_to_parent.chance_and_ceiling(task, ks)
        values = {
            name: child_to_parent.per_query(task, scorer, ks, run.processes) for name, scorer in run.scorers.items()
        }
        run.results[section] = run.mean_figures(values, chance, ceiling, by_image=True)
        if gallery == "scenes":
            blind = child_to_parent.per_query(task, class_count(run.hierarchy, run.seed), ks, run.processes)
            add_oracles(run.results[section], {"class_count": blind})
        run.keep(section, values)


def add_own_scene(run: Evaluation) -> None:
    """`own_scene`."""
    images = run.hierarchy.num_images
    ranks = {
        name: own_scene.own_scene_ranks(run.hierarchy, scorer, run.processes) for name, scorer in run.scorers.items()
    }
    values = {name: own_scene.per_query(rank) for name, rank in ranks.items()}
    table = run.mean_figures(values, *own_scene.chance_and_ceiling(images), by_image=True)
    for name, rank in ranks.items():
        table[name]["median_rank"] = own_scene.median_rank(rank, images)
        values[name]["rank"] = rank.astype(np.float64)
    run.results["own_scene"] = table
    run.keep("own_scene", values)


def add_entailment(run: Evaluation, train_hierarchy: Hierarchy | None) -> None:
    """`entailment` and `entailment_pairs`."""
    hierarchy, settings = run.hierarchy, run.settings
    samples = {
        suffix: entailment.sample_pairs(hierarchy, settings.max_pairs, run.seed, boxes_only=bool(suffix))
        for suffix in ("", entailment.BOXES)
    }
    counts = {
        f"{kind}{suffix}": len(getattr(sample, kind))
        for suffix, sample in samples.items()
        for kind in ("ancestry", *entailment.KINDS)
    }
    run.results["entailment_pairs"] = counts
    missing = [f"entailment: there are no {name} pairs, the AUC is undefined" for name, n in counts.items() if n == 0]
    run.results["notes"] += missing
    values = {
        name: entailment.per_image(samples, scorer.pairs, hierarchy)
        for name, scorer in run.scorers.items()
        if scorer.correction is None
    }
    figures = [f"auc_{kind}{suffix}" for suffix in samples for kind in entailment.KINDS]
    table = run.mean_figures(values, dict.fromkeys(figures, 0.5), dict.fromkeys(figures, 1.0))
    pair_frequency = None
    if train_hierarchy is not None:
        oracle = entailment.category_pair_oracle(hierarchy, train_hierarchy)
        pair_frequency = entailment.per_image(samples, oracle, hierarchy)
    scene_flag = entailment.per_image(samples, entailment.scene_flag_oracle(hierarchy), hierarchy)
    for measured in table.values():
        for entry in measured.values():
            # the interval is of a linearised figure: the figure itself cannot leave [0, 1]
            for bound in ("low", "high"):
                entry[bound] = None if entry[bound] is None else min(1.0, max(0.0, entry[bound]))
    add_oracles(table, {"category_pair_frequency": pair_frequency, "scene_flag": scene_flag})
    run.results["entailment"] = table
    run.keep("entailment", values)


def add_geometry(run: Evaluation, embeds: torch.Tensor) -> None:
    """`radial`, `mean_norm_by_level` and `cone`."""
    hierarchy = run.hierarchy
    norms = embeds.norm(dim=1).double().cpu().numpy()
    values = {"norm": radial_order(norms, hierarchy)}
    names = ("all", "boxes")
    run.results["radial"] = run.mean_figures(values, dict.fromkeys(names, 0.5), dict.fromkeys(names, 1.0))["norm"]
    run.results["mean_norm_by_level"] = mean_norm_by_level(norms, hierarchy)
    run.keep("radial", values)
    subsets = {
        "mean_cosine": np.flatnonzero(hierarchy.active()),
        "mean_cosine_scenes": scenes(hierarchy),
        "mean_cosine_boxes": active_boxes(hierarchy),
    }
    run.results["cone"] = {
        name: number(mean_cosine(embeds[torch.from_numpy(nodes).to(embeds.device)])) for name, nodes in subsets.items()
    }


def add_hubness(run: Evaluation) -> None:
    """`hubness`."""
    top, boxes = scenes(run.hierarchy), active_boxes(run.hierarchy)
    with_boxes = parent_to_child.prepare(run.hierarchy).queries
    ways: tuple[tuple[str, np.ndarray, np.ndarray, Direction], ...] = (
        ("parent_to_child", with_boxes, boxes, "children"),
        ("child_to_parent", boxes, top, "parents"),
    )
    run.results["hubness"] = {
        way: {
            name: hubness_figures(
                occurrences(scorer, queries, gallery, direction, processes=run.processes), len(queries), seed=run.seed
            )
            for name, scorer in run.scorers.items()
        }
        for way, queries, gallery, direction in ways
    }
