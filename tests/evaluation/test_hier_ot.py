"""The metric against POT and its own functions; how it is found by name, path and Hub is in test_hier_ot_loading."""

import ast
import doctest
import json
import sys
from pathlib import Path

import evaluate
import numpy as np
import ot
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.evaluation import bootstrap
from hf_hyperbolic.evaluation.hier_ot import hier_ot as module
from hf_hyperbolic.evaluation.hier_ot.hier_ot import HierOt
from hf_hyperbolic.evaluation.hier_ot.tests import test_cases as hub_cases
from hf_hyperbolic.metric_names import register_metric

FOLDER = Path(module.__file__).parent
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", autouse=True)
def own_caches(tmp_path_factory):
    """evaluate's copies of modules and inputs stay out of the user's cache."""
    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", str(folder / "modules"))
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", str(folder / "metrics"))
        yield


@pytest.fixture(scope="module")
def metric(own_caches) -> HierOt:
    return HierOt(keep_in_memory=True)


def counts(rng: np.random.Generator, rows: int, classes: int) -> np.ndarray:
    table = rng.integers(0, 5, (rows, classes)) * (rng.random((rows, classes)) < 0.6)
    table[np.arange(rows), rng.integers(0, classes, rows)] += 1
    return table


def programmes(p: np.ndarray, q: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """POT's answer, row by row, on the whole problem."""
    cost = np.ascontiguousarray(cost, dtype=np.float64)
    return np.array([ot.emd2(a / a.sum(), b / b.sum(), cost) for a, b in zip(p, q, strict=True)])


def path_cost(parent: list[int], length: np.ndarray) -> np.ndarray:
    """Path lengths between all nodes, by walking up from both."""

    def ancestors(node: int) -> dict[int, float]:
        found, above = {node: 0.0}, 0.0
        while parent[node] >= 0:
            above, node = above + length[node], parent[node]
            found[node] = above
        return found

    lines = [ancestors(node) for node in range(len(parent))]
    return np.array([[min(a[n] + b[n] for n in a.keys() & b.keys()) for b in lines] for a in lines])


def random_parents(rng: np.random.Generator, nodes: int) -> list[int]:
    number = rng.permutation(nodes)
    parent = [-1] * nodes
    for place in range(1, nodes):
        parent[number[place]] = int(number[rng.integers(0, place)])
    return parent


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 12))
def test_the_index_ground_equals_pot(metric, seed, classes):
    rng = np.random.default_rng(seed)
    p, q = counts(rng, 4, classes), counts(rng, 4, classes)
    axis = np.arange(classes, dtype=np.float64)
    expected = [ot.emd2_1d(axis, axis, a / a.sum(), b / b.sum(), metric="euclidean") for a, b in zip(p, q, strict=True)]
    found = metric.compute(predictions=p, references=q, per_query=True)
    np.testing.assert_allclose(found["per_query"], expected, rtol=0, atol=1e-9)
    assert found["hier_ot"] == pytest.approx(np.mean(expected), abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 8), st.integers(0, 5), st.booleans())
def test_the_tree_ground_equals_pot_on_path_lengths(metric, seed, classes, inner, by_name):
    rng = np.random.default_rng(seed)
    p, q = counts(rng, 3, classes), counts(rng, 3, classes)
    parent, length = random_parents(rng, classes + inner), rng.random(classes + inner)
    options = {"parents": parent, "edge_lengths": length}
    if by_name:
        names = [f"n{node}" for node in range(classes + inner)]
        shuffled = rng.permutation(classes + inner).tolist()
        options = {
            "parents": {names[node]: names[parent[node]] if parent[node] >= 0 else None for node in shuffled},
            "edge_lengths": dict(zip(names, length, strict=True)),
            "class_names": names[:classes],
        }
    found = metric.compute(predictions=p, references=q, ground="tree", per_query=True, **options)["per_query"]
    expected = programmes(p, q, path_cost(parent, length)[:classes, :classes])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 9), st.sampled_from(["any", "points", "asymmetric metric"]))
def test_a_cost_matrix_equals_pot(metric, seed, classes, kind):
    rng = np.random.default_rng(seed)
    # enough rows for the check for a metric to pay off, so that shared mass is left out
    p, q = counts(rng, 30, classes), counts(rng, 30, classes)
    q[:3] = p[:3]
    cost = rng.random((classes, classes)) * 10
    if kind != "any":
        points = rng.random((classes, 2))
        cost = np.linalg.norm(points[:, None] - points, axis=-1)
    if kind == "asymmetric metric":
        height = rng.random(classes)
        cost = cost + np.maximum(height[None] - height[:, None], 0)
    found = metric.compute(predictions=p, references=q, ground=cost.tolist(), per_query=True)["per_query"]
    np.testing.assert_allclose(found, programmes(p, q, cost), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.sampled_from(["index", "tree", "cost"]))
def test_it_is_a_metric_on_distributions(metric, seed, ground):
    rng = np.random.default_rng(seed)
    p, q, r = (counts(rng, 5, 6) for _ in range(3))
    parent = random_parents(rng, 6)
    options = {
        "index": {},
        "tree": {"ground": "tree", "parents": parent},
        "cost": {"ground": path_cost(parent, np.ones(6))},
    }[ground] | {"resamples": 1}

    def distance(a, b):
        return np.array(metric.compute(predictions=a, references=b, per_query=True, **options)["per_query"])

    np.testing.assert_allclose(distance(p, q), distance(q, p), atol=1e-12)
    np.testing.assert_allclose(distance(p, 3 * p), 0, atol=1e-12)
    assert (distance(p, r) <= distance(p, q) + distance(q, r) + 1e-12).all()
    different = np.abs(p / p.sum(1, keepdims=True) - q / q.sum(1, keepdims=True)).sum(1) > 1e-9
    assert (distance(p, q)[different] > 1e-12).all()


def test_masses_of_any_size(metric):
    found = metric.compute(
        predictions=[[1e308, 1e308, 0], [5e-324, 0, 0], [1e-300, 1e300, 0]],
        references=[[0, 7, 7], [0, 0, 1e308], [0, 1, 0]],
        per_query=True,
    )
    assert found["per_query"] == [1.0, 2.0, 0.0]


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 50), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_interval_is_that_of_the_evaluation(metric, seed, queries, confidence):
    rng = np.random.default_rng(seed)
    p, q = counts(rng, queries, 5), counts(rng, queries, 5)
    found = metric.compute(
        predictions=p, references=q, per_query=True, confidence=confidence, resamples=200, seed=seed % 97
    )
    low, high = bootstrap.bootstrap_interval(np.array(found["per_query"]), confidence, 200, seed % 97)
    assert (found["low"], found["high"]) == pytest.approx((float(low), float(high)), abs=1e-12)
    assert json.loads(json.dumps(found)) == found


def test_added_one_by_one_in_batches_and_at_once(metric):
    rng = np.random.default_rng(0)
    p, q = counts(rng, 7, 4), counts(rng, 7, 4)
    at_once = metric.compute(predictions=p, references=q, per_query=True)
    metric.add(prediction=p[0].tolist(), reference=q[0])
    metric.add_batch(predictions=p[1:3].tolist(), references=torch.tensor(q[1:3]))
    metric.add_batch(predictions=[], references=[])
    metric.add_batch(predictions=tuple(map(tuple, p[3:5])), references=[torch.tensor(row) for row in q[3:5]])
    assert metric.compute(predictions=p[5:].astype(np.float32), references=q[5:], per_query=True) == at_once
    # nothing is left over, and another number of classes may come
    assert metric.compute(predictions=[[1, 0]], references=[[0, 1]])["hier_ot"] == 1


BAD_HISTOGRAMS = [
    ([[1, 2], [3, -0.5]], [[1, 1], [1, 1]], r"predictions\[1\] has negative mass -0.5 at class 1"),
    ([[1, 2], [3, 1]], [[1, 1], [-np.inf, 1]], r"references\[1\] has negative mass -inf at class 0"),
    ([[1, np.nan], [3, 1]], [[1, 1], [1, 1]], r"predictions\[0\] holds nan at class 1"),
    ([[1, 1], [3, 1]], [[1, np.inf], [1, 1]], r"references\[0\] holds inf at class 1"),
    ([[1, 1], [0, 0]], [[1, 1], [1, 1]], r"predictions\[1\] has no mass: every class is 0"),
    ([[]], [[]], r"predictions\[0\] is empty"),
    ([[1, 1], []], [[1, 1], [1, 1]], r"predictions\[1\] has 0 classes, predictions\[0\] has 2"),
    ([[1, 1], [1, 1]], [[1, 1], [1, 1, 1]], r"references\[1\] has 3 classes, references\[0\] has 2"),
    ([[1, 1]], [[1, 1, 1]], "predictions have 2 classes, references 3"),
    ([[1, 1]], [[1, 1], [1, 1]], "1 predictions for 2 references"),
    ([[1, None]], [[1, 1]], r"predictions\[0\] must be a list of numbers, one a class, got \[1, None\]"),
    ([["a", "b"]], [[1, 1]], r"predictions\[0\] must be a list of numbers"),
    (["ab"], [[1, 1]], r"predictions\[0\] must be a list of numbers"),
    ([1, 2], [[1, 1]], r"predictions\[0\] must be a list of numbers, one a class, got 1"),
    ([[[1, 2]]], [[1, 1]], r"predictions\[0\] must be a list of numbers"),
    ("ab", [[1, 1]], "predictions must be a list of histograms, one a query, got str"),
    ([[1, 1]], None, "references must be a list of histograms, one a query, got NoneType"),
    (None, [[1, 1]], "predictions must be a list of histograms"),
    ([], [], "hier_ot has no histograms"),
]


@pytest.mark.parametrize(("predictions", "references", "message"), BAD_HISTOGRAMS)
def test_bad_histograms_are_named(metric, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references)
    assert len(metric) == 0


def test_rows_added_before_survive_a_bad_one(metric):
    metric.add(prediction=[1, 0], reference=[0, 1])
    with pytest.raises(ValueError, match=r"reference \(query 1\) has no mass"):
        metric.add(prediction=[1, 0], reference=[0, 0])
    with pytest.raises(ValueError, match=r"predictions\[1\] \(query 2\) holds nan at class 0"):
        metric.add_batch(predictions=[[1, 0], [np.nan, 1]], references=[[1, 0], [1, 0]])
    with pytest.raises(ValueError, match="histograms have 3 classes, those added before 2"):
        metric.add_batch(predictions=[[1, 0, 0]], references=[[1, 0, 0]])
    with pytest.raises(ValueError, match=r"shape \(3, 3\), expected \(2, 2\)"):
        metric.compute(ground=np.ones((3, 3)))
    with pytest.raises(ValueError, match="Bad inputs"):
        metric.add_batch(predictions=[[1, 0]], references=[[1, 0]], weights=[1])
    assert metric.compute() == {"hier_ot": 1.0, "low": 1.0, "high": 1.0}
    with pytest.raises(ValueError, match="hier_ot has no histograms"):
        metric.compute()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ground": "alphabet"}, "ground must be 'index', 'tree' or a"),
        ({"ground": None}, "ground must be 'index', 'tree' or a"),
        ({"ground": [[0, 1, 2], [1, 0]]}, "ground must be 'index', 'tree' or a"),
        ({"ground": np.zeros((2, 3))}, r"shape \(2, 3\), expected \(3, 3\)"),
        ({"ground": [[0, 1, 1], [1, 0, -1], [1, 1, 0]]}, r"cost matrix holds -1.0 at \(1, 2\)"),
        ({"ground": [[0, 1, 1], [np.nan, 0, 1], [1, 1, 0]]}, r"cost matrix holds nan at \(1, 0\)"),
        ({"parents": [-1, 0, 0]}, "parents is of ground=\"tree\", got ground='index'"),
        ({"ground": "tree"}, 'ground="tree" needs parents'),
        ({"ground": "tree", "parents": [-1, 0]}, "parents has 2 nodes for histograms of 3 classes"),
        ({"ground": "tree", "parents": [-1, 0, 0], "class_names": ["a"]}, "class_names has 1 names for .* 3 classes"),
        ({"ground": "tree", "parents": {"a": None}}, "class_names must give the name of each class"),
        ({"ground": "tree", "parents": "none.json", "class_names": ["a", "b", "c"]}, "none.json: no such file"),
        ({"confidence": 95}, r"confidence must lie in \(0, 1\), got 95"),
        ({"resamples": 0}, "resamples must be a whole number of at least 1, got 0"),
        ({"resamples": 10.5}, r"resamples must be a whole number of at least 1, got 10\.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_options_that_do_not_fit(metric, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        metric.compute(predictions=[[1, 0, 0]], references=[[0, 1, 0]], **options)
    assert len(metric) == 0
    metric.add_batch(predictions=[[1, 0, 0]], references=[[0, 1, 0]])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        metric.compute(**options)
    assert len(metric) == 1, "what was added is still there"
    metric.compute()


@pytest.mark.parametrize("case", hub_cases)
def test_cases_of_the_hub(metric, case):
    options = json.loads(json.dumps(case["options"]))
    found = metric.compute(predictions=case["predictions"], references=case["references"], **options)
    assert found == pytest.approx(case["result"])


def test_doctests():
    register_metric()
    for name, text in (("docstring", HierOt.__doc__), ("card", (FOLDER / "README.md").read_text())):
        # a closing fence would be read as output
        example = doctest.DocTestParser().get_doctest(text.replace("```", ""), {"evaluate": evaluate}, name, name, 0)
        results = doctest.DocTestRunner().run(example)
        assert results.failed == 0
        assert results.attempted >= 5


def test_layout_of_the_hub():
    names = {"hier_ot.py", "class_tree.py", "wasserstein.py", "app.py", "tests.py", "requirements.txt", "README.md"}
    assert names <= {path.name for path in FOLDER.iterdir()}
    head = yaml.safe_load((FOLDER / "README.md").read_text().split("---\n")[1])
    assert (head["title"], head["sdk"], head["app_file"]) == ("hier_ot", "gradio", "app.py")
    assert head["tags"] == ["evaluate", "metric"]
    allowed = {line.split(">")[0] for line in (FOLDER / "requirements.txt").read_text().split()}
    allowed = {name.replace("pot", "ot") for name in allowed} | {"gradio", "tests"}  # the Space brings gradio
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(str(node.module))
            for name in names:
                top = name.partition(".")[0]
                assert top in allowed or top in sys.stdlib_module_names, (path.name, name)


def test_evaluates_scanner_finds_every_file(metric):
    found = evaluate.loading.get_imports(str(FOLDER / "hier_ot.py"))
    assert {name for kind, name, *_ in found if kind == "internal"} == {"class_tree", "wasserstein"}
    assert {"datasets", "evaluate", "numpy"} <= {name for kind, name, *_ in found if kind == "library"}
    assert not [where for kind, name, where, _ in found if where != name]
