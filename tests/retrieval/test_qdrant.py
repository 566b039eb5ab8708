"""The embedded index against exact scores, across reopening, interruption, filters and snapshots, and its refusals."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, scores
from hf_hyperbolic.retrieval import qdrant as module
from hf_hyperbolic.retrieval.qdrant import QdrantIndex

pytest.importorskip("qdrant_edge")

CURVATURE = 0.7
DIM = 12


def embeddings(seed, count, dim=DIM):
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator))
    radii = 0.2 + 2.8 * torch.rand(count, 1, generator=generator)
    return lorentz.exp_map0(directions * radii / math.sqrt(CURVATURE), CURVATURE).numpy()


GALLERY, QUERIES = embeddings(0, 300), embeddings(1, 8)
LEVELS = (np.arange(300) % 3).tolist()
CLASSES = [None if row % 50 == 7 else "car" if row % 2 else "bus" for row in range(300)]


def exact(queries, gallery, measure, direction, k, curvature=CURVATURE):
    result = scores(
        torch.from_numpy(queries).double(), torch.from_numpy(gallery).double(), measure, direction, curvature
    )
    return result.topk(min(k, len(gallery)))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path_factory.mktemp("filled") / "index") as index:
        index.add(GALLERY, payload={"level": LEVELS, "class": CLASSES, "box": list(range(1000, 1300))})
        yield index


@pytest.fixture
def folder(tmp_path):
    """A closed collection of the first 40 embeddings."""
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as index:
        index.add(GALLERY[:40])
    return tmp_path / "index"


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("options", [{"exact": True}, {"prefetch": 300}])
def test_search_gives_exact_scores_in_order(filled, measure, direction, options):
    expected = exact(QUERIES, GALLERY, measure, direction, 10)
    found = filled.search(QUERIES, 10, measure, direction, **options)
    assert found.scores.dtype == np.float32
    assert found.ids.dtype == np.int64
    np.testing.assert_allclose(found.scores, expected.values, rtol=0, atol=3e-6)
    # the order may differ only where scores are as good as equal
    own = scores(torch.from_numpy(QUERIES), torch.from_numpy(GALLERY), measure, direction, CURVATURE)
    np.testing.assert_allclose(own.gather(1, torch.from_numpy(found.ids)), expected.values, rtol=0, atol=2e-5)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_half_precision_tensors_and_memory_maps_are_taken(tmp_path, filled):
    np.save(tmp_path / "gallery.npy", GALLERY)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as index:
        index.add(mapped)
        expected = filled.search(QUERIES, 5)
        found = index.search(torch.from_numpy(QUERIES), 5)
        np.testing.assert_array_equal(found.ids, expected.ids)
        half = index.search(torch.from_numpy(QUERIES).bfloat16(), 5)
        np.testing.assert_allclose(half.scores, expected.scores, atol=0.1)


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        ({"level": 1}, lambda row: LEVELS[row] == 1),
        ({"level": [0, 2]}, lambda row: LEVELS[row] != 1),
        ({"class": "car", "level": [0]}, lambda row: CLASSES[row] == "car" and LEVELS[row] == 0),
        ({"class": ["car", "bus"]}, lambda row: CLASSES[row] is not None),
    ],
)
@pytest.mark.parametrize("measure", ["beta", "alpha"])
def test_filters_keep_the_best_of_what_they_leave(filled, where, keep, measure):
    rows = np.array([row for row in range(300) if keep(row)])
    expected = exact(QUERIES, GALLERY[rows], measure, "parents", 6)
    for options in ({}, {"exact": True}):
        found = filled.search(QUERIES, 6, measure, "parents", where=where, **options)
        assert np.isin(found.ids, rows).all()
        np.testing.assert_allclose(found.scores, expected.values, rtol=0, atol=3e-6)


def test_k_beyond_what_there_is(filled):
    assert filled.search(QUERIES, 1000, where={"class": "car", "level": 0}).ids.shape == (8, 50 - 2)
    assert filled.search(QUERIES, 1000, exact=True).ids.shape == (8, 300)
    assert filled.search(QUERIES, 5, where={"class": "train"}).ids.shape == (8, 0)
    assert filled.search(QUERIES[:0], 5).ids.shape == (0, 0)


def test_an_empty_collection(tmp_path):
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as index:
        index.add(GALLERY[:0])
        index.build()
        assert len(index) == 0
        for options in ({}, {"exact": True}):
            found = index.search(QUERIES, 3, **options)
            assert found.scores.shape == found.ids.shape == (8, 0)
    with QdrantIndex.open(tmp_path / "index") as index:
        assert len(index) == 0


def test_payload_comes_back_as_given(filled):
    assert filled.payload([3, 7, 3]) == [
        {"level": 0, "class": "car", "box": 1003},
        {"level": 1, "box": 1007},
        {"level": 0, "class": "car", "box": 1003},
    ]
    with pytest.raises(KeyError, match="300"):
        filled.payload([1, 300])


def test_a_collection_is_reopened_and_appended_to(folder):
    with QdrantIndex.open(folder, dim=DIM, curvature=CURVATURE) as index:
        assert len(index) == 40
        index.add(GALLERY[40:])
        index.build()
    with QdrantIndex.open(folder) as index:
        assert len(index) == 300
        assert index.curvature == CURVATURE
        assert index.dim == DIM
        expected = exact(QUERIES, GALLERY, "beta", "children", 10)
        np.testing.assert_allclose(index.search(QUERIES, 10).scores, expected.values, atol=3e-6)


def test_given_ids_replace_and_stay(tmp_path):
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as index:
        index.add(GALLERY[:3], ids=[7, 2**40, 0], payload={"level": [1, 2, 3]})
        index.add(GALLERY[3:4], ids=[7])
        assert len(index) == 3
        assert index.payload([7, 0]) == [{}, {"level": 3}]
        found = index.search(GALLERY[3:4], 3, "distance")
        assert found.ids[0, 0] == 7
        assert set(found.ids[0]) == {0, 7, 2**40}
        with pytest.raises(ValueError, match="not numbered from 0 to 2"):
            index.add(GALLERY[:10])
        assert len(index) == 3


def test_an_interrupted_addition_is_completed_with_the_same_ids(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ADDED_AT_ONCE", 100)
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as index:
        upsert, calls = index._engine.upsert, []

        def interrupted(points):
            calls.append(len(points.ids))
            if len(calls) == 3:
                raise KeyboardInterrupt
            upsert(points)

        monkeypatch.setattr(index._engine, "upsert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.add(GALLERY, ids=range(300))
    with QdrantIndex.open(tmp_path / "index") as index:
        assert len(index) == 200
        index.add(GALLERY, ids=range(300))
        expected = exact(QUERIES, GALLERY, "beta", "children", 10)
        np.testing.assert_allclose(index.search(QUERIES, 10).scores, expected.values, atol=3e-6)


def test_nothing_added_is_lost_when_the_process_is_killed(tmp_path):
    script = f"""
    import os, signal, numpy as np
    from hf_hyperbolic.retrieval.qdrant import QdrantIndex
    index = QdrantIndex.create(4, 1.0, path={str(tmp_path / "index")!r})
    index.add(np.ones((50, 4)))
    os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    with QdrantIndex.open(tmp_path / "index") as index:
        assert len(index) == 50


def test_the_graph_is_used_and_finds_nearly_all(tmp_path):
    """Above about 10 MB of vectors the engine builds its graph; below, it compares every point."""
    gallery, queries = embeddings(2, 6000, dim=448), embeddings(3, 20, dim=448)
    with QdrantIndex.create(448, CURVATURE, path=tmp_path / "index") as index:
        index.add(gallery)
        index.build()
        assert index._engine._shard.info().indexed_vectors_count == 6000
        for measure, direction in (("beta", "children"), ("beta", "parents"), ("distance", "parents")):
            expected = exact(queries, gallery, measure, direction, 20)
            found = index.search(queries, 20, measure, direction)
            hits = sum(len(np.intersect1d(*pair)) for pair in zip(found.ids, expected.indices.numpy(), strict=True))
            assert hits / expected.indices.numel() > 0.95, (measure, direction)


def test_a_euclidean_collection_has_no_hyperbolic_measures(tmp_path):
    gallery, queries = 3 * embeddings(4, 200), 3 * embeddings(5, 4)
    with QdrantIndex.create(DIM, None, path=tmp_path / "index") as index:
        index.add(gallery)
        for measure in ("cosine", "euclidean_alpha", "euclidean_beta"):
            for direction in DIRECTIONS:
                expected = exact(queries, gallery, measure, direction, 5, None)
                np.testing.assert_allclose(
                    index.search(queries, 5, measure, direction, exact=True).scores, expected.values, atol=1e-5
                )
        with pytest.raises(ValueError, match="'beta' is hyperbolic"):
            index.search(queries, 5)
    with pytest.raises(ValueError, match=r"of curvature None, not 1\.0"):
        QdrantIndex.open(tmp_path / "index", curvature=1.0)
    QdrantIndex.open(tmp_path / "index").close()


def test_a_snapshot_is_restored_with_its_graph_and_payload(tmp_path, filled):
    filled.snapshot(tmp_path / "all.tar")
    expected = filled.search(QUERIES, 5, where={"level": 1})
    with QdrantIndex.restore(tmp_path / "all.tar", tmp_path / "restored") as index:
        assert len(index) == 300
        found = index.search(QUERIES, 5, where={"level": 1})
        np.testing.assert_array_equal(found.ids, expected.ids)
        assert index.payload([4]) == filled.payload([4])
        with pytest.raises(FileExistsError, match="give a new folder"):
            QdrantIndex.restore(tmp_path / "all.tar", tmp_path / "restored")
    with pytest.raises(FileNotFoundError, match="no snapshot"):
        QdrantIndex.restore(tmp_path / "none.tar", tmp_path / "other")
    content = (tmp_path / "all.tar").read_bytes()
    for name, bad in (("cut", content[: len(content) // 3]), ("foreign", b"hello" * 1000)):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(ValueError, match=f"{name} is no snapshot of a collection, or is cut short"):
            QdrantIndex.restore(tmp_path / name, tmp_path / "other")
        assert not (tmp_path / "other").exists()


# refusals


def test_a_folder_is_open_once(folder):
    with QdrantIndex.open(folder), pytest.raises(BlockingIOError, match="open already"):
        QdrantIndex.open(folder)


def test_another_model_is_refused(folder):
    with pytest.raises(ValueError, match="dimension 12, not 13"):
        QdrantIndex.open(folder, dim=13)
    with pytest.raises(ValueError, match=r"curvature 0\.7, not 0\.71"):
        QdrantIndex.open(folder, curvature=0.71)
    with QdrantIndex.open(folder, curvature=float(np.float32(CURVATURE))) as index:
        with pytest.raises(ValueError, match=r"\(40, 11\).*holds \(N, 12\)"):
            index.add(GALLERY[:40, :-1])
        with pytest.raises(ValueError, match=r"\(8, 11\).*takes \(Q, 12\)"):
            index.search(QUERIES[:, :-1], 3)


def test_where_there_is_no_collection(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="no collection at"):
        QdrantIndex.open(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(FileNotFoundError, match="is no collection"):
        QdrantIndex.open(tmp_path / "photos")
    with pytest.raises(FileExistsError, match="not empty"):
        QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "photos")
    with pytest.raises(FileExistsError, match="holds a collection already"):
        QdrantIndex.create(DIM, CURVATURE, path=folder)
    assert os.listdir(tmp_path / "photos") == ["a.jpg"]


def test_damage_is_noticed(folder, tmp_path):
    with QdrantIndex.open(folder) as index:
        index.build()

    def damaged(harm):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        harm(copy)
        return copy

    def cut(path):
        os.truncate(path, path.stat().st_size // 2)

    settings = "hf_hyperbolic.json"
    harms = [
        (lambda copy: (copy / settings).write_text('{"format": '), "json is damaged"),
        (lambda copy: (copy / settings).write_text(json.dumps({"format": 99})), "not made by this version"),
        (lambda copy: [shutil.rmtree(copy / name) for name in ("segments", "wal")], "0 of 40 embeddings are left"),
        (lambda copy: [cut(path) for path in copy.rglob("chunk_0.mmap")], "is cut short"),
        (lambda copy: [path.write_text("{") for path in copy.rglob("segment.json")], "cannot be opened|is cut short"),
    ]
    for harm, message in harms:
        with pytest.raises(ValueError, match=message):
            QdrantIndex.open(damaged(harm))
    with QdrantIndex.open(folder) as index:
        assert len(index) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.where(np.arange(36).reshape(3, 12) == 17, np.nan, 1.0)}, r"1 of 3 rows \(rows 1\)"),
        ({"embeddings": np.full((9, 12), np.inf)}, r"9 of 9 rows \(rows 0, 1, 2, 3, 4, \.\.\.\)"),
        ({"ids": [1, 2]}, r"ids have shape \(2,\).*give 3 integers"),
        ({"ids": [0.5, 1, 2]}, "float64.*give 3 integers"),
        ({"ids": [1, -2, 3]}, "ids hold -2"),
        ({"ids": [1, 2, 1]}, "ids hold 1 more than once"),
        ({"payload": {"class": ["car"]}}, "'class' has 1 values for 3 embeddings"),
        ({"payload": {"level": [0, 1, "2"]}}, "'level' holds '2' in row 2.*integer"),
        ({"payload": {"class": [None, 4, "car"]}}, "'class' holds 4 in row 1.*keyword"),
        ({"payload": {"cosh_radius": [1, 2, 3]}}, "'cosh_radius' is taken"),
    ],
)
def test_additions_that_make_no_sense_write_nothing(folder, arguments, message):
    with QdrantIndex.open(folder) as index:
        with pytest.raises(ValueError, match=message):
            index.add(**{"embeddings": GALLERY[:3], **arguments})
        assert len(index) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "gamma"}, "unknown measure 'gamma'"),
        ({"direction": "up"}, "unknown direction 'up'"),
        ({"k": 0}, "k is 0"),
        ({"prefetch": 2}, "prefetch is 2.*k = 3"),
        ({"where": {"clas": "car"}}, "cannot filter by 'clas'"),
        ({"embeddings": QUERIES * np.nan}, "queries holds NaN or infinite values in 8 of 8 rows"),
        ({"embeddings": QUERIES[0]}, r"queries have shape \(12,\)"),
    ],
)
def test_searches_that_make_no_sense(filled, arguments, message):
    with pytest.raises(ValueError, match=message):
        filled.search(**{"embeddings": QUERIES, "k": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": None}, "give either path"),
        ({"url": "http://localhost:1"}, "give either path"),
        ({"dim": 0}, "dim is 0"),
        ({"curvature": -1.0}, r"curvature is -1\.0"),
        ({"curvature": math.nan}, "curvature is nan"),
        ({"fields": {"level": "float"}}, "choose 'keyword' or 'integer'"),
        ({"fields": {"cosh_radius": "integer"}}, "is taken"),
    ],
)
def test_collections_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        QdrantIndex.create(**{"dim": DIM, "curvature": CURVATURE, "path": tmp_path / "index", **arguments})
    assert not (tmp_path / "index").exists()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    for package, place in (
        ("qdrant_edge", {"path": tmp_path / "index"}),
        ("qdrant_client", {"url": "http://localhost:1"}),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=rf"{package} is not installed: pip install hf-hyperbolic\[qdrant\]"):
            QdrantIndex.create(DIM, CURVATURE, **place)
