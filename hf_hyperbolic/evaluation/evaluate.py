"""Every protocol, under every measure, with chance and ceiling beside every figure: one call, one JSON-ready dict."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.by_class import add_by_class
from hf_hyperbolic.evaluation.emergence import add_emergence
from hf_hyperbolic.evaluation.nodes import Direction, active_boxes
from hf_hyperbolic.evaluation.processes import ALONE, Processes
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer, applicable_measures
from hf_hyperbolic.evaluation.sections import (
    Evaluation,
    EvaluationSettings,
    PerUnit,
    add_child_to_parent,
    add_counts,
    add_entailment,
    add_geometry,
    add_hubness,
    add_own_scene,
    add_parent_to_child,
)

Vectors = torch.Tensor | np.ndarray


def evaluate_embeddings(
    embeds: Vectors,
    hierarchy: Hierarchy,
    curvature: float | None,
    measures: Sequence[str] | None = None,
    train_hierarchy: Hierarchy | None = None,
    seed: int = 0,
    train_embeds: Vectors | None = None,
    settings: EvaluationSettings | None = None,
    distributed: bool = False,
) -> dict[str, Any]:
    """Evaluates the embeddings of a split: the first half of what `evaluate_per_query` returns, documented there."""
    return evaluate_per_query(
        embeds, hierarchy, curvature, measures, train_hierarchy, seed, train_embeds, settings, distributed
    )[0]


def evaluate_per_query(
    embeds: Vectors,
    hierarchy: Hierarchy,
    curvature: float | None,
    measures: Sequence[str] | None = None,
    train_hierarchy: Hierarchy | None = None,
    seed: int = 0,
    train_embeds: Vectors | None = None,
    settings: EvaluationSettings | None = None,
    distributed: bool = False,
    progress: bool = False,
) -> tuple[dict[str, Any], PerUnit]:
    """Evaluates the embeddings of a split, and keeps the values behind the figures.

    A *figure* is `{"value", "low", "high", "chance", "ceiling"}`: shares in [0, 1] except OT (in units of the ground)
    and ranks; `low` and `high` are a 95 % interval; `chance` is a random ranking's level, `ceiling` the best possible.
    What is undefined is None. Lower is better for `ot@...`, `median_rank` and hubness. The result holds

    - `counts`: `images`, `boxes` (taking part), `boxes_that_are_the_scene`, `scenes_without_boxes`, `classes`,
      `parents` (nodes with a descendant), `ancestry_pairs`, `box_ancestry_pairs`;
    - `settings`: what the figures depend on; `notes`: list of sentences on clamped cut-offs and gaps;
    - `parent_to_child`: measure -> `recall@k`, `ot@k`, `precision@k` (absolute k), `average_precision` -> figure,
      with one more key `oracles`: `class_prevalence`, what a ranking reaches that puts boxes of the classes first which
      most training images hold, for every query alike (see `oracles`); None without `train_hierarchy`;
    - `precision_recall`: `recall` (L,) levels, `chance` (L,), `ceiling` (L,), and `measures`: measure -> `value`,
      `low`, `high` (L,) each;
    - `child_to_parent` (gallery of scenes) and `child_to_any_parent` (gallery of all nodes with a descendant):
      measure -> `top_k` and `top_k_other_images` -> figure, in `child_to_parent` with one more key `oracles`:
      `class_count`, what a ranking reaches that puts scenes of the most classes first, for every query alike;
    - `own_scene`: measure -> `recall@1`, `recall@5`, `median_rank` -> figure;
    - `entailment`: measure without a correction -> `auc_random`, `auc_reversed`, `auc_unrelated`, and each with
      `_boxes` -> figure, with one more key `oracles`: `category_pair_frequency` (None without `train_hierarchy`) and
      `scene_flag`, their AUC on the same pairs;
    - `entailment_pairs`: number of ancestry and other pairs behind each AUC;
    - `radial`: `all`, `boxes` -> figure; `mean_norm_by_level`: list by depth;
    - `hubness`: `parent_to_child`, `child_to_parent` -> measure -> `largest_share`, `skewness` -> figure;
    - `cone`: `mean_cosine`, `mean_cosine_scenes`, `mean_cosine_boxes`, numbers;
    - `by_class` (defined in `by_class.py`): `parent_to_child`, `child_to_parent`, `own_scene` -> measure -> group
      (`head`, `middle`, `tail`, `all`) -> `recall@k`, `top_k` -> figure, a macro mean over the group's classes whose
      interval is over images; `groups`: group -> number of `classes` and their smallest and largest number of
      `images`; `bounds` (None for thirds); `counted_in`: `train`, or `evaluated` without `train_hierarchy`;
      `classes`: `name`, `group` and `images` of each class that occurs; `per_class`: protocol -> `chance`, `ceiling`
      (figure -> list), and `measures`: measure -> figure -> list, one number a class.
    - `tree`: `score`, which of the scores the figure to quote is by; `images`, how many trees were recovered (at most
      200, drawn); `edge_f1`: score -> figure, with the `star` as one more; `depth`: `all`, `boxes` -> figure,
      Spearman's correlation of depth and radius in [-1, 1]; `classes` (None where no box holds another): see
      `class_tree.class_entailment`; `gromov`: see `gromov.delta_beside_random`.

    Where the hierarchy has a `federation`, combinations of scene and class of which nobody knows are left out of the
    rankings, chance and ceiling of all retrieval by category, and of the random pairs of `entailment` (see
    `federated`).

    Args:
        embeds: (N, D) space components, one row a node of the hierarchy; used as float32.
        hierarchy: the split.
        curvature: c of the hyperboloid of curvature -c; None or 0 for a Euclidean model.
        measures: names of `retrieval.measures.MEASURES`, with `+centred`, `+zscored` or `+csls` for the hub-corrected
            score; all that apply to the model, uncorrected, when None.
        train_hierarchy: the training split, for the oracles that count in it (class prevalence, category pairs) and
            for the frequency of classes.
        seed: of pair sampling, simulated chance and bootstrap. With the same seed, systems on one hierarchy are
            measured on the same pairs and resamples, so that their values can be compared unit by unit.
        train_embeds: (N_train, D) embeddings of `train_hierarchy`'s nodes: its scenes and boxes are then the reference
            queries of corrections, in place of the gallery's own items.
        settings: cut-offs, ground, pairs, bootstrap; the defaults when None.
        distributed: share the queries out over the processes of `accelerate launch` or `torchrun`. All of them must
            then call this with the same arguments, and each gets what one process alone would, to the last bit if it
            computes with as many threads (`OMP_NUM_THREADS`).
        progress: show a bar of the sections, named as they are worked on, where a terminal looks on.

    Returns:
        The result, and `"<section>/<measure>/<figure>"` -> per-unit values (float64, NaN where undefined) for
        `bootstrap.paired_difference`: units are queries for the retrieval protocols, images for `entailment`,
        `radial` (whose measure is `norm`) and `tree` (whose measure is a score). `own_scene/<measure>/rank` is ranks.

    Raises:
        ValueError: embeddings are not (N, D) or hold NaN or infinity, a measure does not apply, or the split has no
            query with a relevant item.
    """
    vectors = _checked(embeds, hierarchy, "embeds", "hierarchy")
    names = tuple(measures) if measures is not None else applicable_measures(curvature)
    if not names:
        raise ValueError("measures is empty: name at least one, or pass None for all that apply")
    settings = settings or EvaluationSettings()
    references = _references(train_embeds, train_hierarchy, vectors)
    scorers = {name: EmbeddingScorer(vectors, name, curvature, references, seed=seed) for name in names}
    run = Evaluation(hierarchy, scorers, settings, seed, Processes.of_group() if distributed else ALONE)
    run.results["settings"] = settings.as_dict() | {
        "curvature": curvature,
        "seed": seed,
        "measures": list(names),
        "correction_references": "train" if references else "gallery",
    }
    sections: dict[str, Callable[[], None]] = {
        "counts": partial(add_counts, run),
        "parent -> child": partial(add_parent_to_child, run, train_hierarchy),
        "child -> parent": partial(add_child_to_parent, run),
        "own scene": partial(add_own_scene, run),
        "entailment": partial(add_entailment, run, train_hierarchy),
        "geometry": partial(add_geometry, run, vectors),
        "hubness": partial(add_hubness, run),
        "classes": partial(add_by_class, run, train_hierarchy),
        "tree": partial(add_emergence, run, vectors, curvature),
    }
    with torch.no_grad(), tqdm(sections.items(), unit="section", disable=None if progress else True) as bar:
        for name, add in bar:
            bar.set_description(f"evaluating: {name}")
            add()
    return run.results, run.per_unit


def _checked(embeds: Vectors, hierarchy: Hierarchy, name: str, owner: str) -> torch.Tensor:
    vectors = torch.as_tensor(embeds).detach()
    nodes, active = len(hierarchy.node_image), hierarchy.active()
    if nodes == 0 or hierarchy.num_images == 0:
        raise ValueError(f"{owner} is empty: there is nothing to evaluate. Does the split have annotated images?")
    if vectors.ndim != 2 or len(vectors) != nodes:
        raise ValueError(
            f"{name} has shape {tuple(vectors.shape)}, expected ({nodes}, D): one row a node of {owner}, "
            f"{hierarchy.num_images} scenes first and then {nodes - hierarchy.num_images} boxes"
        )
    vectors = vectors.float()
    bad = np.flatnonzero(~torch.isfinite(vectors).all(1).cpu().numpy() & active)
    if len(bad):
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise ValueError(
            f"{name} holds NaN or infinity in {len(bad)} of {nodes} rows: {shown}. A row is a node of {owner}; "
            "look at the images they come from, or at the weights"
        )
    return vectors


def _references(
    train_embeds: Vectors | None, train_hierarchy: Hierarchy | None, vectors: torch.Tensor
) -> dict[Direction, torch.Tensor]:
    if train_embeds is None:
        return {}
    if train_hierarchy is None:
        raise ValueError("train_embeds needs train_hierarchy, which says which rows are scenes")
    train = _checked(train_embeds, train_hierarchy, "train_embeds", "train_hierarchy").to(vectors.device)
    if train.shape[1] != vectors.shape[1]:
        raise ValueError(f"train_embeds has {train.shape[1]} dimensions and embeds {vectors.shape[1]}")
    return {
        "children": train[: train_hierarchy.num_images],
        "parents": train[torch.from_numpy(active_boxes(train_hierarchy)).to(train.device)],
    }
