"""What the interactive Poincare disk shows, in plain values: a sample of the index, and an answer in it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from answers import Answer

from hf_hyperbolic.lorentz import exp_map0, log_map0
from hf_hyperbolic.report.poincare import DirectionFrame, direction_frame, disk_positions, embedding_radii
from hf_hyperbolic.retrieval import Index
from hf_hyperbolic.retrieval.index_results import Found

MOST_POINTS = 1200
_RINGS = 4


@dataclass(frozen=True)
class Disk:
    """The picture of an index: every point at its true distance from the origin, directions along two fixed axes.

    Attributes:
        index: of a hyperbolic model.
        frame: the axes.
        cloud: what is drawn of the index: `points`, a row each of x, y, level, row; `rings`, of distance and radius.
    """

    index: Index
    frame: DirectionFrame
    cloud: dict[str, Any]

    @classmethod
    def of(cls, index: Index, seed: int = 0) -> "Disk":
        """At most `MOST_POINTS` items, drawn evenly over the levels as far as these go."""
        assert index.curvature is not None
        levels = np.concatenate([table["level"].to_numpy() for table in index.tables()])
        rows = sample_by_level(levels, MOST_POINTS, seed)
        embeddings = index.embeddings(rows)
        frame = direction_frame(embeddings)
        places = disk_positions(embeddings, index.curvature, frame)
        points = [
            [round(float(x), 4), round(float(y), 4), int(levels[row]), int(row)]
            for (x, y), row in zip(places, rows, strict=True)
        ]
        largest = float(embedding_radii(embeddings, index.curvature).max())
        root = index.curvature**0.5
        distances = [largest * step / _RINGS for step in range(1, _RINGS + 1)]
        rings = [[f"{distance:.1f}", round(float(np.tanh(root * distance / 2)), 4)] for distance in distances]
        return cls(index, frame, {"points": points, "rings": rings})

    def answer(self, answer: Answer) -> dict[str, Any]:
        """`query` at x, y; `results`, `similar` and `path` with place and name of each item; `way`, the geodesic."""
        query = self._places(answer.embedding[None])[0]
        tangent = log_map0(torch.from_numpy(answer.embedding), self.index.curvature or 1.0)
        shares = torch.linspace(1, 0, 25)[:-1, None]
        way = self._places(exp_map0(shares * tangent, self.index.curvature or 1.0).numpy())
        return {
            "query": query,
            "row": answer.row,
            "results": self._items(list(answer.hierarchy)),
            "similar": self._items(list(answer.similarity)),
            "path": self._items(list(answer.path or [])),
            # its direction is one and the same all the way; the last point is the origin
            "way": [*way, [0.0, 0.0]],
        }

    def _items(self, found: list[Found]) -> list[dict[str, Any]]:
        places = self._places(self.index.embeddings([item.row for item in found])) if found else []
        return [
            {"x": x, "y": y, "row": item.row, "name": item.name, "level": item.level}
            for (x, y), item in zip(places, found, strict=True)
        ]

    def _places(self, embeddings: np.ndarray) -> list[list[float]]:
        places = disk_positions(embeddings, self.index.curvature or 1.0, self.frame)
        return [[round(float(x), 4), round(float(y), 4)] for x, y in places]


def sample_by_level(levels: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """(m,) sorted rows, at most `most`: levels with few items keep them all, the others share what remains alike."""
    rng = np.random.default_rng(seed)
    by_level = sorted((rng.permutation(np.flatnonzero(levels == level)) for level in np.unique(levels)), key=len)
    chosen: list[np.ndarray] = []
    left = most
    for place, rows in enumerate(by_level):
        chosen.append(rows[: left // (len(by_level) - place)])
        left -= len(chosen[-1])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
