"""Does a box's own scene come back among all scenes? Recall@1, recall@5 and the median rank.

The figure that category-level training trades away: parent -> child and child -> parent reward any scene of the right
kind, this one only the very scene the box was cut from.
"""

from collections.abc import Sequence

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.bootstrap import median_interval
from hf_hyperbolic.evaluation.figures import Figure, figure
from hf_hyperbolic.evaluation.nodes import NodeScorer, active_boxes, scenes
from hf_hyperbolic.evaluation.processes import ALONE, Processes, map_tiles
from hf_hyperbolic.evaluation.ranking import refuse_nan
from hf_hyperbolic.evaluation.threads import cache_blocks, spread

KS: tuple[int, ...] = (1, 5)


def own_scene_ranks(hierarchy: Hierarchy, scorer: NodeScorer, processes: Processes = ALONE) -> np.ndarray:
    """Rank of each box's own scene among the scenes, ties to the lower scene.

    Args:
        hierarchy: the split.
        scorer: scores scenes for boxes, direction `"parents"`.
        processes: that share the boxes; each gets the ranks of all.

    Returns:
        (Q,) int64 in [1, I], in the order of the boxes that take part.
    """
    queries, gallery = active_boxes(hierarchy), scenes(hierarchy)
    own = torch.from_numpy(hierarchy.node_image[queries].astype(np.int64))

    def of_tile(rows: slice) -> np.ndarray:
        tile = scorer(queries[rows], gallery, "parents")
        refuse_nan(tile)
        columns = own[rows].to(tile.device)[:, None]

        def of_block(block: slice) -> np.ndarray:
            scores, column = tile[block], columns[block]
            wanted = scores.gather(1, column)
            before = torch.arange(len(gallery), device=scores.device) < column
            ahead = (scores > wanted) | ((scores == wanted) & before)
            return 1 + ahead.sum(1).cpu().numpy()

        return np.concatenate(spread(of_block, cache_blocks(tile)))

    ranks = map_tiles(of_tile, len(queries), len(gallery), processes, "own scene")
    return np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64)


def per_query(ranks: np.ndarray, ks: Sequence[int] = KS) -> dict[str, np.ndarray]:
    """`recall@k` of each query, (Q,) float64 of 0 and 1."""
    return {f"recall@{k}": (ranks <= k).astype(np.float64) for k in ks}


def chance_and_ceiling(num_images: int, ks: Sequence[int] = KS) -> tuple[dict[str, float], dict[str, float]]:
    """A random ranking finds the one relevant scene in the top k with probability k / I; the best always does."""
    return {f"recall@{k}": min(1.0, k / num_images) for k in ks}, {f"recall@{k}": 1.0 for k in ks}


def median_rank(ranks: np.ndarray, num_images: int) -> Figure:
    """Median rank with the interval of its order statistics; chance is (I + 1) / 2, the best is 1. Lower is better."""
    low, high = median_interval(ranks)
    return figure(float(np.median(ranks)), low, high, (num_images + 1) / 2, 1.0)
