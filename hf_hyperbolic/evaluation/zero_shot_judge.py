"""Which class each box is told to be of, and average precision of every class, a block of classes at a time.

Blocks are shared out over processes: a block is worked on whole by one.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from hf_hyperbolic.evaluation.detection import class_detections, resampled_average_precision
from hf_hyperbolic.evaluation.processes import Processes, map_shared
from hf_hyperbolic.evaluation.zero_shot_task import Queries
from hf_hyperbolic.retrieval.measures import scores

# classes whose scores are held at once, a row a box, and which one process looks at
_CLASS_BLOCK = 16


class PrototypeScores:
    """Scores of all crops for a few classes at a time: with a thousand classes the whole matrix would not fit."""

    def __init__(
        self, crops: torch.Tensor, prototypes: Sequence[torch.Tensor], measure: str, curvature: float | None
    ) -> None:
        self.crops, self.prototypes, self.measure, self.curvature = crops, prototypes, measure, curvature

    def blocks(self) -> list[tuple[int, int]]:
        """Draw and first class of every block."""
        return [(draw, start) for draw, one in enumerate(self.prototypes) for start in range(0, len(one), _CLASS_BLOCK)]

    def of_block(self, draw: int, start: int) -> np.ndarray:
        """(Q, k) scores of a block."""
        block = self.prototypes[draw][start : start + _CLASS_BLOCK]
        # the class is the parent: "whose child is this crop?"
        return scores(self.crops, block, self.measure, "parents", curvature=self.curvature).cpu().numpy()


def judge(
    queries: Queries, given: PrototypeScores, weights: np.ndarray, processes: Processes
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """For each draw (Q,) bool right; (T, K) average precision; (R, T, K) the same with images drawn by `weights`."""
    every = np.concatenate([np.ones((1, weights.shape[1])), weights])
    blocks = given.blocks()
    found = map_shared(partial(_judge_block, queries, given, every), blocks, processes, f"zero-shot, {given.measure}")
    told, precision, resampled = [], [], []
    for draw in range(len(given.prototypes)):
        nearest, score, values = zip(
            *(part for (of, _), part in zip(blocks, found, strict=True) if of == draw), strict=True
        )
        # of equal scores the first
        best = np.argmax(score, axis=0)
        told.append(np.take_along_axis(np.stack(nearest), best[None], axis=0)[0] == queries.labels)
        both = np.concatenate(values, axis=2)
        precision.append(both[0])
        resampled.append(both[1:])
    return told, precision, resampled


def _judge_block(
    queries: Queries, given: PrototypeScores, weights: np.ndarray, block: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(Q,) nearest of the block's classes, (Q,) its score, (R, T, k) average precision."""
    draw, start = block
    matrix = given.of_block(draw, start)
    nearest = matrix.argmax(1)
    score = matrix[np.arange(len(matrix)), nearest]
    return start + nearest, score, average_precisions(queries, matrix, weights, start)


def average_precisions(queries: Queries, matrix: np.ndarray, weights: np.ndarray, first: int = 0) -> np.ndarray:
    """(Q, k) scores for the classes from `first` on -> (R, T, k) average precision."""
    columns = []
    for column in range(matrix.shape[1]):
        found = class_detections(
            queries.overlaps, matrix[:, column], first + column, queries.class_settled(first + column)
        )
        columns.append(resampled_average_precision(found, weights))
    return np.stack(columns, axis=2)
