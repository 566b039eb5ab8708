"""Figures by class, and by groups of classes from frequent to rare: a mean over queries is a mean over common classes.

What belongs to class c:

- parent -> child, `recall@k`: over the scenes that hold c, the share of the gallery's boxes of class c that are among
  the scene's first k. (The protocol's recall pools all classes of the scene.)
- child -> parent, `top_k`, and own scene, `recall@k`: over the box queries of class c, the protocol's figure.

A class's figure is the mean over these; a group's is the mean over its classes that occur in the split, each counting
once (macro mean). Groups go by the number of training images that hold a class, as LVIS has it (Gupta, Dollar &
Girshick 2019): rare up to 10, common up to 100, frequent above; here tail, middle and head. In a set where that leaves
a group empty, groups are thirds of the classes that occur.

Chance is exact. The ceiling of a group is exact too: a box query has a ranking to itself, and among the boxes of a
scene's classes those come first that add most to the macro mean. Intervals are 95 % percentile bootstrap over images,
drawn whole, for the classes there are. A class none of whose images is drawn keeps its figure in that resample: to
leave it out would shift the mean away from rare classes. So a class of one image adds no width: what it would be on
other images is not known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.sampling import images_per_class
from hf_hyperbolic.evaluation import child_to_parent, own_scene, parent_to_child
from hf_hyperbolic.evaluation.bootstrap import multiplicities
from hf_hyperbolic.evaluation.figures import figure, number
from hf_hyperbolic.evaluation.nodes import active_boxes
from hf_hyperbolic.evaluation.oracles import training_images
from hf_hyperbolic.evaluation.ranking import named_cuts
from hf_hyperbolic.evaluation.sections import Evaluation

GROUPS = ("head", "middle", "tail")
EVERY = "all"


@dataclass(frozen=True)
class Units:
    """What a protocol is averaged over: (scene, class) combinations, or box queries.

    Attributes:
        labels: (U,) class of each.
        images: (U,) image of each, resampled whole.
    """

    labels: np.ndarray
    images: np.ndarray


def class_groups(
    counts: np.ndarray, occurs: np.ndarray, bounds: tuple[int, int] | None
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Group of each class.

    Args:
        counts: (C,) training images that hold each class.
        occurs: (C,) bool, classes of the split evaluated.
        bounds: most images of a class of the tail, and of the middle; None for thirds of the classes that occur, the
            first third the most frequent (ties by class number).

    Returns:
        (C,) int, index into `GROUPS`, -1 for a class that does not occur; and the bounds used: None where thirds had
        to stand in because a group would have been empty.

    Raises:
        ValueError: bounds do not ascend from 1.
    """
    group = np.full(len(counts), -1)
    if bounds is not None:
        if not 1 <= bounds[0] < bounds[1]:
            raise ValueError(f"class_bounds must be two ascending numbers of images, at least 1, got {bounds}")
        group[occurs] = 2 - np.searchsorted(bounds, counts[occurs], side="left")
        if len(np.unique(group[occurs])) == len(GROUPS):
            return group, bounds
    order = np.flatnonzero(occurs)
    order = order[np.argsort(-counts[order], kind="stable")]
    for index, members in enumerate(np.array_split(order, len(GROUPS))):
        group[members] = index
    return group, None


def class_means(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(U,) values of units and (U,) classes -> (C,) means; NaN for a class without a value."""
    defined = ~np.isnan(values)
    counts = np.bincount(labels[defined], minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(labels[defined], weights=values[defined], minlength=classes) / counts


def macro_mean(means: np.ndarray, members: np.ndarray) -> float:
    """Mean over the classes among `members` (C,) bool that have a value; NaN if none has."""
    chosen = means[members & ~np.isnan(means)]
    return float(chosen.mean()) if len(chosen) else float("nan")


def macro_interval(
    values: np.ndarray, units: Units, groups: Sequence[np.ndarray], resamples: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile bootstrap intervals of macro means, images drawn whole.

    Args:
        values: (U, F) values of the units, NaN where undefined.
        units: their classes and images.
        groups: (C,) bool each, members of a group.
        resamples: number of resamples.
        seed: of the resampling.

    Returns:
        Lower and upper bound, (G, F) float64 each; NaN for a group without a value.
    """
    figures, classes = values.shape[1], len(groups[0])
    names, image = np.unique(units.images, return_inverse=True)
    place = torch.from_numpy(np.stack([units.labels, image]))
    present = ~np.isnan(values)

    def sums(weights: np.ndarray) -> torch.Tensor:
        return torch.sparse_coo_tensor(
            place, torch.from_numpy(weights), (classes, len(names)), check_invariants=False
        ).coalesce()

    parts = [(sums(np.nan_to_num(v)), sums(p.astype(np.float64))) for v, p in zip(values.T, present.T, strict=True)]
    whole = [torch.from_numpy(class_means(column, units.labels, classes))[:, None] for column in values.T]
    found: list[np.ndarray] = []
    for times in multiplicities(len(names), resamples, np.random.default_rng(seed)):
        drawn = torch.from_numpy(np.ascontiguousarray(times.T))
        block = np.full((len(times), len(groups), figures), np.nan)
        for column, (total, count) in enumerate(parts):
            counts = torch.sparse.mm(count, drawn)
            means = torch.where(counts > 0, torch.sparse.mm(total, drawn) / counts, whole[column])
            for row, members in enumerate(groups):
                block[:, row, column] = means[torch.from_numpy(members)].nanmean(0).numpy()
        found.append(block)
    everything = np.concatenate(found)
    bounds = np.full((2, len(groups), figures), np.nan)
    some = ~np.isnan(everything).all(0)
    bounds[:, some] = np.nanquantile(everything[:, some], (0.025, 0.975), axis=0)
    return bounds[0], bounds[1]


def best_class_recall(task: parent_to_child.ParentToChild, cut: np.ndarray, members: np.ndarray) -> float:
    """Highest macro mean, over the classes `members` (C,) bool, that any rankings of the scenes can reach.

    A box of class c adds 1 / (boxes of c x scenes that hold c) to the sum over classes, so a scene's best ranking has
    its boxes in that order.
    """
    held = task.query_labels & members
    query, label = np.nonzero(held)
    if not len(query):
        return float("nan")
    boxes, holders = task.label_counts()[label], held.sum(0)[label]
    order = np.lexsort((boxes * holders, query))
    query, label, boxes = query[order], label[order], boxes[order]
    before = np.cumsum(boxes) - boxes
    before -= before[np.searchsorted(query, query)]
    share = np.clip(cut[query] - before, 0, boxes) / boxes
    return macro_mean(class_means(share, label, len(members)), members)


def add_by_class(run: Evaluation, train_hierarchy: Hierarchy | None) -> None:
    """`by_class`; needs the sections of the three protocols."""
    hierarchy = run.hierarchy
    counts = images_per_class(hierarchy) if train_hierarchy is None else training_images(hierarchy, train_hierarchy)
    boxes = active_boxes(hierarchy)
    occurs = np.bincount(hierarchy.node_label[boxes], minlength=hierarchy.num_classes) > 0
    group, bounds = class_groups(counts, occurs, run.settings.class_bounds)
    if bounds is None and run.settings.class_bounds is not None:
        run.results["notes"].append(
            "by_class: a group would be empty, so groups are thirds of the classes by frequency"
        )
    groups = {name: group == index for index, name in enumerate(GROUPS)} | {EVERY: occurs}
    listed = np.flatnonzero(occurs)
    by_class: dict[str, Any] = {
        "bounds": None if bounds is None else list(bounds),
        "counted_in": "evaluated" if train_hierarchy is None else "train",
        "groups": {name: _extent(counts[members]) for name, members in groups.items()},
        "classes": {
            "name": [hierarchy.class_names[c] for c in listed],
            "group": [GROUPS[group[c]] for c in listed],
            "images": counts[listed].tolist(),
        },
        "per_class": {},
    }
    run.results["by_class"] = by_class
    box_units = Units(hierarchy.node_label[boxes].astype(np.int64), hierarchy.node_image[boxes])

    task = parent_to_child.prepare(hierarchy)
    query, label = np.nonzero(task.query_labels)
    cuts = {f"recall@{name}": task.cuts(k) for name, k in named_cuts(run.settings.ks).items()}
    boxes_of_class = task.label_counts()[label]
    _add(
        run, "parent_to_child", Units(label, task.queries[query]), groups, run.class_recall,
        {name: (cut / task.gallery_sizes())[query] for name, cut in cuts.items()},
        {name: np.minimum(cut[query], boxes_of_class) / boxes_of_class for name, cut in cuts.items()},
        {name: {g: best_class_recall(task, cut, inside) for g, inside in groups.items()} for name, cut in cuts.items()},
    )  # fmt: skip

    chance, ceiling = child_to_parent.levels_per_query(child_to_parent.prepare(hierarchy), run.settings.top_ks)
    _add(run, "child_to_parent", box_units, groups, _kept(run, "child_to_parent", chance), chance, ceiling)

    random, best = own_scene.chance_and_ceiling(hierarchy.num_images)
    chance, ceiling = ({n: np.full(len(boxes), level) for n, level in levels.items()} for levels in (random, best))
    _add(run, "own_scene", box_units, groups, _kept(run, "own_scene", chance), chance, ceiling)


def _add(
    run: Evaluation,
    section: str,
    units: Units,
    groups: Mapping[str, np.ndarray],
    values: Mapping[str, Mapping[str, np.ndarray]],
    chance: Mapping[str, np.ndarray],
    ceiling: Mapping[str, np.ndarray],
    group_ceiling: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Figures of a section, from (U,) values by measure and figure, and (U,) levels by figure."""
    classes, by_class = run.hierarchy.num_classes, run.results["by_class"]
    listed = groups[EVERY]
    keys = [(measure, name) for measure, figures in values.items() for name in figures]
    columns = np.stack([values[measure][name] for measure, name in keys], axis=1) if keys else np.zeros((0, 0))
    members = list(groups.values())
    low, high = macro_interval(columns, units, members, run.settings.resamples, run.seed)
    levels = [{name: class_means(v, units.labels, classes) for name, v in level.items()} for level in (chance, ceiling)]
    random, best = levels
    by_class[section] = {measure: {group: {} for group in groups} for measure in values}
    per_class: dict[str, dict[str, list[float | None]]] = {measure: {} for measure in values}
    for column, (measure, name) in enumerate(keys):
        means = class_means(columns[:, column], units.labels, classes)
        per_class[measure][name] = _numbers(means[listed])
        for row, (group, inside) in enumerate(groups.items()):
            top = macro_mean(best[name], inside) if group_ceiling is None else group_ceiling[name][group]
            by_class[section][measure][group][name] = figure(
                macro_mean(means, inside), low[row, column], high[row, column], macro_mean(random[name], inside), top
            )
    by_class["per_class"][section] = {
        "chance": {name: _numbers(means[listed]) for name, means in random.items()},
        "ceiling": {name: _numbers(means[listed]) for name, means in best.items()},
        "measures": per_class,
    }


def _kept(run: Evaluation, section: str, names: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """Per-query values that the section's own run left: measure -> figure -> (Q,)."""
    return {measure: {name: run.per_unit[f"{section}/{measure}/{name}"] for name in names} for measure in run.scorers}


def _extent(counts: np.ndarray) -> dict[str, Any]:
    images = [int(counts.min()), int(counts.max())] if len(counts) else None
    return {"classes": len(counts), "images": images}


def _numbers(values: np.ndarray) -> list[float | None]:
    return [number(value) for value in values.tolist()]
