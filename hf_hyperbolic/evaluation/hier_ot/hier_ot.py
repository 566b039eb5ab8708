"""`hier_ot`: optimal transport distance between the labels retrieved and the labels wanted, as an `evaluate` metric.

`evaluate` copies this file and those it imports relatively to a folder of its own, and reads the imports line by line:
every file needed stands in an import here, and no import has a comment behind it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from .class_tree import ClassTree, tree_from_parents
from .wasserstein import Ground, check_cost, label_distance

_DESCRIPTION = """
Distance between two label distributions of a query, typically those of the items retrieved and of the items wanted: the
least cost of moving the mass of one onto the other (optimal transport, Wasserstein-1), where moving mass from class to
class costs what the ground says. The mean over queries, with a bootstrap interval.
"""

_INPUTS = """
Args:
    predictions: (Q, C) histograms of labels, one a query: counts or masses, at least 0; each is normalised to 1.
    references: (Q, C) histograms likewise.
    ground: cost of moving mass from one class to another.
        "index" (default): distance between the numbers of the classes.
        "tree": length of the path between two classes in the tree that `parents` gives.
        a (C, C) matrix: entry (i, j) moves mass from class i of a prediction to class j of its reference.
    parents: of ground "tree". The parent of each node (-1 at the root, the first C nodes being the classes); or a map
        from each name to its parent's (None or no entry at the root); or the path of Open Images' class hierarchy.
    class_names: (C,) names of the classes as in `parents`, in the order of the histograms, where parents go by name.
    edge_lengths: of ground "tree", from each node to its parent: a list or a map, as `parents` is. 1 by default.
    per_query: also return the distance of every query.
    confidence: coverage of the interval, in (0, 1).
    resamples: bootstrap samples of queries behind the interval.
    seed: of the bootstrap.
Returns:
    hier_ot: mean distance over queries, at least 0, in units of the ground; 0 where all distributions are equal.
    low, high: percentile bootstrap interval of the mean over queries.
    per_query: list of Q distances, if asked for.
Examples:
    >>> hier_ot = evaluate.load("hier_ot")
    >>> retrieved, wanted = [[4, 0, 0], [1, 1, 0]], [[0, 0, 2], [1, 1, 0]]
    >>> hier_ot.compute(predictions=retrieved, references=wanted, per_query=True)
    {'hier_ot': 1.0, 'low': 0.0, 'high': 2.0, 'per_query': [2.0, 0.0]}
    >>> animals = {"cat": "pet", "dog": "pet", "pet": "animal", "cow": "animal"}
    >>> results = hier_ot.compute(
    ...     predictions=retrieved, references=wanted, ground="tree", parents=animals, class_names=["cat", "dog", "cow"]
    ... )
    >>> results["hier_ot"]
    1.5
    >>> hier_ot.compute(predictions=retrieved, references=wanted, ground=[[0, 1, 5], [1, 0, 5], [5, 5, 0]])["hier_ot"]
    2.5
"""

_CITATION = """
@inproceedings{wang2025learning,
  title={Learning Visual Hierarchies in Hyperbolic Space for Image Retrieval},
  author={Wang, Ziwei and Ramasinghe, Sameera and Xu, Chenchen and Monteil, Julien and Bazzani, Loris and
    Ajanthan, Thalaiyasingam},
  booktitle={International Conference on Computer Vision},
  year={2025}
}
"""


# in this package's own type check `evaluate` is the script training/evaluate.py
class HierOt(evaluate.Metric):  # type: ignore[name-defined]
    __doc__ = _DESCRIPTION + _INPUTS
    _classes: int | None = None

    def _info(self) -> Any:
        histogram = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(  # type: ignore[attr-defined]
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": histogram, "references": histogram}),
            reference_urls=["https://arxiv.org/abs/2411.17490"],
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Add the histograms of some queries, all of them or none.

        Raises:
            ValueError: a histogram is empty, without mass, negative, not finite, or of another length than the others.
        """
        p, q = self._checked(predictions, references, "predictions[{}]", "references[{}]")
        # datasets writes lists several times as fast as rows of an array
        super().add_batch(predictions=p.tolist(), references=q.tolist(), **kwargs)
        self._classes = p.shape[1] if len(p) else self._classes

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Add the histograms of one query.

        Raises:
            ValueError: as `add_batch`.
        """
        p, q = self._checked([prediction], [reference], "prediction", "reference")
        super().add(prediction=p[0], reference=q[0], **kwargs)
        self._classes = p.shape[1]

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        ground: str | Sequence[Sequence[float]] | np.ndarray = "index",
        parents: Any = None,
        class_names: Sequence[str] | None = None,
        edge_lengths: Mapping[str, float] | Sequence[float] | np.ndarray | None = None,
        per_query: bool = False,
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> dict[str, Any] | None:
        """Compute the metric of what was added and of the histograms given here.

        Options are checked before anything is read, so that after an error what was added is still there.

        Raises:
            ValueError: a histogram or an option makes no sense, or there are no histograms.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
        for name, value, least in (("resamples", resamples, 1), ("seed", seed, 0)):
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        classes, rows = (self._classes, len(self)) if len(self) else (None, 0)
        if predictions is not None or references is not None:
            predictions, references = self._checked(predictions, references, "predictions[{}]", "references[{}]")
            classes, rows = predictions.shape[1] or classes, rows + len(predictions)
        if not rows and self.num_process == 1:
            raise ValueError("hier_ot has no histograms: give predictions and references, or add some first")
        if classes:
            resolve_ground(ground, parents, class_names, edge_lengths, classes)
        return super().compute(
            predictions=predictions,
            references=references,
            ground=ground,
            parents=parents,
            class_names=class_names,
            edge_lengths=edge_lengths,
            per_query=per_query,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )

    def _compute(
        self,
        *,
        predictions: list[list[float]],
        references: list[list[float]],
        ground: Any,
        parents: Any,
        class_names: Any,
        edge_lengths: Any,
        per_query: bool,
        confidence: float,
        resamples: int,
        seed: int,
    ) -> dict[str, Any]:
        lengths = sorted({len(row) for row in predictions})
        if len(lengths) != 1:
            counts = " and ".join(map(str, lengths))
            raise ValueError(f"processes added histograms of {counts} classes" if lengths else "no process added any")
        p, q = normalise(np.array(predictions)), normalise(np.array(references))
        distances = label_distance(p, q, resolve_ground(ground, parents, class_names, edge_lengths, lengths[0]))
        low, high = bootstrap_interval(distances, confidence, resamples, seed)
        results: dict[str, Any] = {"hier_ot": float(distances.mean()), "low": low, "high": high}
        return results | {"per_query": distances.tolist()} if per_query else results

    def _checked(self, predictions: Any, references: Any, p_name: str, q_name: str) -> tuple[np.ndarray, np.ndarray]:
        """Both as (n, C) float64; names have a place for the row within what is added."""
        added = len(self)
        p, q = histograms(predictions, p_name, added), histograms(references, q_name, added)
        if len(p) != len(q):
            raise ValueError(f"{len(p)} predictions for {len(q)} references: one of each a query")
        if p.shape[1] != q.shape[1]:
            raise ValueError(f"predictions have {p.shape[1]} classes, references {q.shape[1]}")
        if added and len(p) and p.shape[1] != self._classes:
            raise ValueError(f"histograms have {p.shape[1]} classes, those added before {self._classes}")
        return p, q


def histograms(rows: Any, name: str, added: int = 0) -> np.ndarray:
    """Checked histograms.

    Args:
        rows: n lists, arrays or tensors of numbers.
        name: of a row in messages, with a place for its number.
        added: queries before these.

    Returns:
        (n, C) float64, finite, at least 0, each with some mass; (0, 0) when there are none.

    Raises:
        ValueError: they are not; the message names the first row that is wrong.
    """
    argument = name.partition("[")[0]
    if rows is None or isinstance(rows, (str, bytes, Mapping)) or not hasattr(rows, "__len__"):
        raise ValueError(f"{argument} must be a list of histograms, one a query, got {type(rows).__name__}")
    if not len(rows):
        return np.zeros((0, 0))

    def place(row: int) -> str:
        return name.format(row) + (f" (query {added + row})" if added or "{" not in name else "")

    table = _numbers(rows)
    if table is None or table.ndim != 2:
        first = 0
        for number, row in enumerate(rows):
            found = None if isinstance(row, (str, bytes)) else _numbers(row)
            if found is None or found.ndim != 1:
                raise ValueError(f"{place(number)} must be a list of numbers, one a class, got {row!r:.60}")
            first = first or len(found)
            if len(found) != first:
                raise ValueError(f"{place(number)} has {len(found)} classes, {place(0)} has {first}")
        table = np.array([_numbers(row) for row in rows])
    if not table.shape[1]:
        raise ValueError(f"{place(0)} is empty: a histogram has at least one class")
    table = table.astype(np.float64, copy=False)
    wrong = ~(np.isfinite(table) & (table >= 0)).all(axis=1) | ~table.any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        bad = np.flatnonzero(~(np.isfinite(table[row]) & (table[row] >= 0)))
        if not len(bad):
            raise ValueError(f"{place(row)} has no mass: every class is 0")
        kind = "has negative mass" if table[row, bad[0]] < 0 else "holds"
        raise ValueError(f"{place(row)} {kind} {table[row, bad[0]]} at class {bad[0]}")
    return table


def _numbers(rows: Any) -> np.ndarray | None:
    """As an array, or None where that is no array of numbers."""
    try:
        found = np.asarray(rows)
    except (ValueError, TypeError, RuntimeError):
        return None
    return found if found.dtype.kind in "biuf" else None


def normalise(rows: np.ndarray) -> np.ndarray:
    """(n, C) rows that sum to 1; by the greatest entry first, so that no sum overflows."""
    rows = rows / rows.max(axis=1, keepdims=True)
    return rows / rows.sum(axis=1, keepdims=True)


def resolve_ground(ground: Any, parents: Any, class_names: Any, edge_lengths: Any, classes: int) -> Ground:
    """What `label_distance` takes, from the options of `compute`.

    Raises:
        FileNotFoundError: there is no such hierarchy file.
        ValueError: unknown name, options that do not fit the ground, or a ground that does not fit the classes.
    """
    if not (isinstance(ground, str) and ground == "tree"):
        for name, value in (("parents", parents), ("class_names", class_names), ("edge_lengths", edge_lengths)):
            if value is not None:
                raise ValueError(f'{name} is of ground="tree", got ground={ground!r:.40}')
    if isinstance(ground, str):
        if ground == "index":
            return "index"
        if ground != "tree":
            raise ValueError(f"ground must be 'index', 'tree' or a (C, C) cost matrix, got {ground!r}")
        return _tree(parents, class_names, edge_lengths, classes)
    matrix = _numbers(ground)
    if matrix is None:
        raise ValueError(f"ground must be 'index', 'tree' or a (C, C) cost matrix, got {ground!r:.60}")
    return check_cost(matrix, classes)


def _tree(parents: Any, class_names: Any, edge_lengths: Any, classes: int) -> ClassTree:
    if parents is None:
        raise ValueError(
            'ground="tree" needs parents: the parent of each node, a map from names to names with class_names, or the '
            "path of a class hierarchy of Open Images with class_names"
        )
    if class_names is not None and len(class_names) != classes:
        raise ValueError(f"class_names has {len(class_names)} names for histograms of {classes} classes")
    tree = tree_from_parents(parents, class_names, edge_lengths)
    if len(tree.parent) < classes:
        where = f"{os.fspath(parents)} has" if isinstance(parents, (str, os.PathLike)) else "parents has"
        raise ValueError(
            f"{where} {len(tree.parent)} nodes for histograms of {classes} classes: the first are the classes"
        )
    return tree


def bootstrap_interval(values: np.ndarray, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron & Tibshirani 1993, chapter 13) of (Q,) values."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
