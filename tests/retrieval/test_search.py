"""Exact search against brute force over pairs, in float64 by the elementwise geometry and at 50 digits by mpmath."""

import importlib
import math
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, scores, search
from hf_hyperbolic.retrieval import shortlist as shortlist_module
from hf_hyperbolic.retrieval.exact import Scoring, pair_scores, tile_scores
from hf_hyperbolic.retrieval.keys import key_of
from hf_hyperbolic.retrieval.matmul_precision import full_float32

CURVATURE = 0.8
CASES = [(measure, direction) for measure in MEASURES for direction in DIRECTIONS]


def brute_force(queries, gallery, k, measure, direction):
    """All pairs in float64 through the elementwise geometry, rounded to float32, sorted; none of it is the search's."""
    x, y = queries.double()[:, None], gallery.double()[None]
    if measure == "cosine":
        found = torch.nn.functional.cosine_similarity(x, y, dim=-1)
    elif measure == "distance":
        found = -lorentz.distance(x, y, CURVATURE)
    else:
        geometry = euclidean if measure.startswith("euclidean") else lorentz
        parent, child = (x, y) if direction == "children" else (y, x)
        if measure.endswith("alpha"):
            found = geometry.exterior_angle(child, parent, CURVATURE)
        elif measure.endswith("combined"):
            cosine = torch.nn.functional.cosine_similarity(x, y, dim=-1)
            found = geometry.exterior_angle(parent, child, CURVATURE).cos() + 2 * cosine
        else:
            found = math.pi - geometry.exterior_angle(parent, child, CURVATURE)
    ordered = found.expand(len(queries), len(gallery)).float().sort(dim=1, descending=True, stable=True)
    return ordered.values[:, :k], ordered.indices[:, :k]


def points(count, dimension=16, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lorentz.exp_map0(torch.randn(count, dimension, generator=generator) * spread, CURVATURE)


def at(direction, radius):
    """(n, D) directions and (n,) dimensionless radii -> float32 points."""
    unit = torch.nn.functional.normalize(direction.double(), dim=1)
    return (unit * radius.double().sinh()[:, None] / math.sqrt(CURVATURE)).float()


def adversarial(kind):
    """Queries and a gallery made to be hard for float32: nearly everything ties with nearly everything."""
    generator = torch.Generator().manual_seed(1)
    queries = points(6, seed=2)
    near = queries[torch.randint(6, (400,), generator=generator)].double()
    noise = torch.randn(400, 16, generator=generator, dtype=torch.float64)
    radii = 0.05 + 3 * torch.rand(400, generator=generator)
    if kind == "duplicates":
        return queries, points(40, seed=3)[torch.randint(40, (400,), generator=generator)]
    if kind == "collinear":
        return queries, at(near, radii)
    if kind == "nearly collinear":
        return queries, at(near / near.norm(dim=1, keepdim=True) + 10 ** (-7 * radii[:, None] / 3) * noise / 4, radii)
    if kind == "near the origin":
        return queries, (noise * 10 ** (-8 * radii[:, None] / 3)).float()
    if kind == "radius 10":
        return at(queries, torch.full((6,), 10.0)), at(near / near.norm(dim=1, keepdim=True) + 1e-3 * noise, 8 + radii)
    if kind == "powers of two":
        return queries, (near * 2.0 ** torch.randint(-3, 4, (400, 1), generator=generator)).float()
    if kind == "antipodal":
        return queries, at(-near + 1e-4 * noise, radii)
    assert kind == "one cluster"
    return queries, (near[:1] + 1e-6 * noise).float()


ADVERSARIES = (
    "duplicates",
    "collinear",
    "nearly collinear",
    "near the origin",
    "radius 10",
    "powers of two",
    "antipodal",
    "one cluster",
)


def assert_same(found, expected):
    assert torch.equal(found.scores, expected[0])
    assert torch.equal(found.indices, expected[1])


@pytest.mark.parametrize(("measure", "direction"), CASES)
def test_equals_brute_force_whatever_the_tile(measure, direction):
    queries, gallery = points(9), points(1500, seed=1)
    gallery[1000:1050] = gallery[:50]
    for k in (1, 17, 90, 200, 1500, 4000):
        expected = brute_force(queries, gallery, k, measure, direction)
        for tile_rows in (None, 33, 256, 2000):
            assert_same(search(queries, gallery, k, measure, direction, CURVATURE, tile_rows=tile_rows), expected)


@pytest.mark.parametrize("kind", ADVERSARIES)
def test_adversarial_galleries_are_ranked_as_brute_force_ranks_them(kind, monkeypatch):
    """Through the shortlist and, with one little longer than k, through exact trimming and float64 products."""
    queries, gallery = adversarial(kind)
    original = shortlist_module.Shortlist.__init__

    def short(self, key, k, thresholds, score, patience):
        original(self, key, k, thresholds, score, patience if patience == math.inf else 60)
        self.limit = k + 5

    def patient(self, key, k, thresholds, score, patience):
        original(self, key, k, thresholds, score, torch.inf)
        self.limit = k + 5

    for measure, direction in CASES:
        expected = brute_force(queries, gallery, 20, measure, direction)
        for tile_rows in (None, 64, 101):
            assert_same(search(queries, gallery, 20, measure, direction, CURVATURE, tile_rows=tile_rows), expected)
        for other in (short, patient):
            with monkeypatch.context() as patch:
                patch.setattr(shortlist_module.Shortlist, "__init__", other)
                for tile_rows in (None, 64):
                    found = search(queries, gallery, 20, measure, direction, CURVATURE, tile_rows=tile_rows)
                    assert_same(found, expected)


def test_a_full_shortlist_is_trimmed_to_the_best_and_gives_up_without_patience():
    queries = points(2)
    key = key_of(queries, Scoring("beta", "children", CURVATURE))
    generator = torch.Generator().manual_seed(3)
    truth = (torch.rand(2, 6000, generator=generator) * 20).round() / 10
    rows = torch.arange(2).repeat_interleave(3000)

    def scored(rows, positions):
        return truth[rows, positions]

    for patience in (math.inf, 100):
        start = torch.full((2,), -1.0, dtype=torch.float64)
        shortlist = shortlist_module.Shortlist(key, 3, start, scored, patience)
        for tile in (0, 3000):
            positions = tile + torch.arange(3000).repeat(2)
            shortlist.add(rows, positions, torch.zeros(6000).double(), torch.ones(6000).double())
        positions, real = shortlist.items()
        if patience == 100:
            assert shortlist.crowded.all()
            assert not real.any()
        else:
            assert not shortlist.crowded.any()
            best = truth.sort(dim=1, descending=True, stable=True).indices[:, :3].sort(dim=1).values
            assert torch.equal(positions[real].view(2, 3), best)


def definition(query, item, measure, direction):
    """The score at 50 digits, by the printed formulas."""
    mp = mpmath.mp
    x, y = ([mpmath.mpf(value) for value in row.tolist()] for row in (query, item))
    norms = [mp.sqrt(mp.fdot(row, row)) for row in (x, y)]
    similarity = mp.fdot(x, y) / (norms[0] * norms[1])
    if measure == "cosine":
        return similarity
    c = mpmath.mpf(CURVATURE)
    times = [mp.sqrt(1 / c + norm**2) for norm in norms]
    product = c * (mp.fdot(x, y) - times[0] * times[1])
    if measure == "distance":
        return -mp.acosh(-product) / mp.sqrt(c)
    apex_is_query = (direction == "children") != measure.endswith("alpha")
    a, b = (0, 1) if apex_is_query else (1, 0)
    if measure.startswith("euclidean"):
        rows = (x, y)
        step = [v - u for u, v in zip(rows[a], rows[b], strict=True)]
        cosine = mp.fdot(rows[a], step) / (norms[a] * mp.sqrt(mp.fdot(step, step)))
    else:
        cosine = (times[b] + times[a] * product) / (norms[a] * mp.sqrt(product**2 - 1))
    if measure.endswith("combined"):
        return cosine + 2 * similarity
    angle = mp.acos(min(max(cosine, -1), 1))
    return mp.pi - angle if measure.endswith("beta") else angle


@pytest.mark.parametrize(("measure", "direction"), CASES)
def test_scores_are_those_of_50_digits(measure, direction):
    mpmath.mp.dps = 50
    for radius, noise in ((0.3, 1.0), (3.0, 0.05), (10.0, 1e-3)):
        base = points(1, 8, seed=6)
        generator = torch.Generator().manual_seed(7)
        spread = base / base.norm() + noise * torch.randn(68, 8, generator=generator)
        radii = radius + torch.rand(68, generator=generator)
        queries, gallery = at(spread[:4], radii[:4]), at(spread[4:], radii[4:])
        truth = np.array([[float(definition(q, g, measure, direction)) for g in gallery] for q in queries])
        truth = torch.from_numpy(truth.astype(np.float32)).sort(dim=1, descending=True, stable=True)
        for k in (3, 64):  # by the shortlist, by exact tiles
            found = search(queries, gallery, k, measure, direction, CURVATURE)
            # one digit where 50 digits and float64 round to different sides
            torch.testing.assert_close(found.scores, truth.values[:, :k], rtol=1.2e-7, atol=1e-12)
            different = found.scores != truth.values[:, :k]
            assert different.float().mean() < 0.02
            if not different.any():
                assert torch.equal(found.indices, truth.indices[:, :k])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(CASES),
    st.integers(1, 30),
    st.integers(1, 600),
    st.integers(1, 300),
    st.integers(1, 700),
    st.floats(1e-4, 8),
    st.integers(0, 10**6),
)
def test_equals_brute_force_for_any_sizes(case, dimension, length, k, tile_rows, spread, seed):
    queries, gallery = points(3, dimension, spread, seed), points(length, dimension, spread, seed + 1)
    found = search(queries, gallery, k, *case, CURVATURE, tile_rows=max(tile_rows, length // 20))
    assert found.scores.shape == found.indices.shape == (3, min(k, length))
    assert (found.scores.diff(dim=1) <= 0).all()
    alone = search(queries[1:2], gallery, k, *case, CURVATURE)
    assert torch.equal(found.scores[1:2], alone.scores)
    assert torch.equal(found.indices[1:2], alone.indices)
    if dimension > 1:  # on a line all angles are 0 or pi, up to what float32 makes of them
        assert_same(found, brute_force(queries, gallery, k, *case))


def test_agrees_with_scores():
    queries, gallery = points(4), points(300, seed=1)
    for measure, direction in CASES:
        found = search(queries, gallery, 300, measure, direction, CURVATURE)
        expected = scores(queries, gallery, measure, direction, CURVATURE).gather(1, found.indices)
        torch.testing.assert_close(found.scores, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_searched_as_the_numbers_they_are(dtype):
    queries, gallery = points(4), points(900, seed=1).to(dtype)
    for k in (10, 900):
        for measure, direction in CASES:
            found = search(queries, gallery, k, measure, direction, CURVATURE)
            assert found.scores.dtype == torch.float32
            assert_same(found, brute_force(queries, gallery, k, measure, direction))


def test_arrays_and_mapped_files_give_what_tensors_give(tmp_path):
    queries, gallery = points(4), points(900, seed=1)
    expected = search(queries, gallery, 10, "beta", "children", CURVATURE)
    np.save(tmp_path / "gallery.npy", gallery.numpy())
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    assert_same(search(queries.numpy(), mapped, 10, "beta", "children", CURVATURE), expected)
    assert_same(search(queries, gallery.numpy().astype(">f4"), 10, "beta", "children", CURVATURE), expected)
    assert_same(search(queries, gallery.clone().requires_grad_(), 10, "beta", "children", CURVATURE), expected)
    c = torch.tensor(CURVATURE, dtype=torch.float64)
    assert_same(search(queries, gallery, 10, "beta", "children", c), expected)


def test_rows_are_those_that_compete():
    queries, gallery = points(4), points(900, seed=1)
    gallery[700] = gallery[3]
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([torch.tensor([700, 3]), 4 + torch.randperm(690, generator=generator)[:400]])
    for k in (5, 402):
        for chosen in (rows, rows.numpy()):
            found = search(queries, gallery, k, "beta", "children", CURVATURE, rows=chosen)
            ordered = rows.sort().values
            values, places = brute_force(queries, gallery[ordered], k, "beta", "children")
            assert_same(found, (values, ordered[places]))
    spoilt = gallery.clone()
    spoilt[800] = torch.nan  # does not compete
    assert_same(search(queries, spoilt, 402, "beta", "children", CURVATURE, rows=rows), found)


def test_empty_galleries_queries_and_row_lists():
    queries, gallery = points(4), points(90, seed=1)
    nothing = torch.zeros(0, dtype=torch.int64)
    for found in (
        search(queries, gallery[:0], 5, curvature=CURVATURE),
        search(queries, gallery, 5, curvature=CURVATURE, rows=nothing),
    ):
        assert found.scores.shape == found.indices.shape == (4, 0)
    for k in (2, 90):
        assert search(queries[:0], gallery, k, curvature=CURVATURE).scores.shape == (0, k)


@pytest.mark.parametrize("k", [3, 5000])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_named(k, value):
    queries, gallery = points(600), points(5000, seed=1)
    gallery[[7, 4999], 3] = value
    with pytest.raises(ValueError, match=r"gallery holds NaN or infinite values in 2 of 5000 rows \(rows 7, 4999\)"):
        search(queries[:40], gallery, k, "beta", "children", CURVATURE)
    queries[590, 0] = value
    with pytest.raises(ValueError, match=r"queries holds NaN or infinite values in 1 of 600 rows \(rows 590\)"):
        search(queries, gallery[10:4000], k, "cosine", "children")


def test_finite_values_too_large_for_float32_are_named():
    gallery = points(50).double()
    gallery[3] *= 1e200
    with pytest.raises(ValueError, match=r"gallery holds vectors longer than 1e\+30 in 1 of 50 rows \(rows 3\)"):
        search(points(2), gallery, 5, "cosine")


def test_arguments_that_make_no_sense_are_refused():
    queries, gallery = points(4), points(90, seed=1)
    for message, arguments in {
        "k is 0": {"k": 0},
        "tile_rows is 0": {"tile_rows": 0},
        "unknown measure": {"measure": "angle"},
        "unknown direction": {"direction": "down"},
        "pass curvature": {"curvature": None},
        "curvature is -1": {"curvature": -1.0},
        "curvature is inf": {"curvature": math.inf},
        "curvature is nan": {"curvature": math.nan},
        "row 90, and the gallery has 90": {"rows": torch.tensor([1, 90])},
        "row -1": {"rows": torch.tensor([-1])},
        "row 4 of the gallery more than once": {"rows": torch.tensor([4, 2, 4])},
        "give a list of row numbers": {"rows": torch.ones(90, dtype=torch.bool)},
        "embeddings are floating-point": {"gallery": torch.ones(9, 16, dtype=torch.int64)},
        "16 dimensions and the gallery 8": {"gallery": gallery[:, :8]},
        "one embedding a row": {"queries": queries[0]},
    }.items():
        with pytest.raises(ValueError, match=message):
            search(**{"queries": queries, "gallery": gallery, "k": 3, "curvature": CURVATURE, **arguments})


def test_precision_settings_of_the_process_do_not_matter_and_stay():
    queries, gallery = points(4, 64), points(900, 64, seed=1)
    expected = search(queries, gallery, 10, "beta", "children", CURVATURE)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_same(search(queries, gallery, 10, "beta", "children", CURVATURE), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_memory_does_not_grow_with_the_gallery(tmp_path):
    """Of arrays, as tracemalloc sees numpy's: a mapped file is read a tile at a time."""
    peaks = []
    for length in (20_000, 80_000):
        path = tmp_path / f"{length}.npy"
        np.save(path, points(length, 32, 0.3).numpy())
        mapped = np.load(path, mmap_mode="r")
        tracemalloc.start()
        search(points(4, 32), mapped, 10, "beta", "children", CURVATURE, tile_rows=2048)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 20_000 * 32 * 4


@pytest.mark.parametrize("measure", MEASURES)
def test_tiles_and_pairs_round_alike_halfway_between_float32_numbers(measure):
    """Cosines made to lie halfway: which way they are rounded hangs on the last bit of float64, and so on the batch."""
    generator = torch.Generator().manual_seed(8)
    x, z = torch.randn(2, 1, 64, generator=generator, dtype=torch.float64)
    x = x / x.norm()
    z = z - (z @ x.T) * x
    steps = torch.randint(1, 2**22, (2000, 1), generator=generator)
    cosine = 0.5 + (steps.double() + 0.5) * 2.0**-24
    y = cosine * x + (1 - cosine**2).sqrt() * z / z.norm()
    scoring = Scoring(measure, "children", CURVATURE)
    pairs = pair_scores(x.expand(2000, -1), y, scoring)
    if measure == "cosine":
        product = (x @ (y / y.norm(dim=1, keepdim=True)).T).squeeze(0).float()
        assert (product != pairs).any(), "nothing here would be rounded differently"
    assert torch.equal(tile_scores(x, y, scoring).squeeze(0), pairs)
    assert torch.equal(torch.cat([pair_scores(x, row[None], scoring) for row in y[:50]]), pairs[:50])


@pytest.mark.parametrize("kind", ["at the origin", "copies", "narrow cone", "one ray"])
def test_crowds_larger_than_a_shortlist_are_ranked_as_brute_force_ranks_them(kind):
    generator = torch.Generator().manual_seed(4)
    queries, gallery = points(3, seed=9), points(6000, seed=10)
    crowd = torch.randperm(6000, generator=generator)[:2500]
    noise = torch.randn(2500, 16, generator=generator)
    if kind == "at the origin":
        gallery[crowd] = 0
    elif kind == "copies":
        gallery[crowd] = queries[0]
    elif kind == "narrow cone":
        gallery[crowd] = (queries[0] + 3e-4 * noise) * torch.rand(2500, 1, generator=generator) * 2
    else:
        gallery[crowd] = queries[0] * torch.rand(2500, 1, generator=generator) * 2
    for measure, direction in CASES:
        found = search(queries, gallery, 10, measure, direction, CURVATURE)
        assert_same(found, brute_force(queries, gallery, 10, measure, direction))


def test_a_crowd_does_not_have_every_pair_scored_exactly(monkeypatch):
    """A narrow cone, in which float32 tells nothing apart: float64 products leave a few pairs to be scored."""
    scored = []
    module = importlib.import_module("hf_hyperbolic.retrieval.search")
    monkeypatch.setattr(module, "pair_scores", lambda x, y, how: scored.append(len(x)) or pair_scores(x, y, how))
    tiles = []
    monkeypatch.setattr(module, "tile_scores", lambda x, y, how: tiles.append(1) or tile_scores(x, y, how))
    generator = torch.Generator().manual_seed(5)
    cone = torch.nn.functional.normalize(torch.ones(16) + 1e-3 * torch.randn(8020, 16, generator=generator), dim=1)
    radii = 0.5 + torch.rand(8020, 1, generator=generator)
    queries, gallery = (cone * radii).split([20, 8000])
    found = search(queries, gallery, 10, "beta", "children", CURVATURE)
    assert sum(scored) < 20 * 8000 / 10
    assert not tiles
    assert_same(found, brute_force(queries, gallery, 10, "beta", "children"))


CURRENT_API = """
import os, torch
from hf_hyperbolic.retrieval import search
backends = torch.backends
def read():
    return backends.fp32_precision, backends.mkldnn.matmul.fp32_precision, backends.cuda.matmul.fp32_precision
for setting, follows in (
    ('backends.fp32_precision = "tf32"', True),
    ('backends.mkldnn.matmul.fp32_precision = "bf16"', False),
    ('backends.cuda.matmul.fp32_precision = "tf32"', True),
    ('torch.set_float32_matmul_precision("high")', False),
):
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0, setting
        continue
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(4, 64, generator=generator), torch.randn(900, 64, generator=generator)
    expected = search(queries, gallery, 10, "beta", "children", 0.8)
    exec(setting)
    before = read()
    found = search(queries, gallery, 10, "beta", "children", 0.8)
    assert torch.equal(found.scores, expected.scores) and torch.equal(found.indices, expected.indices)
    assert read() == before, (setting, read(), before)
    backends.fp32_precision = "ieee"
    assert (read()[1] == "ieee") == follows, (setting, read())
    os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="torch without precisions of one backend")
def test_the_current_precision_settings_of_the_process_do_not_matter_and_stay():
    """In processes of their own, since torch cannot forget them; what followed the global setting still does."""
    done = subprocess.run([sys.executable, "-c", CURRENT_API], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_searches_at_once_restore_the_precision_after_the_last():
    queries, gallery = points(4, 64), points(3000, 64, seed=1)
    expected = search(queries, gallery, 10, "beta", "children", CURVATURE)
    torch.set_float32_matmul_precision("medium")
    try:
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(search, queries, gallery, 10, "beta", "children", CURVATURE) for _ in range(40)]
        for one in running:
            assert_same(one.result(), expected)
        assert torch.get_float32_matmul_precision() == "medium"
        first, second = (full_float32(torch.device("cpu")) for _ in range(2))
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        second.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_default_dtype_does_not_matter():
    queries, gallery = points(4), points(900, seed=1)
    everything = [search(queries, gallery, k, *case, CURVATURE) for k in (10, 900) for case in CASES]
    torch.set_default_dtype(torch.float64)
    try:
        again = [search(queries, gallery, k, *case, CURVATURE) for k in (10, 900) for case in CASES]
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(everything, again, strict=True):
        assert one.scores.dtype == other.scores.dtype
        assert_same(one, other)


def test_no_rows_may_be_given_as_an_empty_list():
    for nothing in ([], (), np.array([])):
        assert search(points(2), points(9), 3, curvature=CURVATURE, rows=nothing).scores.shape == (2, 0)
