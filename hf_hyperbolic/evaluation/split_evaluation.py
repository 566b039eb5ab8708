"""The figures of a comparison: many models on one split, each ranked by its own measures alone.

`evaluate_per_query` describes one model under every measure. Here chance, ceiling, pairs and the query-blind rankings,
which are the same for every model, are found once for the split, and what no table of a comparison shows is not
computed. Values are the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation import child_to_parent, entailment, own_scene, parent_to_child
from hf_hyperbolic.evaluation.figures import number
from hf_hyperbolic.evaluation.hubness import hubness_figures, occurrences
from hf_hyperbolic.evaluation.nodes import NodeScorer, active_boxes, scenes
from hf_hyperbolic.evaluation.oracles import class_count, class_prevalence
from hf_hyperbolic.evaluation.radial import radial_order
from hf_hyperbolic.evaluation.ranking import resolve_k
from hf_hyperbolic.evaluation.scorer import EmbeddingScorer

SHARES = (0.5, 0.8)
TOP_KS = child_to_parent.KS
ANY_PARENT_KS = (10,)
RECALL_LEVELS = parent_to_child.RECALL_LEVELS
BOX_IMAGE = "image_of_box"
"""Among the units: (Q,) image of each box query, since the boxes of an image are not independent."""

# sections whose units are boxes, and sections with an oracle
BOX_SECTIONS = ("child_to_parent", "child_to_any_parent", "own_scene")
ORACLES = {"parent_to_child": "class_prevalence", "precision_recall": "class_prevalence"} | {
    "child_to_parent": "class_count"
}

Levels = dict[str, float | None]
Figures = dict[str, Levels]
Units = dict[str, np.ndarray]


@dataclass(frozen=True)
class SplitEvaluation:
    """A split on which models are compared.

    Attributes:
        hierarchy: the split.
        train_hierarchy: the training split, in which the oracle of class prevalence counts; None for no such oracle.
        seed: of pair sampling, simulated chance and ties of the oracles.
    """

    hierarchy: Hierarchy
    train_hierarchy: Hierarchy | None = None
    seed: int = 0

    def __call__(
        self, embeds: torch.Tensor | np.ndarray, curvature: float | None, measures: Mapping[str, str]
    ) -> tuple[Figures, Units]:
        """Evaluates one model.

        Args:
            embeds: (N, D) finite space components, one row a node; used as float32.
            curvature: c of the hyperboloid of curvature -c; None or 0 for a Euclidean model.
            measures: what ranks `children` and `parents`, and what judges `pairs`.

        Returns:
            `"<section>/<figure>"` -> `value`, `chance`, `ceiling` and, in a section of `ORACLES`, `oracle` (None where
            it cannot be had); and the same names -> (Q,) float64 units: queries for retrieval, images for `entailment`
            and `radial`, none for `hubness`. Sections and figures are those of `evaluate_per_query`, and
            `precision_recall/<level>`. With the units is `BOX_IMAGE`.

        Raises:
            ValueError: embeddings are not (N, D) or not finite, a measure does not apply, or the split has no query.
        """
        vectors = torch.as_tensor(embeds).detach().float()
        if vectors.ndim != 2 or len(vectors) != self.hierarchy.num_nodes:
            raise ValueError(f"embeds has shape {tuple(vectors.shape)}, expected ({self.hierarchy.num_nodes}, D)")
        if not torch.isfinite(vectors[torch.from_numpy(self.hierarchy.active())]).all():
            raise ValueError("embeds holds NaN or infinity: look at the images they come from, or at the weights")
        by = {way: EmbeddingScorer(vectors, name, curvature, seed=self.seed) for way, name in measures.items()}
        with torch.no_grad():
            units = self._retrieval(by["children"], by["parents"])
            found = entailment.per_image(self._pairs, by["pairs"].pairs, self.hierarchy)
            units |= {f"entailment/{name}": values for name, values in found.items()}
            norms = vectors.norm(dim=1).double().cpu().numpy()
            units |= {f"radial/{name}": values for name, values in radial_order(norms, self.hierarchy).items()}
            hub = self._hub(by["parents"])
        figures: Figures = {}
        for name, values in units.items():
            chance, ceiling = self.levels.get(name, (0.5, 1.0))
            defined = values[~np.isnan(values)]
            figures[name] = {
                "value": number(defined.mean()) if len(defined) else None,
                "chance": number(chance),
                "ceiling": number(ceiling),
            }
            if name.partition("/")[0] in ORACLES:
                figures[name]["oracle"] = number(self.oracles.get(name))
        figures["hubness/child_to_parent"] = hub
        boxes = active_boxes(self.hierarchy)
        return figures, {**units, BOX_IMAGE: self.hierarchy.node_image[boxes].astype(np.int64)}

    @cached_property
    def about(self) -> dict[str, Any]:
        """`counts`, `clamped`: figure -> what a k beyond the gallery means, and a `fingerprint` of the split."""
        boxes = active_boxes(self.hierarchy)
        return {
            "counts": {
                "scenes": self.hierarchy.num_images,
                "queries parent to child": len(self._parent_to_child.queries),
                "boxes": len(boxes),
                "classes": self.hierarchy.num_classes,
            },
            "clamped": {
                f"child_to_parent/top_{k}": self.hierarchy.num_images
                for k in TOP_KS
                if resolve_k(k, self.hierarchy.num_images) < k
            },
            "fingerprint": fingerprint(self.hierarchy),
        }

    @cached_property
    def levels(self) -> dict[str, tuple[float, float]]:
        """Chance and ceiling of the retrieval figures."""
        found: dict[str, tuple[float, float]] = {}
        task = self._parent_to_child
        chance, curve = parent_to_child.chance(task, SHARES, RECALL_LEVELS, seed=self.seed)
        ceiling = parent_to_child.ceiling(task, SHARES)
        found |= {f"parent_to_child/{name}": (level, ceiling[name]) for name, level in chance.items()}
        found |= {f"precision_recall/{at}": (level, 1.0) for at, level in zip(RECALL_LEVELS, curve, strict=True)}
        sections = {
            "child_to_parent": child_to_parent.chance_and_ceiling(self._child_to_parent, TOP_KS),
            "child_to_any_parent": child_to_parent.chance_and_ceiling(self._child_to_any_parent, ANY_PARENT_KS),
            "own_scene": own_scene.chance_and_ceiling(self.hierarchy.num_images),
        }
        for section, (random, best) in sections.items():
            found |= {f"{section}/{name}": (level, best[name]) for name, level in random.items()}
        return found

    @cached_property
    def oracles(self) -> dict[str, float]:
        """What the rankings reach that are blind to the query (see `oracles`)."""
        scenes_of_many = class_count(self.hierarchy, self.seed)
        found = child_to_parent.per_query(self._child_to_parent, scenes_of_many, TOP_KS)
        means = {f"child_to_parent/{name}": float(np.nanmean(values)) for name, values in found.items()}
        if self.train_hierarchy is not None:
            common_first = class_prevalence(self.hierarchy, self.train_hierarchy, self.seed)
            means |= {name: float(np.nanmean(values)) for name, values in self._scene_queries(common_first).items()}
        return means

    @cached_property
    def _parent_to_child(self) -> parent_to_child.ParentToChild:
        return parent_to_child.prepare(self.hierarchy)

    @cached_property
    def _child_to_parent(self) -> child_to_parent.ChildToParent:
        return child_to_parent.prepare(self.hierarchy)

    @cached_property
    def _child_to_any_parent(self) -> child_to_parent.ChildToParent:
        return child_to_parent.prepare(self.hierarchy, "parents")

    @cached_property
    def _pairs(self) -> dict[str, entailment.PairSample]:
        return {
            suffix: entailment.sample_pairs(self.hierarchy, seed=self.seed, boxes_only=bool(suffix))
            for suffix in ("", entailment.BOXES)
        }

    def _retrieval(self, children: NodeScorer, parents: NodeScorer) -> Units:
        shares = child_to_parent.per_query(self._child_to_parent, parents, TOP_KS)
        of_any = child_to_parent.per_query(self._child_to_any_parent, parents, ANY_PARENT_KS)
        own = own_scene.per_query(own_scene.own_scene_ranks(self.hierarchy, parents))
        return (
            self._scene_queries(children)
            | {f"child_to_parent/{name}": values for name, values in shares.items()}
            | {f"child_to_any_parent/{name}": values for name, values in of_any.items()}
            | {f"own_scene/{name}": values for name, values in own.items()}
        )

    def _scene_queries(self, scorer: NodeScorer) -> Units:
        found = parent_to_child.per_query(self._parent_to_child, scorer, SHARES, RECALL_LEVELS)
        curves = zip(RECALL_LEVELS, found.curves.T, strict=True)
        return {f"parent_to_child/{name}": values for name, values in found.figures.items()} | {
            f"precision_recall/{level}": values for level, values in curves
        }

    def _hub(self, scorer: NodeScorer) -> Levels:
        boxes = active_boxes(self.hierarchy)
        counts = occurrences(scorer, boxes, scenes(self.hierarchy), "parents")
        found = hubness_figures(counts, len(boxes), seed=self.seed)["largest_share"]
        return {name: found[name] for name in ("value", "chance", "ceiling")}


def fingerprint(hierarchy: Hierarchy) -> str:
    """Tells splits of other boxes, classes, pairs or known absences apart, 16 hexadecimal digits."""
    digest = hashlib.sha256("\n".join(hierarchy.class_names).encode())
    parts = [hierarchy.node_image, hierarchy.node_label, hierarchy.node_box, hierarchy.ancestry]
    if hierarchy.federation is not None:
        parts += [part for part in vars(hierarchy.federation).values() if part is not None]
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]
