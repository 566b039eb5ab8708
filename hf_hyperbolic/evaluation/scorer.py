"""Scores of nodes by their embeddings under one measure, hub-corrected when its name says so.

A measure is a name of `retrieval.measures.MEASURES`, followed by `+centred`, `+zscored` or `+csls` for the corrected
score (see `calibration`).
"""

from collections.abc import Mapping

import numpy as np
import torch

from hf_hyperbolic.evaluation.calibration import CORRECTIONS, Correction, GalleryCalibration, calibrate
from hf_hyperbolic.evaluation.nodes import Direction
from hf_hyperbolic.evaluation.threads import spread
from hf_hyperbolic.retrieval.measures import MEASURES, scores

EUCLIDEAN_MEASURES = ("cosine", "euclidean_alpha", "euclidean_beta", "euclidean_combined")
_PAIR_BLOCK = 128
# gallery items scored at once on the CPU, so that what a measure computes on the way stays in cache
_GALLERY_BLOCK = 4096


def is_hyperbolic(curvature: float | None) -> bool:
    """Whether the embeddings lie on a hyperboloid: a curvature of None or 0 means a Euclidean model."""
    return curvature is not None and curvature > 0


def applicable_measures(curvature: float | None) -> tuple[str, ...]:
    """Measures that make sense for a model: all for a hyperbolic one, cosine and Euclidean angles for a Euclidean."""
    return tuple(MEASURES) if is_hyperbolic(curvature) else EUCLIDEAN_MEASURES


def split_measure(measure: str) -> tuple[str, Correction | None]:
    """`"beta+centred"` -> `("beta", "centred")`, `"beta"` -> `("beta", None)`.

    Raises:
        ValueError: the measure or the correction is unknown.
    """
    base, _, suffix = measure.partition("+")
    if base not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: choose one of {', '.join(MEASURES)}")
    for correction in CORRECTIONS:
        if suffix == correction:
            return base, correction
    if "+" in measure:
        raise ValueError(f"unknown correction in {measure!r}: choose one of {', '.join(CORRECTIONS)}")
    return base, None


class EmbeddingScorer:
    """A `NodeScorer`, and a scorer of pairs, of embeddings under a measure.

    Args:
        embeds: (N, D) float32 space components, one row a node.
        measure: with or without a correction's suffix.
        curvature: c of the hyperboloid of curvature -c; None or 0 for a Euclidean model.
        references: direction -> (R, D) embeddings of reference queries (of the training split) for the correction;
            where missing, the gallery's own items stand in, each left out of its own mean.
        max_references: at most so many reference queries are used, drawn by `seed`.
        seed: of that draw.

    Raises:
        ValueError: the measure is unknown, or hyperbolic and the model is not.
    """

    def __init__(
        self,
        embeds: torch.Tensor,
        measure: str,
        curvature: float | None = None,
        references: Mapping[Direction, torch.Tensor] | None = None,
        max_references: int = 1024,
        seed: int = 0,
    ) -> None:
        self.measure, self.correction = split_measure(measure)
        if not is_hyperbolic(curvature) and self.measure not in EUCLIDEAN_MEASURES:
            raise ValueError(
                f"measure {measure!r} needs a hyperbolic model, and curvature is {curvature}: "
                f"use {', '.join(EUCLIDEAN_MEASURES)}"
            )
        self.embeds = embeds
        self.curvature = curvature if is_hyperbolic(curvature) else None
        self.references = dict(references or {})
        self.max_references = max_references
        self.seed = seed
        self._calibrations: dict[tuple[Direction, bytes], GalleryCalibration] = {}

    def __call__(self, queries: np.ndarray, gallery: np.ndarray, direction: Direction) -> torch.Tensor:
        """(Q,) and (G,) nodes -> (Q, G) scores."""
        asking, calibration = self._rows(queries), None
        if self.correction is not None:
            key = (direction, np.ascontiguousarray(gallery).tobytes())
            if key not in self._calibrations:
                self._calibrations[key] = self._calibrate(gallery, direction, self.correction)
            calibration = self._calibrations[key]
        dtype = torch.promote_types(self.embeds.dtype, torch.float32)
        found = torch.empty(len(queries), len(gallery), dtype=dtype, device=self.embeds.device)

        def fill(block: slice) -> None:
            part = self._scores(asking, self._rows(gallery[block]), direction)
            if calibration is not None:
                part = GalleryCalibration(calibration.offset[block], calibration.scale[block]).apply(part)
            found[:, block] = part

        spread(fill, self._blocks(len(gallery)))
        return found

    def pairs(self, ancestors: np.ndarray, descendants: np.ndarray) -> np.ndarray:
        """(P,) and (P,) nodes -> (P,) scores of "the first holds the second", without any correction."""
        found = []
        for start in range(0, len(ancestors), _PAIR_BLOCK):
            block = slice(start, start + _PAIR_BLOCK)
            tile = self._scores(self._rows(ancestors[block]), self._rows(descendants[block]), "children")
            found.append(tile.diagonal().cpu().numpy())
        return np.concatenate(found).astype(np.float64) if found else np.zeros(0)

    def _blocks(self, gallery: int) -> list[slice]:
        """Slices of a gallery that are scored at once: on an accelerator it is one."""
        size = _GALLERY_BLOCK if self.embeds.device.type == "cpu" else max(1, gallery)
        return [slice(start, start + size) for start in range(0, max(1, gallery), size)]

    def _rows(self, nodes: np.ndarray) -> torch.Tensor:
        if len(nodes) and nodes[-1] - nodes[0] == len(nodes) - 1 and (np.diff(nodes) == 1).all():
            return self.embeds[int(nodes[0]) : int(nodes[-1]) + 1]  # a run of nodes need not be copied
        return self.embeds[torch.from_numpy(np.ascontiguousarray(nodes)).to(self.embeds.device)]

    def _scores(self, queries: torch.Tensor, gallery: torch.Tensor, direction: Direction) -> torch.Tensor:
        return scores(queries, gallery, self.measure, direction, curvature=self.curvature)

    def _calibrate(self, gallery: np.ndarray, direction: Direction, correction: Correction) -> GalleryCalibration:
        rng = np.random.default_rng(self.seed)
        outside = self.references.get(direction)
        pool = len(gallery) if outside is None else len(outside)
        chosen = np.arange(pool)
        if pool > self.max_references:
            chosen = np.sort(rng.choice(pool, self.max_references, replace=False))
        if outside is None:
            references = self._rows(gallery[chosen])
        else:
            references = outside[torch.from_numpy(chosen).to(outside.device)]

        def of_block(block: slice) -> GalleryCalibration:
            reference_scores = self._scores(references, self._rows(gallery[block]), direction)
            if outside is None:
                # a reference's score with itself tells nothing
                column = torch.from_numpy(chosen - block.start)
                inside = torch.nonzero((column >= 0) & (column < reference_scores.shape[1])).flatten()
                reference_scores = reference_scores.clone()
                reference_scores[inside, column[inside]] = torch.nan
            return calibrate(reference_scores, correction)

        parts = spread(of_block, self._blocks(len(gallery)))
        return GalleryCalibration(torch.cat([part.offset for part in parts]), torch.cat([part.scale for part in parts]))
