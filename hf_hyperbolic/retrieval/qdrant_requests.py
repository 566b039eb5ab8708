"""What a Qdrant collection of embeddings holds and what it is asked, as plain JSON of Qdrant's REST interface.

A point is stored in the hemisphere model: `[k, sqrt(1 - |k|^2)]` with `k` the Klein coordinates, a unit vector of D + 1
numbers whose last one is `1 / cosh` of the radius. In this model hyperbolic balls are spherical caps and geodesic
half-spaces are cut off by planes, so the nearest points, those inside an entailment cone and those near the origin are
each found by one dot product with a suitable vector, in one HNSW graph (`candidates`). As all stored vectors are of
length one, none is out of the graph's reach, which small vectors are under a plain dot product.

The exact score is then a formula over `p = k . u`, the dot product with the unit direction u of the query, and over two
numbers kept with each point: `|k|^2` and the cosh of its radius, in float64. With a the radius of the query, b that of
the point (both times sqrt(c)) and the exterior angle at x being `atan2(sin, R)`, see `lorentz.exterior_angle`,
the engine ranks by the cotangent `R / sin` (which float32 holds near 0 and near pi, where it does not hold the cosine):

    apex the query:  cosh(a) (p - tanh a) / sqrt(|k|^2 - p^2)
    apex the point:  cosh(b) (p - |k|^2 coth a) / sqrt(|k|^2 - p^2)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hf_hyperbolic.lorentz import MIN_NORM
from hf_hyperbolic.pairwise_angle import MIN_PAIRWISE_SINE_SQUARED
from hf_hyperbolic.ranking_scores import apex_is_query
from hf_hyperbolic.retrieval.measures import AT_PARENT, SIMILARITY_SHARE

KLEIN_SQUARED = "klein_norm_squared"
COSH = "cosh_radius"
RESERVED = (KLEIN_SQUARED, COSH)

Json = dict[str, Any]
Value = str | int | bool
Where = Mapping[str, Value | Sequence[Value]]


class Placed(NamedTuple):
    """Embeddings in the hemisphere model.

    Attributes:
        directions: (N, D) float64 unit directions, zero at the origin.
        sinh: (N,) float64 `sqrt(c) |x|`, at least 1e-8.
        cosh: (N,) float64.
    """

    directions: np.ndarray
    sinh: np.ndarray
    cosh: np.ndarray

    @property
    def tanh(self) -> np.ndarray:
        return self.sinh / self.cosh

    def vectors(self) -> np.ndarray:
        """(N, D + 1) float32 unit vectors to store."""
        return np.concatenate([self.directions * self.tanh[:, None], 1 / self.cosh[:, None]], axis=1, dtype=np.float32)


def place(embeddings: np.ndarray, curvature: float) -> Placed:
    """Directions and radii of embeddings.

    Args:
        embeddings: (N, D) finite space components.
        curvature: c > 0 of the space of curvature -c; for Euclidean embeddings any scale, such as 1.
    """
    embeddings = embeddings.astype(np.float64)
    norms = np.maximum(np.linalg.norm(embeddings, axis=1), MIN_NORM)
    sinh = math.sqrt(curvature) * norms
    return Placed(embeddings / norms[:, None], sinh, np.hypot(1, sinh))


def candidates(placed: Placed, measure: str, direction: str) -> np.ndarray:
    """Vectors whose dot products with the stored ones find the candidates.

    `[u, 0]` prefers points far out in the direction of the query, `[k, 1]` is its hyperbolic ball (the one through the
    origin in the first place), `[-k, 1]` the ball opposite, `[0, 1]` prefers points near the origin and `[k, -m]`
    points far from it. Which of them serves a measure, and the factors where the geometry gives none, were found by
    measurement, see `docs/qdrant.md`.

    Returns:
        (Q, 1 or 2, D + 1) float32: candidates of several vectors are put together.
    """
    k, u = placed.directions * placed.tanh[:, None], placed.directions
    if measure == "alpha" and direction == "parents":
        # widest for parents near the origin, or on the other side of it where `where` leaves none near it
        choices = [(0 * k, 1.0), (-k, 1.0)]
    elif measure.endswith("alpha"):
        # widest for children far out in whatever direction, and Euclidean for parents near the origin
        choices = [(0 * k, 1.0) if direction == "parents" else (k, -50.0 if measure == "alpha" else -16.0)]
    elif measure == "cosine":
        choices = [(k, 0.05)]
    elif measure.endswith("combined"):
        # best in the angle or best in the similarity
        angle = measure.replace("combined", "beta")
        return np.concatenate([candidates(placed, each, direction) for each in (angle, "cosine")], axis=1)
    elif measure == "distance":
        choices = [(k, 1.0)]
    elif direction == "children":
        choices = [(u, 0.0) if measure == "beta" else (k, -0.1)]
    else:
        choices = [(k, 1.0) if measure == "beta" else (k, 0.5)]
    vectors = np.stack([_appended(space, last) for space, last in choices], axis=1)
    return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True).clip(MIN_NORM)).astype(np.float32)


def formula(measure: str, direction: str, sinh: float, cosh: float) -> Json:
    """What the engine computes from `p`, as an expression of a Formula Query; larger is better.

    Args:
        measure: one of `retrieval.MEASURES`.
        direction: one of `retrieval.DIRECTIONS`.
        sinh: `sqrt(c) |x|` of the query.
        cosh: of the radius of the query.
    """
    p, squared = "$score", KLEIN_SQUARED
    if measure == "cosine":
        return _divide(p, {"sqrt": squared})
    if measure == "distance":
        # 1 - cosh of the distance
        return {"sum": [1.0, {"mult": [COSH, {"sum": [-cosh, {"mult": [sinh, p]}]}]}]}
    across: Json = {"sum": [squared, {"neg": {"pow": {"base": p, "exponent": 2.0}}}]}
    # rounding may leave less than nothing
    sine_squared: Json = {"sum": [{"abs": across}, {"mult": [squared, MIN_PAIRWISE_SINE_SQUARED]}]}
    sine = {"sqrt": sine_squared}
    at_query = apex_is_query(measure, direction)
    if measure.startswith("euclidean"):
        along: Json = {"mult": [COSH, squared, -1 / sinh]} if not at_query else _divide(-sinh, COSH)
        numerator: Json = {"sum": [p, along]}
    elif at_query:
        numerator = {"mult": [cosh, {"sum": [p, -sinh / cosh]}]}
    else:
        numerator = {"mult": [COSH, {"sum": [p, {"mult": [squared, -cosh / sinh]}]}]}
    if measure.endswith("combined"):
        cosine = _divide(numerator, {"sqrt": {"sum": [{"pow": {"base": numerator, "exponent": 2.0}}, sine_squared]}})
        return {"sum": [cosine, {"mult": [SIMILARITY_SHARE, formula("cosine", direction, sinh, cosh)]}]}
    cotangent = _divide(numerator, sine)
    return cotangent if measure in AT_PARENT else {"neg": cotangent}


def to_scores(values: np.ndarray, measure: str, curvature: float) -> np.ndarray:
    """Scores in the units of `retrieval.scores` from what `formula` gave: radians, cosines, or minus a distance."""
    values = values.astype(np.float64)
    if measure == "cosine":
        result = values.clip(-1, 1)
    elif measure.endswith("combined"):
        result = values.clip(-1 - SIMILARITY_SHARE, 1 + SIMILARITY_SHARE)
    elif measure == "distance":
        result = -2 * np.arcsinh(np.sqrt(np.maximum(-values, 0) / 2)) / math.sqrt(curvature)
    else:
        result = math.pi / 2 + np.arctan(values)
    return result.astype(np.float32)


def requests(
    placed: Placed, k: int, measure: str, direction: str, where: Json | None, prefetch: int, exact: bool
) -> list[Json]:
    """One body of `POST /collections/{name}/points/query` a query.

    Candidates are fetched, scored again by `p` where the candidate vector is not u itself, and ranked by the formula.

    Args:
        placed: the queries.
        k: results a query.
        measure: one of `retrieval.MEASURES`.
        direction: one of `retrieval.DIRECTIONS`.
        where: what `condition` gives.
        prefetch: candidates of each vector, at least k; with `exact`, the number of points.
        exact: compare all points rather than ask the graph for candidates.
    """
    directions = _appended(placed.directions, 0.0).astype(np.float32)
    # all points are candidates by whatever vector
    sources = directions[:, None] if exact else candidates(placed, measure, direction)
    bodies = []
    for row, vectors in enumerate(sources):
        stages: list[Json] = []
        for vector in vectors:
            stage: Json = {"query": vector.tolist(), "limit": prefetch, "params": {"exact": exact}}
            stages.append(stage if where is None else {**stage, "filter": where})
        if not np.array_equal(vectors, directions[row : row + 1]):
            stages = [{"prefetch": stages, "query": directions[row].tolist(), "limit": len(stages) * prefetch}]
        expression = formula(measure, direction, float(placed.sinh[row]), float(placed.cosh[row]))
        bodies.append({"prefetch": stages, "query": {"formula": expression}, "limit": k, "with_payload": False})
    return bodies


def condition(where: Where | None, fields: Mapping[str, str]) -> Json | None:
    """The filter of a request: points whose fields equal the values, or are among them where a list is given.

    Args:
        where: such as `{"class": ["car", "bus"], "level": 0}`.
        fields: the filterable fields and their types, "keyword" or "integer".

    Raises:
        ValueError: for a field that cannot be filtered by, an empty list, or a value of another type.
    """
    if not where:
        return None
    must = []
    for name, wanted in where.items():
        if name not in fields:
            raise ValueError(f"cannot filter by {name!r}: the fields of this collection are {', '.join(fields)}")
        values = [wanted] if isinstance(wanted, str | int | np.integer) else list(wanted)
        if not values:
            raise ValueError(f"where[{name!r}] is empty: give the values to keep, or leave {name!r} out")
        kind = str if fields[name] == "keyword" else int
        values = [int(value) if isinstance(value, np.integer) else value for value in values]
        for value in values:
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"where[{name!r}] holds {value!r}: the field holds {fields[name]} values")
        must.append({"key": name, "match": {"any": values} if len(values) > 1 else {"value": values[0]}})
    return {"must": must}


def _appended(space: np.ndarray, last: float) -> np.ndarray:
    return np.concatenate([space, np.full((len(space), 1), last)], axis=1)


def _divide(left: Any, right: Any) -> Json:
    return {"div": {"left": left, "right": right}}
