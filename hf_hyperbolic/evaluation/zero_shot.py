"""Zero-shot detection (arXiv 2411.17490, protocol unpublished): is a box's content told by the nearest class prototype?

Ours: the annotated boxes of a split are cut out and each is given to the class whose prototype answers it best. A
prototype is the mean of boxes of the class in a *support* split of the same data set. Zero-shot it is where the model
was trained on another data set: `trained_here` says whether it was, and is passed on with a note where it is not.
The prototype stands for the class, which is the more general: it is taken as the parent and the crop as the child, as
wherever boxes look for what they are a part of. Figures are

- `accuracy`, over boxes, and `class_accuracy`, the mean over classes of the accuracy on their boxes;
- `map` and `map_50`, the mean over classes of COCO's average precision (over IoU thresholds .50 to .95, and at .50),
  the boxes being the detections, each with its score for every class (see `detection`).

A model with a text tower tells them by the names of the classes as well (`zero_shot_by_name`): no box of the support is
looked at, which then only says which classes there are.

The figure to quote is that of the *nearest* prototype: by hyperbolic distance for a hyperbolic model, by cosine for any
other (`nearest_measure`). Angles are given too, but they tell wholes from parts, not one class from another: beta does
not say how far away a prototype lies, and alpha prefers those near the origin whatever the crop.

Classes are those of the evaluated set with a box in the support, matched by name; boxes of others take no part. Where
labels are federated, average precision is judged as LVIS judges it; for accuracy only a box's own label is right.

Chance is exact for accuracy, simulated for average precision. Beside accuracy stands what always naming the support
split's most common class reaches. Several draws of the support are averaged; intervals are bootstrap over images, drawn
whole, for these very supports, and `draws` gives the smallest and largest value among them. A class none of whose
images is drawn keeps its figure in that resample, as in `by_class`. Average precision of a class of few boxes rises
when some are drawn twice and others not at all: its interval is moved back by that bias, the mean of the resamples less
the figure (Efron & Tibshirani 1993, chapter 10). As every resample ranks all boxes anew, only the figure to quote has
an interval of its average precision, unless measures are named.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.bootstrap import multiplicities
from hf_hyperbolic.evaluation.detection import MAX_DETECTIONS
from hf_hyperbolic.evaluation.figures import figure, number
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_shared
from hf_hyperbolic.evaluation.prototypes import class_prototypes
from hf_hyperbolic.evaluation.scorer import applicable_measures, is_hyperbolic
from hf_hyperbolic.evaluation.zero_shot_judge import PrototypeScores, average_precisions, judge
from hf_hyperbolic.evaluation.zero_shot_task import Queries, Support, prepare

FIGURES = ("accuracy", "class_accuracy", "map", "map_50")
_RANDOM_RANKINGS = 3


def evaluate_zero_shot(
    embeds: torch.Tensor | np.ndarray,
    hierarchy: Hierarchy,
    support_embeds: torch.Tensor | np.ndarray,
    support: Support,
    curvature: float | None,
    measures: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    map_resamples: int = 200,
    trained_here: bool | None = None,
    distributed: bool = False,
    name_embeds: torch.Tensor | np.ndarray | None = None,
    progress: bool = False,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Accuracy and mean average precision of telling boxes by the nearest prototype.

    Args:
        embeds: (N, D) embeddings of the evaluated split, one row a node.
        hierarchy: the evaluated split.
        support_embeds: (n, D) embeddings of `support.nodes`, by the same model.
        support: see `draw_support`.
        curvature: c of the hyperboloid of curvature -c; None or 0 for a Euclidean model.
        measures: names of `retrieval.measures.MEASURES`; when None all that apply, of which the nearest prototype's
            alone has an interval of average precision.
        seed: of chance and bootstrap.
        resamples: of the bootstrap of accuracy.
        map_resamples: of that of average precision, each of which ranks all boxes for all classes again.
        trained_here: whether the model was trained on this very data set; None where that is not known.
        distributed: share the classes out over the processes of `accelerate launch` or `torchrun`. All of them must
            then call this with the same arguments, and each gets what one process alone would, to the last bit if it
            computes with as many threads (`OMP_NUM_THREADS`).
        name_embeds: (C, D) embeddings of the names of `hierarchy.class_names` by the model's text tower: boxes are told
            by them too, among the same classes, a name in place of each prototype.
        progress: show a bar of the measures, named as they are worked on, where a terminal looks on.

    Returns:
        The result: `zero_shot`: measure -> figure of `FIGURES` -> `value`, `low`, `high`, `chance`, `ceiling`,
        `oracles` (`most_common_class`, None for average precision) and `draws`, [smallest, largest] over the draws;
        `zero_shot_about`: `measure` (the nearest prototype's), `boxes`, `left_out`, `classes`, `support_boxes` (of a
        draw), `shots`, `draws`, `iou_thresholds`, `max_detections`, `trained_here`, `notes`, and `per_class`: `name`,
        `boxes`, `support`, and `measures`: measure -> `accuracy`, `average_precision`, lists over the candidate
        classes; with `name_embeds` `zero_shot_by_name`, of the form of `zero_shot`. And
        `"zero_shot/<measure>/accuracy"` -> (Q,) share of the draws in which each box of `zero_shot_task.told_boxes` is
        told rightly.

    Raises:
        ValueError: embeddings do not fit, or no box can be told.
    """
    vectors, reference = (torch.as_tensor(part).detach().float() for part in (embeds, support_embeds))
    if len(vectors) != hierarchy.num_nodes or len(reference) != len(support.nodes):
        raise ValueError(
            f"embeds {tuple(vectors.shape)} must have one row for each of {hierarchy.num_nodes} nodes, and "
            f"support_embeds {tuple(reference.shape)} one for each of {len(support.nodes)} support boxes"
        )
    if name_embeds is not None and len(name_embeds) != hierarchy.num_classes:
        raise ValueError(
            f"name_embeds has {len(name_embeds)} rows: one is needed for each of {hierarchy.num_classes} classes"
        )
    names = tuple(measures) if measures is not None else applicable_measures(curvature)
    quoted = nearest_measure(curvature)
    c = curvature if is_hyperbolic(curvature) else None
    queries = prepare(hierarchy, support)
    rows = np.searchsorted(queries.classes, support.labels)
    processes = Processes.of_group() if distributed else ALONE
    image_draws = _ImageDraws(hierarchy.num_images, resamples, map_resamples, seed)
    crops = vectors[torch.from_numpy(queries.nodes).to(vectors.device)]
    levels = _Levels(queries, support, seed, processes)
    per_unit: dict[str, np.ndarray] = {}

    def tell(section: str, prototypes_by: Callable[[str], list[torch.Tensor]]) -> tuple[dict[str, Any], dict[str, Any]]:
        table, per_class = {}, {}
        for measure in names:
            bar.set_description(f"{section.replace('_', ' ')}: {measure}")
            given = PrototypeScores(crops, prototypes_by(measure), measure, c)
            weights = image_draws.for_map if measures is not None or measure == quoted else image_draws.for_map[:0]
            told, precision, resampled = judge(queries, given, weights, processes)
            table[measure], per_class[measure] = _figures(queries, told, precision, resampled, image_draws, levels)
            per_unit[f"{section}/{measure}/accuracy"] = np.mean(told, axis=0)
            bar.update()
        return table, per_class

    def means_of_boxes(measure: str) -> list[torch.Tensor]:
        return [
            class_prototypes(
                reference[torch.from_numpy(draw).to(reference.device)],
                torch.from_numpy(rows[draw]).to(reference.device),
                len(queries.classes),
                measure,
                c,
            )
            for draw in support.draws
        ]

    count = len(names) * (1 if name_embeds is None else 2)
    bar = tqdm(total=count, unit="measure", disable=None if progress else True)
    table, per_class = tell("zero_shot", means_of_boxes)
    found: dict[str, Any] = {"zero_shot": table}
    if name_embeds is not None:
        called = torch.as_tensor(name_embeds).detach().float()[torch.from_numpy(queries.classes)].to(crops.device)
        found["zero_shot_by_name"] = tell("zero_shot_by_name", lambda _: [called])[0]
    bar.close()
    about = {"measure": quoted, **_about(queries, support, trained_here)} | {
        "per_class": {
            "name": [hierarchy.class_names[label] for label in queries.classes],
            "boxes": np.bincount(queries.labels, minlength=len(queries.classes)).tolist(),
            "support": support.counts[queries.classes].tolist(),
            "measures": per_class,
        }
    }
    return {**found, "zero_shot_about": about}, per_unit


def nearest_measure(curvature: float | None) -> str:
    """By what a prototype is nearest to a crop, in the space of the model."""
    return "distance" if is_hyperbolic(curvature) else "cosine"


class _ImageDraws:
    """How often each image is drawn in each resample."""

    def __init__(self, images: int, resamples: int, map_resamples: int, seed: int) -> None:
        self.images, self.resamples, self.seed = images, resamples, seed
        self.for_map = self._draw(map_resamples)

    def _draw(self, resamples: int) -> np.ndarray:
        return np.concatenate([*multiplicities(self.images, resamples, np.random.default_rng(self.seed))])

    def blocks(self) -> Iterator[np.ndarray]:
        return multiplicities(self.images, self.resamples, np.random.default_rng(self.seed))


class _Levels:
    """Chance, ceiling and the oracle, the same for all systems."""

    def __init__(self, queries: Queries, support: Support, seed: int, processes: Processes) -> None:
        classes, labels = len(queries.classes), queries.labels
        once = np.ones((1, queries.overlaps.num_images))

        def of_ranking(number: int) -> np.ndarray:
            if number == _RANDOM_RANKINGS:
                return average_precisions(queries, np.eye(classes)[labels], once)
            rng = np.random.default_rng([seed, number])
            return average_precisions(queries, rng.random((len(labels), classes)), once)

        *random, best = map_shared(of_ranking, range(_RANDOM_RANKINGS + 1), processes)
        self.chance = {"accuracy": 1 / classes, "class_accuracy": 1 / classes, **_mean_precision(np.mean(random, 0)[0])}
        self.ceiling = {"accuracy": 1.0, "class_accuracy": 1.0, **_mean_precision(best[0])}
        common = int(support.counts[queries.classes].argmax())
        occurring = len(np.unique(labels))
        among = float(common in labels)
        self.oracle = {"accuracy": float((labels == common).mean()), "class_accuracy": among / occurring}


def _mean_precision(values: np.ndarray) -> dict[str, float]:
    """(T, K) average precision, NaN for a class without a box -> the means over classes."""
    return {"map": float(np.nanmean(values)), "map_50": float(np.nanmean(values[0]))}


def _figures(
    queries: Queries,
    told: Sequence[np.ndarray],
    precision: Sequence[np.ndarray],
    resampled: Sequence[np.ndarray],
    draws: _ImageDraws,
    levels: _Levels,
) -> tuple[dict[str, dict[str, Any]], dict[str, list[float | None]]]:
    images, labels, classes = queries.overlaps.images, queries.labels, len(queries.classes)
    cells = images.astype(np.int64) * classes + labels
    boxes = np.bincount(cells, minlength=draws.images * classes).reshape(draws.images, classes)
    right: np.ndarray = np.mean([np.bincount(cells[one], minlength=boxes.size) for one in told], axis=0)
    right = right.reshape(boxes.shape)
    with np.errstate(invalid="ignore"):
        accuracy = right.sum(0) / boxes.sum(0)
        each = {
            "accuracy": [float(one.mean()) for one in told],
            "class_accuracy": [
                float(np.nanmean(np.bincount(labels[one], minlength=classes) / boxes.sum(0))) for one in told
            ],
        }
    each["map"] = [_mean_precision(one)["map"] for one in precision]
    each["map_50"] = [_mean_precision(one)["map_50"] for one in precision]

    again: dict[str, list[np.ndarray]] = {"accuracy": [], "class_accuracy": []}
    for weights in draws.blocks():
        hits, all_boxes = weights @ right, weights @ boxes
        with np.errstate(invalid="ignore"):
            again["accuracy"].append(hits.sum(1) / all_boxes.sum(1))
            again["class_accuracy"].append(np.nanmean(np.where(all_boxes > 0, hits / all_boxes, accuracy), axis=1))
    mean: np.ndarray = np.mean(precision, axis=0)
    drawn: np.ndarray = np.mean(resampled, axis=0)
    drawn = np.where(np.isnan(drawn), mean, drawn)
    spread: Mapping[str, np.ndarray] = {
        **{name: np.concatenate(parts) for name, parts in again.items()},
        "map": np.nanmean(drawn, axis=(1, 2)),
        "map_50": np.nanmean(drawn[:, 0], axis=1),
    }
    table = {}
    for name in FIGURES:
        low = high = np.nan
        if len(spread[name]):
            low, high = np.nanquantile(spread[name], (0.025, 0.975))
        if name.startswith("map") and len(drawn):
            bias = float(np.nanmean(spread[name])) - float(np.mean(each[name]))
            low, high = np.clip([low - bias, high - bias], 0, 1)
        table[name] = figure(float(np.mean(each[name])), low, high, levels.chance[name], levels.ceiling[name]) | {
            "oracles": {"most_common_class": levels.oracle.get(name)},
            "draws": [min(each[name]), max(each[name])],
        }
    of_classes = {
        "accuracy": [number(value) for value in accuracy],
        "average_precision": [number(value) for value in mean.mean(0)],
    }
    return table, of_classes


def _about(queries: Queries, support: Support, trained_here: bool | None) -> dict[str, Any]:
    notes = []
    if trained_here:
        notes.append("zero_shot: the model was trained on this very data set, so its figures are not zero-shot")
    elif trained_here is None:
        notes.append("zero_shot: what the model was trained on is not known; zero-shot only if it was another data set")
    if queries.left_out:
        notes.append(f"zero_shot: {queries.left_out} boxes are of classes without a box in the support: left out")
    if queries.settled is not None:
        notes.append("zero_shot: labels are federated; a class is judged only in images where it was looked for")
    return {
        "boxes": len(queries.nodes),
        "left_out": queries.left_out,
        "classes": len(queries.classes),
        "support_boxes": len(support.draws[0]),
        "shots": support.shots,
        "draws": len(support.draws),
        "iou_thresholds": list(queries.overlaps.thresholds),
        "max_detections": MAX_DETECTIONS,
        "trained_here": trained_here,
        "notes": notes,
    }
